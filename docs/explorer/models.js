// The models of the explorer: exported by Keras, run in the page itself on the WebAssembly build of ONNX Runtime.
// Each file is fetched once, when it is first needed; any trouble with it becomes one message that a reader can act on.

const here = (name) => new URL(name, import.meta.url).href;

/** Remember what was loaded under its name. What failed is forgotten, so that another try may succeed. */
function once(load) {
  const kept = {};
  return (name) => (kept[name] ??= load(name).catch((error) => {
    delete kept[name];
    throw readable(name, error);
  }));
}

function readable(name, error) {
  if (error.readable) return error;
  const advice = "Reload the page; if that does not help, build the site again with “make site”.";
  const message = `The file ${name} is missing or damaged. ${advice} (The browser says: ${error.message})`;
  return Object.assign(new Error(message), { readable: true });
}

const read = once(async (name) => {
  const response = await fetch(here(name));
  if (!response.ok) throw new Error(`the server answers ${response.status}`);
  const inflated = response.body.pipeThrough(new DecompressionStream("deflate")); // fails if the checksum does
  return new Uint8Array(await new Response(inflated).arrayBuffer());
});

const runtime = once(async (name) => {
  const [ort, wasmBinary] = await Promise.all([import(here(name)), read("ort-wasm-simd-threaded.wasm.zlib")]);
  Object.assign(ort.env.wasm, { wasmBinary, numThreads: 1 }); // threads would need headers that few static hosts send
  return ort;
});

/** A network as a function from rows of numbers to its outputs, by their names. */
const network = once(async (name) => {
  const [ort, model] = await Promise.all([runtime("ort.wasm.bundle.min.mjs"), read(name)]);
  const session = await ort.InferenceSession.create(model);
  let last = Promise.resolve(); // one run at a time: the runtime allows no second one
  return (values, shape) => {
    const input = new ort.Tensor("float32", values, shape);
    const run = () => session.run({ [session.inputNames[0]]: input });
    return (last = last.then(run, run));
  };
});

const parsed = once(async (name) => JSON.parse(new TextDecoder().decode(await read(name))));

/** What the page shows beside the models; and the facts of one model. */
export const pageData = () => parsed("data.json.zlib");
export const facts = (model) => parsed(`facts_${model}.json.zlib`);

/** Load a model whole: its two networks and its facts. */
export const load = (model) => Promise.all([network(`encoder_${model}.onnx.zlib`), network(`decoder_${model}.onnx.zlib`), facts(model)]);

/** Equation 10: the parameters of Q(z|X) of an image of 28 x 28 pixels. */
export async function encode(model, image) {
  const outputs = await (await network(`encoder_${model}.onnx.zlib`))(Float32Array.from(image), [1, 28, 28, 1]);
  return { zMean: Array.from(outputs.z_mean.data), zLogVar: Array.from(outputs.z_log_var.data) };
}

/** Equation 5: decode latents, an array of arrays, to the logits of their pixels: an array for each. */
export async function decode(model, z) {
  const outputs = await (await network(`decoder_${model}.onnx.zlib`))(Float32Array.from(z.flat()), [z.length, z[0].length]);
  const [{ data }] = Object.values(outputs);
  return z.map((_, i) => data.subarray((i * data.length) / z.length, ((i + 1) * data.length) / z.length));
}

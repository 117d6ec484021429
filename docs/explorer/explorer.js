// The explorer. Two decoders, exported by Keras, run in the page itself, on the WebAssembly build of ONNX Runtime.

const SIDE = 28; // pixels
const REACH = 3; // the map shows latents from -3 to 3
const STEPS = 11; // pictures in a walk

// ---- Loading: each file is fetched once, and any trouble with it becomes one message that a reader can act on

const here = (name) => new URL(name, import.meta.url).href;

function once(load) {
  const kept = {};
  return (name) => (kept[name] ??= load(name).catch((error) => { throw readable(name, error); }));
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

const decoder = once(async (name) => {
  const [ort, model] = await Promise.all([runtime("ort.wasm.bundle.min.mjs"), read(name)]);
  const session = await ort.InferenceSession.create(model);
  return async (z) => {
    const input = new ort.Tensor("float32", Float32Array.from(z.flat()), [z.length, z[0].length]);
    const outputs = await session.run({ [session.inputNames[0]]: input });
    return outputs[session.outputNames[0]].data;
  };
});

const parsed = once(async (name) => JSON.parse(new TextDecoder().decode(await read(name))));

const pageData = () => parsed("data.json.zlib");

/** Equation 5: decode latents, an array of arrays, to the means of their images, one after the other in a Float32Array. */
export const decode = async (name, z) => (await decoder(`${name}.onnx.zlib`))(z);

// ---- Latents

/** One draw from N(0, 1), by the transform of Box and Muller. */
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

const drawNormal = () => Array.from({ length: 64 }, normal);

/** Equation 2, over latents: choose a component by its weight, then draw from its normal, mean + root × noise. */
export function drawMixture({ used, weights, means, roots }) {
  const z = drawNormal(); // which stays as it is along the latents not in use
  let u = Math.random(), k = 0;
  while (u >= weights[k] && k < weights.length - 1) u -= weights[k++];
  const noise = used.map((latent) => z[latent]);
  used.forEach((latent, i) => (z[latent] = means[k][i] + roots[k][i].reduce((sum, root, j) => sum + root * noise[j], 0)));
  return z;
}

/** Latents at even steps from a to b, both ends included. */
export function walk(a, b) {
  const times = Array.from({ length: STEPS }, (_, step) => step / (STEPS - 1));
  return times.map((t) => a.map((from, i) => (1 - t) * from + t * b[i]));
}

// ---- Pictures

/** Lay images, one after the other in an array of ink from 0 to 1, out on a canvas: black ink on white paper. */
function paint(canvas, ink, columns = 1, gap = 0) {
  const cell = SIDE + gap, rows = ink.length / SIDE ** 2 / columns;
  Object.assign(canvas, { width: columns * cell - gap, height: rows * cell - gap });
  const picture = new ImageData(canvas.width, canvas.height);
  picture.data.fill(255);
  ink.forEach((value, i) => {
    const image = Math.floor(i / SIDE ** 2), pixel = i % SIDE ** 2;
    const x = (image % columns) * cell + (pixel % SIDE), y = Math.floor(image / columns) * cell + Math.floor(pixel / SIDE);
    picture.data.fill(255 * (1 - value), 4 * (y * canvas.width + x), 4 * (y * canvas.width + x) + 3);
  });
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** Place a latent on the pad, as fractions of its width and height: z1 grows to the right, z2 upwards. */
const place = ([z1, z2]) => [(z1 + REACH) / (2 * REACH), (REACH - z2) / (2 * REACH)];

function drawMap(canvas, { points, colours }) {
  const context = canvas.getContext("2d"), size = canvas.width, unit = size / (2 * REACH);
  context.strokeStyle = "#767676";
  for (const radius of [1, 2]) { // standard deviations of the prior
    context.beginPath();
    context.arc(size / 2, size / 2, radius * unit, 0, 2 * Math.PI);
    context.stroke();
  }
  context.globalAlpha = 0.7;
  points.z.forEach((z, i) => {
    const [x, y] = place(z);
    context.fillStyle = colours[points.labels[i]];
    context.beginPath();
    context.arc(x * size, y * size, 4, 0, 2 * Math.PI);
    context.fill();
  });
  context.globalAlpha = 1;
  Object.assign(context, { font: "italic 34px serif", fillStyle: "#000", strokeStyle: "#fff", lineWidth: 8 });
  for (const [name, x, y] of [["z₁ →", size - 80, size / 2 - 12], ["z₂ ↑", size / 2 + 12, 40]]) {
    context.strokeText(name, x, y);
    context.fillText(name, x, y);
  }
  Object.assign(context, { font: "bold 28px sans-serif", textAlign: "center", textBaseline: "middle", lineWidth: 3 });
  labelPlaces(points, colours.length).forEach(([x, y], digit) => { // for readers who cannot go by colour
    const colour = colours[digit];
    Object.assign(context, { fillStyle: "#fff", strokeStyle: colour });
    context.beginPath();
    context.arc(x, y, 20, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
    context.fillStyle = colour;
    context.fillText(digit, x, y + 2);
  });
}

/** The middle of each digit's dots on the map, in its pixels; those that would cover each other are pushed apart. */
function labelPlaces(points, digits, size = 960, room = 46) {
  const middles = Array.from({ length: digits }, (_, digit) => {
    const own = points.z.filter((_, i) => points.labels[i] === digit).map(place);
    return [0, 1].map((axis) => size * own.map((point) => point[axis]).sort((a, b) => a - b)[own.length >> 1]);
  });
  for (let round = 0; round < 50; round++) {
    for (const a of middles) {
      for (const b of middles.slice(0, middles.indexOf(a))) {
        const [dx, dy] = [a[0] - b[0], a[1] - b[1]], distance = Math.hypot(dx, dy), push = (room - distance) / 2 / distance;
        if (distance < room) [[a, 1], [b, -1]].forEach(([label, sign]) => { label[0] += sign * push * dx; label[1] += sign * push * dy; });
      }
    }
  }
  return middles;
}

// ---- The three parts of the page

const $ = (selector) => document.querySelector(selector);

/** Latest wins: run the task at most once a frame, with the newest of the values that came in meanwhile. */
function eachFrame(task) {
  let waiting = null, running = false;
  return async (value) => {
    waiting = value;
    if (running) return;
    running = true;
    try {
      while (waiting !== null) {
        const newest = waiting;
        waiting = null;
        await task(newest);
        await new Promise(requestAnimationFrame);
      }
    } finally {
      running = false;
    }
  };
}

async function startPad() {
  const pad = $("#pad"), marker = $("#marker"), data = await pageData();
  let z;
  const show = eachFrame(async (latent) => paint($("#digit"), await decode("decoder_2d", [latent])));
  const moveTo = (latent) => {
    z = latent.map((value) => Math.min(REACH, Math.max(-REACH, value)));
    const [x, y] = place(z);
    Object.assign(marker.style, { left: `${100 * x}%`, top: `${100 * y}%` });
    $("#where").textContent = `z = (${z.map(signed).join(", ")})\nNearest test digit: ${nearest(z, data.points)}`;
    return show(z);
  };
  drawMap($("#map"), data);
  drawLegend(data.colours);
  await moveTo([-1.6, 0.9]);
  $("#pad-status").textContent = "Click or drag with a mouse or a finger; or Tab to the map and use the arrow keys, with Shift for larger steps.";
  pad.addEventListener("pointerdown", (event) => event.isPrimary && event.button === 0 && pad.setPointerCapture(event.pointerId));
  for (const type of ["pointerdown", "pointermove"]) {
    pad.addEventListener(type, (event) => pad.hasPointerCapture(event.pointerId) && moveTo(latentAt(event, pad)));
  }
  pad.addEventListener("keydown", (event) => {
    const [right, up] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [];
    if (right === undefined || event.altKey || event.ctrlKey || event.metaKey) return; // those are the browser's
    event.preventDefault(); // the page is not to scroll as well
    const step = event.shiftKey ? 0.5 : 0.1;
    moveTo([z[0] + step * right, z[1] + step * up]);
  });
}

function latentAt(event, pad) {
  const { left, top, width, height } = pad.getBoundingClientRect();
  return [REACH * ((2 * (event.clientX - left)) / width - 1), REACH * (1 - (2 * (event.clientY - top)) / height)];
}

const signed = (value) => value.toFixed(2).replace("-", "−");

function nearest([z1, z2], { z, labels }) {
  const distances = z.map(([a, b]) => (a - z1) ** 2 + (b - z2) ** 2);
  return labels[distances.indexOf(Math.min(...distances))];
}

function drawLegend(colours) {
  $("#legend").replaceChildren(...colours.map((colour, digit) => {
    const item = document.createElement("li");
    item.style.setProperty("--colour", colour);
    item.textContent = digit;
    return item;
  }));
}

async function startSamples() {
  const { mixture } = await pageData();
  const show = eachFrame(async ({ draw, name }) => {
    paint($("#samples"), await decode("decoder_64d", Array.from({ length: 100 }, draw)), 10, 2);
    $("#samples-status").textContent = `100 draws from ${name}, each decoded. The mixture covers the ${mixture.used.length} latents that the model uses; the others stay N(0, 1).`;
  });
  const fromNormal = { draw: drawNormal, name: "N(0, I)" }, fromMixture = { draw: () => drawMixture(mixture), name: "the mixture" };
  await show(fromNormal);
  $("#draw-normal").addEventListener("click", () => show(fromNormal));
  $("#draw-mixture").addEventListener("click", () => show(fromMixture));
  $("#draw-normal").disabled = $("#draw-mixture").disabled = false;
}

async function startWalk() {
  const { digits } = await pageData();
  const show = eachFrame(async () => {
    const [from, to] = ["from", "to"].map((end) => $(`input[name=${end}]:checked`).value);
    paint($("#walk"), await decode("decoder_64d", walk(digits.z[from], digits.z[to])), STEPS, 2);
    $("#walk-status").textContent = `From the ${example(from)} ${digits.labels[from]} to the ${example(to)} ${digits.labels[to]}, in ${STEPS - 1} equal steps.`;
  });
  offerDigits($("#from"), digits, 3);
  offerDigits($("#to"), digits, 7);
  $("#walks").addEventListener("change", () => show(true));
  await show(true);
}

const example = (i) => (i < 10 ? "first" : "second"); // of its digit, by its place among the twenty

function offerDigits(fieldset, { labels, pixels }, checked) {
  labels.forEach((label, i) => {
    const choice = document.createElement("label"), radio = document.createElement("input"), canvas = document.createElement("canvas");
    Object.assign(radio, { type: "radio", name: fieldset.id, value: i, checked: i === checked });
    radio.setAttribute("aria-label", `the ${example(i)} ${label}`);
    paint(canvas, pixels[i].map((value) => value / 255));
    choice.append(radio, canvas);
    fieldset.append(choice);
  });
}

/** Start the parts one after the other, so that the first picture does not wait for the second decoder. */
for (const [part, start] of Object.entries({ pad: startPad, samples: startSamples, walk: startWalk })) {
  try {
    await start();
  } catch (error) {
    $(`#${part}-status`).textContent = error.message;
    $(`#${part}-status`).classList.add("error");
  }
}

// The parts of the explorer that decode: a map to move on, a hundred draws, and a walk. `draw.js` is the first part.
import { startDrawing } from "./draw.js";
import { drawMap, paint, shown } from "./drawing.js";
import { STEPS, drawMixture, drawNormal, fromMap, nearest, onMap, sigmoid, toMap, walk } from "./maths.js";
import { decode, facts, pageData } from "./models.js";
import { $, attempt, eachFrame, example, offerDigits, random, say, whenNear } from "./page.js";

/** Equation 5: the means of the images of some latents, one after the other. */
export async function images(model, z) {
  return Float32Array.from((await decode(model, z)).flatMap((logits) => Array.from(logits, sigmoid)));
}

async function startPad() {
  const pad = $("#pad"), marker = $("#marker"), data = await pageData();
  let z;
  const show = eachFrame((latent) => attempt("pad", async () => paint($("#digit"), await images("2d", [latent]))));
  const moveTo = (latent) => {
    z = onMap(latent);
    const [x, y] = toMap(z);
    Object.assign(marker.style, { left: `${100 * x}%`, top: `${100 * y}%` });
    $("#where").textContent = `z = (${z.map((value) => shown(value, 2)).join(", ")})\nNearest test digit: ${nearest(z, data.points)}`;
    return show(z);
  };
  drawMap($("#map"), data);
  $("#map").setAttribute("aria-label", `${data.points.labels.length} encoded test digits, coloured by digit; those beyond 3 on an axis are left out`);
  drawLegend(data.colours);
  paint($("#digit"), await images("2d", [[-1.6, 0.9]]));
  moveTo([-1.6, 0.9]);
  say("pad", "Click or drag with a mouse or a finger; or Tab to the map and use the arrow keys, with Shift for larger steps.");
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
  return fromMap([(event.clientX - left) / width, (event.clientY - top) / height]);
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
  const { mixture } = await facts("64d");
  const show = eachFrame(({ draw, name }) => attempt("samples", async () => {
    paint($("#samples"), await images("64d", Array.from({ length: 100 }, draw)), { columns: 10, gap: 2 });
    say("samples", `100 draws from ${name}, each decoded. The mixture, of ${mixture.weights.length} normals, covers the ${mixture.used.length} latents that the model uses; the others stay N(0, 1).`);
  }));
  const fromNormal = { draw: () => drawNormal(random), name: "N(0, I)" };
  const fromMixture = { draw: () => drawMixture(mixture, random), name: "the mixture" };
  await show(fromNormal);
  $("#draw-normal").addEventListener("click", () => show(fromNormal));
  $("#draw-mixture").addEventListener("click", () => show(fromMixture));
  $("#draw-normal").disabled = $("#draw-mixture").disabled = false;
}

async function startWalk() {
  const [{ digits }, { ends }] = await Promise.all([pageData(), facts("64d")]);
  const show = eachFrame(() => attempt("walk", async () => {
    const [from, to] = ["from", "to"].map((end) => $(`input[name=${end}]:checked`).value);
    paint($("#walk"), await images("64d", walk(ends[from], ends[to])), { columns: STEPS, gap: 2 });
    say("walk", `From the ${example(from)} ${digits.labels[from]} to the ${example(to)} ${digits.labels[to]}, in ${STEPS - 1} equal steps.`);
  }));
  offerDigits($("#from"), digits, 3);
  offerDigits($("#to"), digits, 7);
  $("#walks").addEventListener("change", () => show());
  await show();
}

/** The first part comes first, the others when a reader comes near them: no file is loaded before it is needed. */
await attempt("draw", startDrawing);
await attempt("pad", startPad);
whenNear($("#hundred"), () => attempt("samples", startSamples));
whenNear($("#walks"), () => attempt("walk", startWalk));

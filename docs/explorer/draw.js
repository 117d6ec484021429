// The first part of the explorer: a drawing goes through the encoder and the decoder, and each equation says what it does.
import { drawBars, drawEvidence, drawMap, drawQ, drawRuler, paint, paintSheet, shown, wipe } from "./drawing.js";
import * as maths from "./maths.js";
import { decode, encode, facts, load, pageData } from "./models.js";
import { $, attempt, eachFrame, example, fail, offerDigits, random, say } from "./page.js";

const DRAWS = 16; // of z, over which the reconstruction term is averaged
const KEPT = 8; // draws that stand side by side
const MOST = 2000; // draws for log P(X), at most
const BATCH = 50;
const NAMES = { "2d": "2 latents", "64d": "64 latents" };
const CLOSE = 0.4; // how far the close-up of the map reaches from the mean

/** What the page shows at the moment; tests read it. */
export const now = { model: "2d", picked: null, strokes: [], sheet: new Float32Array(maths.PAD ** 2), pen: [140, 140], down: false };

export async function startDrawing() {
  const data = await pageData();
  Object.assign(now, { data });
  await loadModel(now.model);
  offerDigits($("#picked"), data.digits, 3);
  drawMap($("#q-map"), data);
  await pick(3);
  listenToPointer($("#sheet"));
  listenToKeys($("#sheet"));
  $("#picked").addEventListener("change", (event) => pick(Number(event.target.value)));
  $("#undo").addEventListener("click", undo);
  $("#clear").addEventListener("click", clear);
  $("#epsilon").addEventListener("click", () => attempt("draw", drawAgain));
  $("#sum").addEventListener("click", () => attempt("draw", toggleSum));
  $("#models").addEventListener("change", (event) => changeModel(event.target.value));
  new ResizeObserver(() => now.q && drawFigures()).observe($("#bars").parentNode);
  for (const control of document.querySelectorAll("#drawing :disabled")) control.disabled = false;
}

async function loadModel(model) {
  await load(model);
  Object.assign(now, { model, facts: await facts(model), q: null }); // what was shown is not this model's
  const { used, distance, sorted } = now.facts;
  $("#exact").textContent = `This model's weights are rounded. Over ${sorted.length} test digits that moves −ELBO by ` +
    `${shown(distance.mean, 3)} nats on average, and by ${shown(distance.most, 3)} at most, from the model before rounding.`;
  $("#in-use").textContent = `${used.length} of its ${now.facts.latents} latents are in use: their mean KL over the test digits is above ${now.facts.in_use} nats.`;
  $("#q-figure").hidden = now.facts.latents !== 2;
  $("#q-none").hidden = now.facts.latents === 2;
}

async function changeModel(model) {
  const before = now.model;
  clearTimeout(resting);
  say("draw", `Loading the model with ${NAMES[model]}.`);
  try {
    await loadModel(model);
    await show();
  } catch (error) {
    $(`#models input[value="${before}"]`).checked = true;
    fail("draw", error);
  }
}

// ---- The sheet: strokes are kept, so that the last one can be taken back

function pick(i) {
  Object.assign(now, { picked: i, strokes: [] });
  return restore();
}

function clear() {
  Object.assign(now, { picked: null, strokes: [] });
  for (const radio of document.querySelectorAll("#picked input")) radio.checked = false;
  restore();
}

function undo() {
  now.strokes.pop();
  restore();
}

/** Draw the sheet anew: the test digit, if one is picked, and all strokes on it. */
function restore() {
  const { pixels } = now.data.digits;
  now.sheet = now.picked === null ? new Float32Array(maths.PAD ** 2) : maths.enlarge(pixels[now.picked].map((value) => value / 255));
  for (const { radius, points } of now.strokes) points.forEach((point, i) => maths.stroke(now.sheet, points[Math.max(0, i - 1)], point, radius));
  return show();
}

function beginStroke(point) {
  now.strokes.push({ radius: Number($("#width").value) / 2, points: [] });
  extendStroke(point);
}

function extendStroke(point) {
  const { radius, points } = now.strokes.at(-1);
  maths.stroke(now.sheet, points.at(-1) ?? point, point, radius);
  points.push(point);
  show();
}

function listenToPointer(sheet) {
  const place = (event) => {
    const { left, top, width, height } = sheet.getBoundingClientRect();
    return [(maths.PAD * (event.clientX - left)) / width, (maths.PAD * (event.clientY - top)) / height];
  };
  sheet.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    sheet.setPointerCapture(event.pointerId);
    beginStroke(place(event));
  });
  sheet.addEventListener("pointermove", (event) => {
    if (sheet.hasPointerCapture(event.pointerId)) (event.getCoalescedEvents?.() ?? [event]).forEach((one) => extendStroke(place(one)));
  });
}

function listenToKeys(sheet) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const others = { Delete: clear, Backspace: undo, " ": () => { now.down = !now.down; if (now.down) beginStroke(now.pen); } };
  sheet.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (!(move || others[event.key]) || event.altKey || event.ctrlKey || event.metaKey) return; // those are the browser's
    event.preventDefault(); // the page is not to scroll as well
    if (move) {
      now.pen = now.pen.map((at, axis) => Math.min(maths.PAD, Math.max(0, at + move[axis] * (event.shiftKey ? 40 : 10))));
      if (now.down && now.strokes.length) extendStroke(now.pen);
    } else {
      others[event.key]();
      if (event.key !== " ") now.down = false;
    }
    showPen();
  });
  sheet.addEventListener("blur", () => { now.down = false; $("#pen").hidden = true; });
}

function showPen() {
  const [left, top] = now.pen.map((at) => `${(100 * at) / maths.PAD}%`);
  Object.assign($("#pen").style, { left, top });
  $("#pen").hidden = false;
  $("#pen").classList.toggle("down", now.down);
}

// ---- From the drawing to its numbers

const show = eachFrame(() => attempt("draw", compute));

async function compute() {
  stopSum();
  paintSheet($("#sheet"), now.sheet);
  const image = maths.asMnist(now.sheet), { model } = now;
  if (!image) return showBlank();
  const q = await encode(model, image); // Equation 10
  const epsilons = Array.from({ length: DRAWS }, () => random.normal(q.zMean.length));
  const z = epsilons.map((epsilon) => maths.drawZ(q, epsilon)); // Equation 13
  const [atMean, ...logits] = await decode(model, [q.zMean, ...z]); // Equation 5
  if (model !== now.model) return; // it was changed in between, and what it makes of the drawing comes next
  const costs = logits.map((one) => -maths.logLikelihood(image, one));
  const kl = maths.klPerLatent(q); // Equation 14
  const terms = { reconstruction: maths.mean(costs), kl: maths.klOf(q), error: maths.errorOf(costs), floor: maths.floorOf(image) };
  Object.assign(now, { image, q, epsilons, kl, terms, draws: [{ epsilon: epsilons[0], z: z[0], logits: logits[0] }], steps: [] });
  paint($("#image"), image);
  paint($("#reconstruction"), atMean.map(maths.sigmoid));
  drawFigures();
  tell();
}

function showBlank() {
  now.q = null;
  for (const canvas of ["#image", "#reconstruction"]) wipe($(canvas));
  wipe($("#draws"), KEPT);
  for (const svg of ["#q", "#q-close", "#bars", "#ruler", "#evidence"]) $(svg).replaceChildren();
  for (const text of ["#q-numbers", "#kl-numbers", "#epsilon-numbers", "#cost-numbers", "#evidence-numbers"]) $(text).textContent = "";
  whenItRests("The sheet is blank. Draw a digit, or take one.");
}

/** A fresh epsilon for the same drawing, and what the decoder makes of it. */
async function drawAgain() {
  const { q, model } = now;
  if (!q) return;
  const epsilon = random.normal(q.zMean.length), z = maths.drawZ(q, epsilon), [logits] = await decode(model, [z]);
  if (q !== now.q) return; // another drawing came in between
  now.draws = [...now.draws, { epsilon, z, logits }].slice(-KEPT);
  drawDraws();
}

// ---- What it shows

function drawFigures() {
  const { facts: { used, kl_mean, sorted, latents }, kl, terms, q } = now;
  if (latents === 2) drawMap($("#q-close-map"), now.data, { centre: q.zMean, reach: CLOSE });
  drawBars($("#bars"), used.map((i) => kl[i]), used.map((i) => kl_mean[i]), used.map((i) => i + 1));
  drawRuler($("#ruler"), { sorted, ...terms });
  if (now.steps.length) drawEvidence($("#evidence"), now.steps, MOST);
  else $("#evidence").replaceChildren();
  drawDraws();
}

function drawDraws() {
  const { q, draws, facts: { latents } } = now, last = draws.at(-1);
  paint($("#draws"), draws.flatMap(({ logits }) => Array.from(logits, maths.sigmoid)), { columns: KEPT, gap: 2 });
  const list = (numbers) => `(${numbers.map((one) => shown(one, 2)).join(", ")})`;
  $("#epsilon-numbers").textContent = latents === 2 ? `ε = ${list(last.epsilon)}, z = ${list(last.z)}` : `ε = ${list(last.epsilon.slice(0, 3)).slice(0, -1)}, …), ${latents} numbers`;
  if (latents !== 2) return;
  const z = draws.map((draw) => draw.z);
  drawQ($("#q"), q, z, { close: CLOSE });
  drawQ($("#q-close"), q, z, { part: { centre: q.zMean, reach: CLOSE } });
}

function tell() {
  const { facts: { sorted, latents, used, kl_mean }, kl, terms: { reconstruction, kl: klSum, error, floor }, q } = now, cost = reconstruction + klSum;
  const below = Math.round(100 * maths.shareBelow(sorted, cost)), what = now.picked === null ? "Your drawing" : `The ${example(now.picked)} ${now.data.digits.labels[now.picked]}${now.strokes.length ? " with your strokes" : ""}`;
  $("#q-numbers").textContent = latents === 2 ? `Mean (${q.zMean.map((mu) => shown(mu, 2)).join(", ")}); standard deviations ${q.zLogVar.map((v) => shown(Math.exp(v / 2), 3)).join(" and ")}.` : "";
  $("#kl-numbers").textContent = `The KL of this drawing: ${shown(klSum)} nats, ${shown(maths.mean(used.map((i) => kl[i])), 2)} in a latent in use. The test digits’ mean: ${shown(kl_mean.reduce((a, b) => a + b))} nats.`;
  $("#cost-numbers").textContent = `−ELBO ${shown(cost)} ± ${shown(error)} = reconstruction ${shown(reconstruction)} + KL ${shown(klSum)} nats. Floor ${shown(floor)} nats. ${below} % of ${sorted.length} test digits cost less.`;
  $("#evidence-numbers").textContent = "Not summed yet.";
  whenItRests(`${what}: −ELBO ${shown(cost)} nats, reconstruction ${shown(reconstruction)} and KL ${shown(klSum)}. ${below} % of ${sorted.length} test digits cost less.`);
}

let resting;

/** A screen reader hears the numbers once they rest, and not each of a stroke's. */
function whenItRests(text) {
  clearTimeout(resting);
  resting = setTimeout(() => say("draw", text), 400);
}

// ---- Equation 7', for as long as the reader lets it run

let running = null;

function stopSum() {
  running = null;
  $("#sum").textContent = "Draw more and more";
  $("#evidence-numbers").removeAttribute("aria-busy");
}

async function toggleSum() {
  if (running) return stopSum();
  const { q, image, model } = now, still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (!q) return;
  const own = running = {}, tally = now.tally = new maths.Tally(maths.klOf(q));
  now.steps = [];
  $("#sum").textContent = "Stop";
  $("#evidence-numbers").setAttribute("aria-busy", true); // a screen reader hears the last numbers alone
  while (running === own && tally.count < MOST) {
    const epsilons = Array.from({ length: BATCH }, () => random.normal(q.zMean.length)), z = epsilons.map((epsilon) => maths.drawZ(q, epsilon));
    const logits = await decode(model, z);
    if (tally !== now.tally || q !== now.q) return; // another sum or drawing came in between
    logits.forEach((one, m) => {
      tally.add(maths.logLikelihood(image, one), maths.logRatio(q, epsilons[m], z[m]));
      if (tally.count < BATCH || tally.count % BATCH === 0) now.steps.push([tally.count, tally.negativeElbo, -tally.logEvidence]);
    });
    if (!still) showSum(tally);
    await new Promise(requestAnimationFrame);
  }
  if (tally !== now.tally || q !== now.q) return;
  showSum(tally);
  if (running === own) stopSum();
}

function showSum(tally) {
  drawEvidence($("#evidence"), now.steps, MOST);
  const { count, negativeElbo, logEvidence, largestShare } = tally;
  $("#evidence-numbers").textContent = `M = ${count}: −log P(X) ${shown(-logEvidence)} nats, −ELBO ${shown(negativeElbo)} nats; the gap is ${shown(negativeElbo + logEvidence, 2)} nats. ` +
    `The largest of the ${count} terms makes ${shown(100 * largestShare, 0)} % of the sum.`;
}

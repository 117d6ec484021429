// The pictures of the explorer, from numbers alone: images of ink, the map of latents, bars, a ruler, and a curve.
import { PAD, REACH, SIDE, toMap } from "./maths.js";

// those of vae_keras.plots: one colour for each thing, on the whole site
export const COLOURS = { black: "#000000", grey: "#767676", silver: "#BBBBBB", blue: "#0072B2", vermilion: "#D55E00", green: "#009E73" };

/** A number as the reader sees it, with a true minus sign. */
export const shown = (value, digits = 1) => value.toFixed(digits).replace("-", "−");

// ---- Images

/** Lay images, one after the other in an array of ink from 0 to 1, out on a canvas: black ink on white paper. */
export function paint(canvas, ink, { columns = 1, gap = 0, side = SIDE } = {}) {
  const cell = side + gap, images = ink.length / side ** 2, rows = Math.ceil(images / columns);
  Object.assign(canvas, { width: columns * cell - gap, height: rows * cell - gap });
  const picture = new ImageData(canvas.width, canvas.height), { data } = picture;
  data.fill(255);
  for (let image = 0; image < images; image++) {
    const left = (image % columns) * cell, top = Math.floor(image / columns) * cell;
    for (let pixel = 0; pixel < side ** 2; pixel++) {
      const at = 4 * ((top + Math.floor(pixel / side)) * canvas.width + left + (pixel % side));
      data[at] = data[at + 1] = data[at + 2] = 255 * (1 - ink[image * side ** 2 + pixel]);
    }
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

export const paintSheet = (canvas, sheet) => paint(canvas, sheet, { side: PAD });

export const wipe = (canvas, columns = 1) => paint(canvas, new Float32Array(SIDE * SIDE), { columns, gap: 2 });

// ---- The map of two latents

/** Draw encoded test digits: the whole map, with circles of the prior, or a part of it around a latent. */
export function drawMap(canvas, { points, colours }, part) {
  const context = canvas.getContext("2d"), size = canvas.width;
  context.clearRect(0, 0, size, size);
  context.globalAlpha = part ? 0.35 : 0.7;
  points.z.forEach((z, i) => {
    const [x, y] = toMap(z, part);
    context.fillStyle = colours[points.labels[i]];
    context.beginPath();
    context.arc(x * size, y * size, part ? 12 : 4, 0, 2 * Math.PI);
    context.fill();
  });
  context.globalAlpha = 1;
  if (part) return;
  drawPrior(context, size);
  Object.assign(context, { font: "italic 34px serif", fillStyle: "#000", strokeStyle: "#fff", lineWidth: 8 });
  for (const [name, x, y] of [["z₁ →", size - 80, size / 2 - 12], ["z₂ ↑", size / 2 + 12, 40]]) {
    context.strokeText(name, x, y);
    context.fillText(name, x, y);
  }
  drawLabels(context, points, colours, size);
}

/** Circles at one and two standard deviations of the prior. */
function drawPrior(context, size) {
  Object.assign(context, { strokeStyle: COLOURS.grey, lineWidth: 3 });
  for (const radius of [1, 2]) {
    context.beginPath();
    context.arc(size / 2, size / 2, (radius * size) / (2 * REACH), 0, 2 * Math.PI);
    context.stroke();
  }
}

/** The digits themselves, for readers who cannot go by colour. */
function drawLabels(context, points, colours, size) {
  Object.assign(context, { font: "bold 28px sans-serif", textAlign: "center", textBaseline: "middle", lineWidth: 3 });
  labelPlaces(points, colours.length, size).forEach(([x, y], digit) => {
    Object.assign(context, { fillStyle: "#fff", strokeStyle: colours[digit] });
    context.beginPath();
    context.arc(x, y, 20, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
    context.fillStyle = colours[digit];
    context.fillText(digit, x, y + 2);
  });
}

/** The middle of each digit's dots on the map, in its pixels; those that would cover each other are pushed apart. */
function labelPlaces(points, digits, size, room = 46) {
  const middles = Array.from({ length: digits }, (_, digit) => {
    const own = points.z.filter((_, i) => points.labels[i] === digit).map((z) => toMap(z));
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

// ---- Pictures made of lines

/** Add a shape to an SVG picture. */
export function mark(parent, tag, attributes, text = "") {
  const shape = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([name, value]) => shape.setAttribute(name, value));
  shape.textContent = text;
  return parent.appendChild(shape);
}

/** Empty a picture that is as wide as its place. Returns its width. */
function begin(svg, height) {
  const width = svg.parentNode.clientWidth;
  svg.replaceChildren();
  Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` }).forEach(([name, value]) => svg.setAttribute(name, value));
  return width;
}

const write = (svg, x, y, text, anchor = "middle") => mark(svg, "text", { x, y, "text-anchor": anchor }, text);

const line = (svg, x1, y1, x2, y2, stroke = COLOURS.grey, more = {}) => mark(svg, "line", { x1, y1, x2, y2, stroke, ...more });

const rect = (svg, x, y, width, height, fill, name) => mark(svg, "rect", { x, y, width: Math.max(0, width), height: Math.max(0, height), fill, class: name });

/** Round numbers from a to b, at most `most` of them. */
export function ticks(a, b, most) {
  const rough = (b - a) / most, ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * [1, 2, 5, 10].find((times) => times * ten >= rough);
  const first = Math.ceil(a / step - 1e-9);
  return Array.from({ length: Math.floor(b / step + 1e-9) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/**
 * Q(z|X) over a map: the ellipses at one and two standard deviations, its mean, and draws of z, the last one ringed.
 * On the whole map Q is small: a square shows what the close-up, which reaches as far as `close`, enlarges.
 */
export function drawQ(svg, { zMean, zLogVar }, draws, { part, close }) {
  const size = 960, { reach } = part ?? { reach: REACH };
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  const [cx, cy] = toMap(zMean, part).map((share) => share * size);
  const [rx, ry] = zLogVar.map((value) => (Math.exp(0.5 * value) * size) / (2 * reach));
  const half = (close * size) / (2 * reach);
  if (!part) mark(svg, "rect", { x: cx - half, y: cy - half, width: 2 * half, height: 2 * half, class: "enlarged" });
  for (const times of [2, 1]) {
    mark(svg, "ellipse", { cx, cy, rx: times * rx, ry: times * ry, class: "q" });
  }
  mark(svg, "circle", { cx, cy, r: part ? 7 : 4, class: "mean" });
  draws.forEach((z, i) => {
    const [x, y] = toMap(z, part).map((share) => share * size), last = i === draws.length - 1;
    mark(svg, "circle", { cx: x, cy: y, r: (last ? 16 : 7) / (part ? 1 : 2), class: last ? "z last" : "z" });
  });
}

/** Equation 14, latent by latent: a bar for each latent in use, and a line where the test digits' mean is. */
export function drawBars(svg, kl, usual, names) {
  const width = begin(svg, 206), [left, right, top, bottom] = [40, width - 8, 32, 166];
  const most = 1.1 * Math.max(...kl, ...usual), y = (nats) => bottom - ((bottom - top) * nats) / most;
  for (const nats of ticks(0, most, 4)) {
    line(svg, left, y(nats), right, y(nats), "#e4e4e4");
    write(svg, left - 6, y(nats) + 4, nats, "end");
  }
  const room = (right - left) / kl.length, every = Math.ceil((kl.length * 30) / (right - left));
  kl.forEach((nats, i) => {
    const middle = left + (i + 0.5) * room, half = Math.min(26, 0.35 * room);
    rect(svg, middle - half, y(nats), 2 * half, bottom - y(nats), COLOURS.green, "kl");
    line(svg, middle - 1.2 * half, y(usual[i]), middle + 1.2 * half, y(usual[i]), COLOURS.black, { "stroke-width": 2.5, class: "usual" });
    if (i % every === 0) write(svg, middle, bottom + 16, names[i]);
  });
  write(svg, right, bottom + 34, "latent", "end");
  write(svg, 8, 18, "KL, nats", "start");
}

/** The cost of an image on the ruler of the test digits: their numbers above, its two terms and its floor below. */
export function drawRuler(svg, { sorted, reconstruction, kl, floor }) {
  const width = begin(svg, 206), [left, right, top, base] = [8, width - 8, 40, 110];
  const cost = reconstruction + kl, end = 1.04 * Math.max(sorted.at(-1), cost), x = (nats) => left + ((right - left) * nats) / end;
  const bins = 60, counts = Array(bins).fill(0);
  sorted.forEach((one) => { counts[Math.floor((bins * one) / end)] += 1; });
  const most = Math.max(...counts);
  counts.forEach((count, i) => {
    const height = ((base - top) * count) / most;
    if (count) rect(svg, x((i * end) / bins), base - height, (right - left) / bins - 1, height, COLOURS.silver, "digits");
  });
  rect(svg, x(0), base + 10, x(reconstruction) - x(0), 22, COLOURS.vermilion, "reconstruction");
  rect(svg, x(reconstruction), base + 10, x(cost) - x(reconstruction), 22, COLOURS.green, "kl");
  line(svg, x(floor), base + 6, x(floor), base + 42, COLOURS.black, { "stroke-width": 2.5, class: "floor" });
  write(svg, x(floor), base + 56, `floor ${shown(floor)}`, side(x(floor), width));
  line(svg, x(cost), top - 14, x(cost), base + 36, COLOURS.blue, { "stroke-width": 3, class: "cost" });
  write(svg, x(cost), top - 20, `−ELBO ${shown(cost)}`, side(x(cost), width));
  line(svg, left, base + 66, right, base + 66);
  for (const nats of ticks(0, end, Math.max(2, width / 110))) {
    line(svg, x(nats), base + 66, x(nats), base + 71);
    write(svg, x(nats), base + 86, `${nats}${nats ? "" : " nats"}`, nats ? "middle" : "start");
  }
}

/** Where text stands beside a place, so that it does not leave the picture. */
const side = (x, width) => (x < 70 ? "start" : x > width - 70 ? "end" : "middle");

/** Equation 7' as M grows: `steps` are [M, -ELBO, -log P(X)]; M runs to `most` on a scale of logarithms. */
export function drawEvidence(svg, steps, most) {
  const width = begin(svg, 250), [left, right, top, bottom] = [52, width - 14, 32, 200];
  const values = steps.flatMap(([, elbo, evidence]) => [elbo, evidence]);
  const spread = Math.max(2, 1.2 * (Math.max(...values) - Math.min(...values))); // less than two nats is shown as little
  const low = (Math.max(...values) + Math.min(...values) - spread) / 2, high = low + spread;
  const x = (m) => left + ((right - left) * Math.log(m)) / Math.log(most), y = (nats) => bottom - ((bottom - top) * (nats - low)) / (high - low);
  for (const nats of ticks(low, high, 5)) {
    line(svg, left, y(nats), right, y(nats), "#e4e4e4");
    write(svg, left - 6, y(nats) + 4, shown(nats, spread < 5 ? 1 : 0), "end");
  }
  for (let m = 1; m <= most; m *= 10) write(svg, x(m), bottom + 18, m);
  write(svg, right, bottom + 38, "M, draws of z", "end");
  write(svg, 8, 18, "nats", "start");
  [["elbo", 1, COLOURS.blue], ["evidence", 2, COLOURS.black]].forEach(([name, i, stroke]) => {
    const d = steps.map((step, n) => `${n ? "L" : "M"}${x(step[0]).toFixed(2)} ${y(step[i]).toFixed(2)}`).join("");
    mark(svg, "path", { d, stroke, fill: "none", "stroke-width": 2.5, class: name });
    mark(svg, "circle", { cx: x(steps.at(-1)[0]), cy: y(steps.at(-1)[i]), r: 4, fill: stroke });
  });
}

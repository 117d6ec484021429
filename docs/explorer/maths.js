// The mathematics of the explorer, without a picture in it. Tests hold each function to NumPy's and Keras's numbers.
import { normals, uniforms } from "../_static/live/maths.js"; // the chance of the live figures, always the same for a seed

export const SIDE = 28; // pixels of an image
export const PAD = 280; // pixels of the sheet to draw on
const BOX = 20; // pixels that the longest side of a digit has in MNIST
const MIDDLE = 14; // the pixel on which MNIST puts the centre of mass

/** A generator of chance: pairs of standard normal numbers and uniform ones, from a seed. */
export const chance = (seed) => ({ normal: normals(seed), uniform: uniforms(seed ^ 0x5bd1e995) });

// ---- From a drawing to an image, as MNIST was made

/** Draw a line with a round pen into a sheet of ink, an array of 0 to 1: a pixel holds as much as the pen covers of it. */
export function stroke(sheet, [x0, y0], [x1, y1], radius) {
  const clip = (value) => Math.min(PAD - 1, Math.max(0, Math.floor(value)));
  const [dx, dy] = [x1 - x0, y1 - y0], length2 = dx * dx + dy * dy;
  for (let y = clip(Math.min(y0, y1) - radius - 1); y <= clip(Math.max(y0, y1) + radius + 1); y++) {
    for (let x = clip(Math.min(x0, x1) - radius - 1); x <= clip(Math.max(x0, x1) + radius + 1); x++) {
      const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
      const t = length2 ? Math.min(1, Math.max(0, (px * dx + py * dy) / length2)) : 0; // of the way, to the nearest point
      const covered = radius + 0.5 - Math.hypot(px - t * dx, py - t * dy);
      const at = y * PAD + x;
      sheet[at] = Math.max(sheet[at], Math.min(1, Math.max(0, covered)));
    }
  }
}

/** An image as a sheet to draw on: each pixel becomes a square. */
export function enlarge(image) {
  const times = PAD / SIDE;
  return Float32Array.from({ length: PAD * PAD }, (_, i) =>
    image[Math.floor(i / PAD / times) * SIDE + Math.floor((i % PAD) / times)]);
}

/** The box around what is drawn: its left, top, width and height; null if nothing is. */
export function boxAround(sheet) {
  let left = PAD, right = -1, top = PAD, bottom = -1;
  sheet.forEach((ink, i) => {
    if (!ink) return;
    const x = i % PAD, y = Math.floor(i / PAD);
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  });
  return right < 0 ? null : { left, top, width: right + 1 - left, height: bottom + 1 - top };
}

/** How much of each pixel of the sheet falls on pixel i of a smaller one, as [[pixel, share], ...]: an average over areas. */
function shares(i, scale, size) {
  const from = i * scale, to = Math.min(size, (i + 1) * scale), found = [];
  for (let pixel = Math.floor(from); pixel < to - 1e-9; pixel++) {
    found.push([pixel, (Math.min(to, pixel + 1) - Math.max(from, pixel)) / scale]);
  }
  return found;
}

/** Where the ink balances, in pixels counted from 0: the mean place of the ink along each axis. */
export function centreOfMass(image, width) {
  let [sum, x, y] = [0, 0, 0];
  image.forEach((ink, i) => { sum += ink; x += ink * (i % width); y += ink * Math.floor(i / width); });
  return [x / sum, y / sum];
}

/** Make of a sheet what MNIST would have: the box shrunk to 20 pixels, its centre of mass on pixel 14; null if it is blank. */
export function asMnist(sheet) {
  const box = boxAround(sheet);
  if (!box) return null;
  const scale = Math.max(box.width, box.height) / BOX;
  const columns = Math.ceil(box.width / scale - 1e-9), rows = Math.ceil(box.height / scale - 1e-9);
  const small = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (const [y, down] of shares(row, scale, box.height)) {
        for (const [x, across] of shares(column, scale, box.width)) {
          small[row * columns + column] += down * across * sheet[(box.top + y) * PAD + box.left + x];
        }
      }
    }
  }
  const [x, y] = centreOfMass(small, columns);
  const right = shiftOf(x, columns), down = shiftOf(y, rows), image = new Float32Array(SIDE * SIDE);
  small.forEach((ink, i) => {
    image[(down + Math.floor(i / columns)) * SIDE + right + (i % columns)] = Math.min(1, ink);
  });
  return image;
}

/** How far to move along an axis, in whole pixels; never so far that ink is lost. */
const shiftOf = (centre, size) => Math.min(SIDE - size, Math.max(0, Math.floor(MIDDLE + 0.5 - centre)));

// ---- What the encoder and the decoder say, in nats

export const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));

const sum = (values) => values.reduce((total, value) => total + value, 0);
export const mean = (values) => sum(values) / values.length;

/** Equation 14, the second bracket: D(Q(z|X) || N(0, 1)) of each latent. */
export const klPerLatent = ({ zMean, zLogVar }) =>
  zMean.map((mu, i) => 0.5 * (Math.exp(zLogVar[i]) + mu ** 2 - 1 - zLogVar[i]));
export const klOf = (q) => sum(klPerLatent(q));

/** Equation 13: z = mu + s epsilon, where s = exp(log variance / 2). */
export const drawZ = ({ zMean, zLogVar }, epsilon) => zMean.map((mu, i) => mu + Math.exp(0.5 * zLogVar[i]) * epsilon[i]);

/** log P(X|z) of Bernoulli pixels, from logits: x log p + (1 - x) log(1 - p), summed. Source: note to Equation 5. */
export function logLikelihood(x, logits) {
  let total = 0;
  x.forEach((ink, i) => { total += ink * logits[i] - Math.max(0, logits[i]) - Math.log1p(Math.exp(-Math.abs(logits[i]))); });
  return total;
}

/** log P(z) / Q(z|X) of z = mu + s epsilon; the constants of the two normal densities cancel. */
export const logRatio = ({ zLogVar }, epsilon, z) =>
  0.5 * sum(z.map((one, i) => epsilon[i] ** 2 - one ** 2 + zLogVar[i]));

/** The entropy of grey pixels in nats: no decoder explains the image at a lower cost. */
export const floorOf = (x) => -sum(Array.from(x, (p) => (p > 0 ? p * Math.log(p) : 0) + (p < 1 ? (1 - p) * Math.log(1 - p) : 0)));

/** The standard error of a mean. */
export function errorOf(values) {
  const middle = mean(values);
  return Math.sqrt(sum(values.map((value) => (value - middle) ** 2)) / (values.length - 1) / values.length);
}

/**
 * Equation 14 for one image, and its twin Equation 7': draws are counted as they come.
 * `logPs` are log P(X|z_m), `logRatios` log P(z_m) / Q(z_m|X).
 */
export class Tally {
  constructor(kl) {
    Object.assign(this, { kl, count: 0, sumOfLogs: 0, logOfSum: -Infinity, largest: -Infinity });
  }

  add(logP, ratio) {
    const logWeight = logP + ratio, most = Math.max(this.logOfSum, logWeight);
    this.count += 1;
    this.sumOfLogs += logP;
    this.logOfSum = most + Math.log(Math.exp(this.logOfSum - most) + Math.exp(logWeight - most));
    this.largest = Math.max(this.largest, logWeight);
  }

  /** -ELBO: the mean of -log P(X|z), and the KL, which is exact. */
  get negativeElbo() { return this.kl - this.sumOfLogs / this.count; }

  /** Equation 7': the logarithm of the mean of the weights. */
  get logEvidence() { return this.logOfSum - Math.log(this.count); }

  /** The share that the largest weight has of the sum: near 1, the estimate rests on a single draw. */
  get largestShare() { return Math.exp(this.largest - this.logOfSum); }
}

/** How many of sorted numbers are below a value, as a share of all. */
export const shareBelow = (sorted, value) => sorted.filter((one) => one < value).length / sorted.length;

// ---- Latents

export const REACH = 3; // the map shows latents from -3 to 3

/** The whole map; and a part of it, around a latent. */
const WHOLE = { centre: [0, 0], reach: REACH };

/** Place a latent on the map, as fractions of its width and height: z1 grows to the right, z2 upwards. */
export const toMap = ([z1, z2], { centre: [c1, c2], reach } = WHOLE) =>
  [0.5 + (z1 - c1) / (2 * reach), 0.5 - (z2 - c2) / (2 * reach)];

/** The latent at a place of the map: the inverse of `toMap`. */
export const fromMap = ([x, y], { centre: [c1, c2], reach } = WHOLE) =>
  [c1 + reach * (2 * x - 1), c2 + reach * (1 - 2 * y)];

export const onMap = (z) => z.map((value) => Math.min(REACH, Math.max(-REACH, value)));

export const drawNormal = ({ normal }, latents = 64) => normal(latents);

/** Equation 2, over latents: choose a component by its weight, then draw from its normal, mean + root × noise. */
export function drawMixture({ used, weights, means, roots }, random) {
  const z = drawNormal(random); // which stays as it is along the latents not in use
  let u = random.uniform(), k = 0;
  while (u >= weights[k] && k < weights.length - 1) u -= weights[k++];
  const noise = used.map((latent) => z[latent]);
  used.forEach((latent, i) => (z[latent] = means[k][i] + sum(roots[k][i].map((root, j) => root * noise[j]))));
  return z;
}

export const STEPS = 11; // pictures in a walk

/** Latents at even steps from a to b, both ends included. */
export function walk(a, b) {
  const times = Array.from({ length: STEPS }, (_, step) => step / (STEPS - 1));
  return times.map((t) => a.map((from, i) => (1 - t) * from + t * b[i]));
}

/** The label of the test digit that is encoded nearest to z. */
export function nearest([z1, z2], { z, labels }) {
  const distances = z.map(([a, b]) => (a - z1) ** 2 + (b - z2) ** 2);
  return labels[distances.indexOf(Math.min(...distances))];
}

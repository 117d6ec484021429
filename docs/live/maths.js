// The mathematics of the live figures, without a picture in it. Tests hold each function to Python's numbers.

// ---- Chance that every computer repeats

/** The generator mulberry32: uniform numbers in [0, 1), always the same ones for a seed. */
export function uniforms(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Box and Muller: two uniform numbers make two standard normal ones. The answer draws the next n, an even number. */
export function normals(seed) {
  const uniform = uniforms(seed);
  const pair = () => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  };
  return (n) => Array.from({ length: n / 2 }, pair).flat();
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The logarithm of the density of N(mu, s^2), and the density. */
export const logNormal = (x, mu, s) => -0.5 * ((x - mu) / s) ** 2 - Math.log(s * Math.sqrt(2 * Math.PI));
export const normalDensity = (x, mu, s) => Math.exp(logNormal(x, mu, s));

// ---- D, notebook 05: why a gradient exists. Here f(z) = (z - c)^2

export const C = 0.5; // the minimum of f
export const H = 0.05; // the step of the quotient
export const POINTS = 12;

/** Equation 13: z = mu + s epsilon. */
export const drawZ = (mu, s, epsilon) => epsilon.map((e) => mu + s * e);

/** The average of f over the points. */
export const meanOfF = (z) => mean(z.map((one) => (one - C) ** 2));

/** E[f] = (mu - c)^2 + s^2, exact. */
export const expectedF = (mu, s) => (mu - C) ** 2 + s ** 2;

/** Equation 13's gradient: dz/dmu = 1, so the slope in mu is the mean of f'(z) = 2(z - c). */
export const slopeInMu = (z) => mean(z.map((one) => 2 * (one - C)));

/** Equation 13's gradient: dz/ds = epsilon, so the slope in s is the mean of f'(z) epsilon. */
export const slopeInS = (z, epsilon) => mean(z.map((one, m) => 2 * (one - C) * epsilon[m]));

/** The exact slopes of E[f]: 2(mu - c) in mu, and 2s in s. */
export const exactSlopes = (mu, s) => [2 * (mu - C), 2 * s];

/** The change of the average over h, as mu grows by h; `after` is the noise at mu + h. */
export const quotient = (mu, s, epsilon, after) =>
  (meanOfF(drawZ(mu + H, s, after)) - meanOfF(drawZ(mu, s, epsilon))) / H;

/** The noise of each next position: fixed, the first 12 numbers of the seed; fresh, the next 12, and 12 for mu + h. */
export function noiseOf(seed, fixed) {
  const next = normals(seed);
  if (!fixed) return () => ({ epsilon: next(POINTS), after: next(POINTS) });
  const epsilon = next(POINTS);
  return () => ({ epsilon, after: epsilon });
}

// ---- B, notebook 03: which draws from the prior carry the sum of Equation 6. An observation is K points in the plane:
// each lies near a spiral, and has a latent of its own

export const MOST = 16; // latents are drawn, whatever K is shown
export const DRAWS = 1000; // M
const NOISE = 0.2; // sigma, around the spiral
export const NEAR = 2 * NOISE;

/** The distribution function of N(0, 1), by its power series: exact to rounding where anything is drawn. */
export function normalCdf(z) {
  let term = z, sum = z;
  for (let n = 3; Math.abs(term) > 1e-17; n += 2) sum += term *= (z * z) / n;
  return 0.5 + sum * normalDensity(z, 0, 1);
}

/** The decoder of one latent, g(z). */
export function spiral(z) {
  const u = normalCdf(z), radius = 1.5 * (0.3 + 0.7 * u), angle = 2 * Math.PI * 1.5 * u;
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

/** Of a seed: the 16 points of an observation, and for each draw z_m from the prior its 16 means g(z_m). */
export function observed(seed) {
  const cosines = normals(seed)(2 * MOST * (3 + DRAWS)).filter((_, i) => i % 2 === 0);
  const row = (m) => cosines.slice(MOST * m, MOST * (m + 1));
  const noise = cosines.slice(MOST, 3 * MOST);
  const x = row(0).map((z, k) => spiral(z).map((mean, i) => mean + NOISE * noise[2 * k + i]));
  return { x, draws: Array.from({ length: DRAWS }, (_, m) => row(3 + m).map(spiral)) };
}

const logSum = (logs) => {
  const most = logs.reduce((one, other) => Math.max(one, other));
  return most + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - most), 0));
};
const logAround = (point, centre) => logNormal(point[0], centre[0], NOISE) + logNormal(point[1], centre[1], NOISE);

/** Equation 6 for the points x: log p(x|z_m) of each draw, its share w_m of the sum, and the estimate of log P(x). */
export function shareOut(x, draws) {
  const logTerms = draws.map((means) => x.reduce((sum, point, k) => sum + logAround(point, means[k]), 0));
  const total = logSum(logTerms);
  return { logTerms, shares: logTerms.map((log) => Math.exp(log - total)), estimate: total - Math.log(draws.length) };
}

/** Whether a decoded draw is near its point: within two sigma. */
export const isNear = (point, mean) => Math.hypot(point[0] - mean[0], point[1] - mean[1]) < NEAR;

const NODES = Array.from({ length: 401 }, (_, i) => -6 + 0.03 * i).map((z) => [spiral(z), logNormal(z, 0, 1) + Math.log(0.03)]);

/** log P(x) itself: the latents are independent, so each point has an integral of its own, a sum over a grid. */
export const logP = (x) => x.reduce((sum, point) => sum + logSum(NODES.map(([centre, log]) => log + logAround(point, centre))), 0);

// ---- C, notebook 04: log P(X) = ELBO + gap, for one latent, a decoder with two hidden units and one observation

export const X = 2;
export const SIGMA = 0.5;
const DZ = 0.01; // an integral over z is a sum over this grid, times its step
const GRID = Array.from({ length: 3201 }, (_, i) => -16 + DZ * i);
const integral = (f) => DZ * GRID.reduce((sum, z, i) => sum + f(z, i), 0);

/** The decoder, g(z). */
export const decoder = (z) => 2 * Math.tanh(2 * z + 2) - 2 * Math.tanh(z - 1);

/** log P(x|z), the decoder's part of Equation 9. */
export const logLikelihood = (z) => logNormal(X, decoder(z), SIGMA);
const logLikelihoods = GRID.map(logLikelihood);

/** Equation 6 by the grid: log P(x), the evidence. */
export const LOG_EVIDENCE = Math.log(integral((z, i) => Math.exp(logLikelihoods[i] + logNormal(z, 0, 1))));

/** Bayes' rule: log P(z|x), the exact posterior. */
export const logPosterior = (z) => logLikelihood(z) + logNormal(z, 0, 1) - LOG_EVIDENCE;
const logPosteriors = GRID.map(logPosterior);

/** Equation 9 for Q = N(mu, s^2): both terms of its right side, their difference, and the gap of Equation 8. */
export function bound(mu, s) {
  const logQ = (z) => logNormal(z, mu, s);
  const reconstruction = integral((z, i) => Math.exp(logQ(z)) * logLikelihoods[i]);
  const kl = (s ** 2 + mu ** 2 - 1) / 2 - Math.log(s);
  const gap = integral((z, i) => Math.exp(logQ(z)) * (logQ(z) - logPosteriors[i])); // not log P(x) - ELBO
  return { reconstruction, kl, elbo: reconstruction - kl, gap };
}

/** The slopes of the ELBO in mu and in log s. */
export function slopesOfElbo(mu, s) {
  const weighted = (weight) => integral((z, i) => normalDensity(z, mu, s) * weight((z - mu) / s) * logLikelihoods[i]);
  return [weighted((e) => e) / s - mu, weighted((e) => e ** 2 - 1) - (s ** 2 - 1)];
}

/** One step of the climb: both slopes are taken before either moves. */
export function climbed(mu, s, rate = 0.02) {
  const [inMu, inLogS] = slopesOfElbo(mu, s);
  return [mu + rate * inMu, s * Math.exp(rate * inLogS)];
}

// ---- A, notebook 02: a uniform number u becomes x = F^-1(u)

const exponential = {
  cdf: (lambda, x) => (x < 0 ? 0 : -Math.expm1(-lambda * x)),
  inverse: (lambda, u) => -Math.log1p(-u) / lambda,
  density: (lambda, x) => (x < 0 ? 0 : lambda * Math.exp(-lambda * x)),
};

/** Buses in an hour and a half, at lambda an hour: p(k) = p(k - 1) m / k with m = 1.5 lambda. */
const poisson = {
  density(lambda, k) {
    let p = Number.isInteger(k) && k >= 0 ? Math.exp(-1.5 * lambda) : 0;
    for (let i = 1; i <= k; i++) p *= (1.5 * lambda) / i;
    return p;
  },
  cdf(lambda, x) {
    let sum = 0;
    for (let k = 0; k <= x; k++) sum += poisson.density(lambda, k);
    return sum;
  },
  inverse(lambda, u) { // the first k with F(k) >= u
    let k = 0, p = Math.exp(-1.5 * lambda), sum = p;
    while (sum < u) {
      p *= (1.5 * lambda) / ++k;
      sum += p;
    }
    return k;
  },
};

const pieces = {
  cdf: (_, x) => (Math.min(1, Math.max(0, x + 2)) + Math.min(1, Math.max(0, x - 1))) / 2,
  inverse: (_, u) => (u <= 0.5 ? 2 * u - 2 : 2 * u),
  density: (_, x) => (Math.abs(x) > 1 && Math.abs(x) < 2 ? 0.5 : 0),
};

const LAWS = { exponential, poisson, pieces };

/** The cumulative distribution function, F(x). */
export const cdf = (target, lambda, x) => LAWS[target].cdf(lambda, x);

/** F^-1(u), the first x with F(x) >= u: it makes Equation 3 right for each F. */
export const inverse = (target, lambda, u) => LAWS[target].inverse(lambda, Math.min(1 - 1e-9, Math.max(1e-9, u)));

/** The density; for the Poisson distribution the probability of x. */
export const density = (target, lambda, x) => LAWS[target].density(lambda, x);

/** The distance of Kolmogorov and Smirnov: the largest gap between F and the share of the values that are at most x. */
export function largestGap(target, lambda, values) {
  const sorted = Float64Array.from(values).sort(), n = sorted.length;
  let gap = 0, smaller = 0;
  sorted.forEach((x, i) => {
    if (sorted[i + 1] === x) return; // counted with the last of its equals
    const at = cdf(target, lambda, x), below = target === "poisson" ? cdf(target, lambda, x - 1) : at;
    gap = Math.max(gap, Math.abs((i + 1) / n - at), Math.abs(below - smaller / n));
    smaller = i + 1;
  });
  return gap;
}

/** A histogram as a density: the height of each of so many bins from low to high; values outside count in n alone. */
export function histogram(values, low, high, bins) {
  const counts = Array(bins).fill(0), width = (high - low) / bins;
  for (const value of values) {
    const bin = Math.floor((value - low) / width);
    if (bin >= 0 && bin < bins) counts[bin] += 1;
  }
  return counts.map((count) => count / (values.length * width));
}

// ---- E, notebook 11: rate and distortion

/** What a model minimises that is trained with this beta: D + beta R. */
export const costAt = (beta, { rate, distortion }) => distortion + beta * rate;

/** The least cost of the models but one: the one that was trained with this beta should be below it. */
export const bestOfOthers = (beta, models, except) => Math.min(...models.filter((model, i) => i !== except).map((model) => costAt(beta, model)));

// ---- G, notebook 08: ways between two codes

export const lengthOf = (z) => Math.hypot(...z);

/** The logarithm of the density of N(0, I). */
export const logPrior = (z) => z.reduce((sum, one) => sum + logNormal(one, 0, 1), 0);

/** The point at the share t of the way from a to b: on the straight line, or on the arc about the origin. */
export function between(a, b, t, isArc) {
  const inner = a.reduce((sum, one, i) => sum + one * b[i], 0), cosine = inner / (lengthOf(a) * lengthOf(b));
  const angle = isArc ? Math.acos(Math.min(1, Math.max(-1, cosine))) : 0;
  const isStraight = !(Math.sin(angle) > 1e-6); // or there is no one arc
  const share = (part) => (isStraight ? part : Math.sin(part * angle) / Math.sin(angle));
  return a.map((one, i) => share(1 - t) * one + share(t) * b[i]);
}

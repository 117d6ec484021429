// Live figure D, notebook 05: why a gradient exists. A normal distribution is moved; its points slide, or they jump.
import { COLOURS, button, choice, curve, d3, dashed, explain, frame, graph, handle, panel, shown, slider, snap, tell, write } from "./figure.js";
import { C, POINTS, drawZ, exactSlopes, expectedF, meanOfF, noiseOf, normalDensity, quotient, slopeInMu, slopeInS } from "./maths.js";

const START = { mu: 1.5, s: 0.5, fixed: true, seed: 1 };
const MU = { label: "μ, mean", min: -1, max: 3, step: 0.05 };
const S = { label: "s, width", min: 0.1, max: 1.5, step: 0.05 };
const ROWS = 6; // of a tail: so many positions back
const KEPT = 200; // dots of the trace

export function mount(element) {
  const state = { ...START }, parts = {};
  let noise; // of each next position

  const visit = () => {
    const { mu, s } = state, { epsilon, after } = noise(), z = drawZ(mu, s, epsilon);
    state.here = { mu, s, epsilon, after, z, mean: meanOfF(z) };
    state.past = [state.here, ...state.past].slice(0, ROWS + 1);
    state.trace = [...state.trace.filter((one) => one.s === s), state.here].slice(-KEPT);
    draw(parts, state);
  };
  const begin = (change) => {
    Object.assign(state, change, { past: [], trace: [] });
    noise = noiseOf(state.seed, state.fixed);
    visit();
  };
  const mover = (name, range) => (value) => {
    const before = state[name];
    state[name] = snap(value, range);
    if (state[name] !== before) visit();
  };
  const moveMu = mover("mu", MU), moveS = mover("s", S);
  const reset = () => begin(START), newSeed = () => begin({ seed: state.seed + 1 });

  Object.assign(parts, frame(element, {
    label: "Live figure: why a gradient exists",
    says: "Drag the normal distribution. With the same noise the points slide, and the average of f is a smooth curve. " +
      "With fresh noise they jump, and it has no slope.",
    describe: "Above: a normal density, and 12 points drawn from it; a tail under each shows where it was before. " +
      "Below: the average of f over the points, as the mean moves, beside its exact expectation.",
    keysSay: "Keys: ← → move μ, ↑ ↓ change s; f switches fixed and fresh, n takes a new seed, r resets.",
    keys: {
      ArrowLeft: () => moveMu(state.mu - MU.step), ArrowRight: () => moveMu(state.mu + MU.step),
      ArrowDown: () => moveS(state.s - S.step), ArrowUp: () => moveS(state.s + S.step),
      f: () => begin({ fixed: !state.fixed }), n: newSeed, r: reset,
    },
    draw: () => draw(parts, state),
  }));
  parts.setMu = slider(parts.controls, { ...MU, onInput: moveMu });
  parts.setS = slider(parts.controls, { ...S, onInput: moveS });
  const options = { fixed: "fixed", fresh: "fresh at each move" };
  parts.setNoise = choice(parts.buttons, { label: "noise ε", options, onChange: (value) => begin({ fixed: value === "fixed" }) });
  button(parts.buttons, "New seed", newSeed);
  button(parts.buttons, "Reset", reset);
  parts.top = handle(parts.handles, {
    name: "μ", colour: COLOURS.green, where: () => place(parts, state, state.mu), onDrag: (x) => moveMu(parts.x.invert(x)),
  });
  parts.shoulder = handle(parts.handles, {
    name: "s", colour: COLOURS.green, where: () => place(parts, state, state.mu + state.s),
    onDrag: (x) => moveS(parts.x.invert(x) - state.mu),
  });
  begin(START);
}

/** Where the density's curve is at z, in pixels. */
const place = ({ x, y }, { mu, s }, z) => [x(z), y(normalDensity(z, mu, s))];

function draw(parts, state) {
  const { mu, s, fixed } = state, width = parts.picture.node().clientWidth;
  if (!width) return; // not laid out yet
  parts.plot.selectChildren().remove();
  parts.svg.attr("width", width).attr("height", 610);
  parts.x = d3.scaleLinear([-2, 5], [44, width - 12]);
  drawPoints(parts, state);
  drawAverage(parts, state);
  parts.top();
  parts.shoulder();
  parts.setMu(mu);
  parts.setS(s);
  parts.setNoise(fixed ? "fixed" : "fresh");
  explain(parts.legend, [
    ["area", COLOURS.green, "density of N(μ, s²)"], ["dot", colourOf(state), `its ${POINTS} points; their average of f`],
    ["line", COLOURS.black, "E[f], exact"], ["line", COLOURS.vermilion, fixed ? "tangent" : "tangent: none"],
  ]);
  tellNumbers(parts.numbers, state);
}

const colourOf = ({ fixed }) => (fixed ? COLOURS.green : COLOURS.orange);

/** The upper panel: the density, its points, and under them the rows of earlier positions. */
function drawPoints(parts, state) {
  const { mu, s, past } = state, colour = colourOf(state);
  const highest = Math.max(0.9, 1.12 * normalDensity(mu, mu, s)); // of the axis: a narrow density outgrows it
  const y = parts.y = d3.scaleLinear([0, highest], [220, 30]);
  const scale = d3.scaleLinear([y.invert(300), highest], [300, 30]); // with room for the tails
  const yTicks = y.ticks(4);
  const inside = panel(parts.plot, { x: parts.x, y: scale, yTicks, title: "The points z = μ + s ε", xLabel: "z", yLabel: "density" });
  const density = graph((z) => normalDensity(z, mu, s), -2, 5, 400);
  const area = d3.area((point) => parts.x(point[0]), y(0), (point) => y(point[1]));
  inside.append("path").attr("d", area(density)).attr("fill", COLOURS.green).attr("opacity", 0.15);
  curve(inside, density, parts.x, y, COLOURS.green);
  dashed(inside, parts.x(mu), 30, 300);
  const down = (row) => y(0) + 12 * row; // pixels; row 0 is now
  for (let m = 0; m < POINTS; m++) {
    const tail = past.map(({ z }, row) => [z[m], row]);
    curve(inside, tail, parts.x, down, colour, 1.5).attr("class", "live-tail").attr("opacity", 0.6);
  }
  const points = inside.selectAll("circle").data(state.here.z).join("circle").attr("class", "live-point");
  points.attr("cx", (z) => parts.x(z)).attr("cy", y(0)).attr("r", 4.5).attr("fill", colour).attr("stroke", "white");
  write(inside, 50, y(0) + 14, "now", "start");
  write(inside, 50, 294, "earlier ↓", "start");
}

/** The lower panel: E[f], and a dot for each position visited. */
function drawAverage({ plot, x }, state) {
  const { mu, s, here, trace, fixed } = state, colour = colourOf(state);
  const highest = 1.2 * expectedF(MU.max, s);
  const y = d3.scaleLinear([0, highest], [570, 370]);
  const inside = panel(plot, { x, y, title: `The average of f(z) = (z − ${C})²`, xLabel: "μ", yLabel: "average of f" });
  dashed(inside, x(mu), 370, 570);
  curve(inside, graph((at) => expectedF(at, s), MU.min, MU.max), x, y, COLOURS.black);
  curve(inside, trace.map((one) => [one.mu, one.mean]), x, y, colour, 1.5).attr("class", "live-trace");
  const dots = inside.selectAll("circle").data(trace).join("circle").attr("class", "live-visited");
  dots.attr("cx", (one) => x(one.mu)).attr("cy", (one) => y(one.mean)).attr("r", (one) => (one === here ? 6 : 3.5));
  dots.attr("fill", colour).attr("stroke", "white");
  const slope = slopeInMu(here.z), line = [-0.8, 0.8].map((step) => [mu + step, here.mean + slope * step]);
  if (fixed) curve(inside, line, x, y, COLOURS.vermilion, 2.5).attr("class", "live-tangent");
}

function tellNumbers(numbers, { mu, s, seed, here: { z, epsilon, after, mean } }) {
  const [inMu, inS] = exactSlopes(mu, s);
  tell(numbers, [
    ["mean f", shown(mean), "E[f]", shown(expectedF(mu, s))],
    ["slope in μ", shown(slopeInMu(z)), "exact", shown(inMu)],
    ["slope in s", shown(slopeInS(z, epsilon)), "exact", shown(inS)],
    ["quotient, h = 0.05:", shown(quotient(mu, s, epsilon, after))],
    ["seed", seed],
  ]);
}

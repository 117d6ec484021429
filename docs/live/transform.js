// Live figure A, notebook 02: a uniform number u goes across to the curve F, and falls onto x. A histogram of the x grows.
import { COLOURS, button, choice, curve, d3, dot, explain, frame, graph, panel, rect, shown, slider, snap, tell, write } from "./figure.js";
import { cdf, density, histogram, inverse, largestGap, uniforms } from "./maths.js";

const LAMBDA = { label: "λ", min: 0.5, max: 4, step: 0.1, text: (value) => shown(value, 1) };
const U = { min: 0, max: 1, step: 0.01 };
const TARGETS = { exponential: "exponential", poisson: "Poisson, mean 1.5 λ", pieces: "two pieces" };
const SHOWN = { exponential: [0, 3, 40], poisson: [-0.5, 12.5, 13], pieces: [-2.5, 2.5, 40] }; // from, to, bins
const FALL = 600; // milliseconds of a drop
const KEPT = 12; // lines that stay, fading

export function mount(element) {
  const state = { target: "exponential", lambda: 2, hand: 0.5, running: false }, parts = {};
  let uniform, timer;

  const count = () => {
    if (state.falling === null) return;
    state.drops.push(inverse(state.target, state.lambda, state.falling));
    state.lines = [...state.lines, state.falling].slice(-KEPT);
    Object.assign(state, { last: state.falling, falling: null });
  };
  const release = () => Object.assign(state, { falling: uniform(), share: 0 });
  const stop = () => {
    timer?.stop();
    state.running = false;
    count();
    draw(parts, state);
  };
  const drop = () => {
    timer?.stop();
    count();
    release();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) count(); // it is there at once
    timer = d3.timer((elapsed) => {
      state.share = elapsed / FALL;
      if (state.share >= 1) state.running ? drop() : stop();
      draw(parts, state);
    });
    draw(parts, state);
  };
  const run = () => { state.running = !state.running; state.running ? drop() : stop(); };
  const thousand = () => {
    stop();
    for (let i = 0; i < 1000; i++) { release(); count(); }
    draw(parts, state);
  };
  const begin = (change = {}) => {
    uniform = uniforms(1); // the same drops again
    Object.assign(state, change, { drops: [], lines: [], falling: null, last: state.hand });
    stop();
  };
  const setLambda = (value) => state.target !== "pieces" && begin({ lambda: snap(value, LAMBDA) });
  const setHand = (u) => { state.hand = state.last = snap(u, U); draw(parts, state); };
  const aim = (target) => () => begin({ target });

  Object.assign(parts, frame(element, {
    label: "Live figure: from u to x",
    says: "A uniform number u goes across to the curve F, and falls onto x. Let drops fall, change the curve, or drag u yourself: " +
      "the curve alone decides where they gather.",
    describe: "Above: the curve of the cumulative distribution function, with lines from u on the left axis across to it and down to x. " +
      "Below: the histogram of the drops, and the density that they should have.",
    keysSay: "Keys: space lets one drop fall, Enter runs or stops, t lets 1000 fall, r starts again; ↑ ↓ move u, ← → change λ, 1 2 3 choose F.",
    keys: {
      ArrowLeft: () => setLambda(state.lambda - LAMBDA.step), ArrowRight: () => setLambda(state.lambda + LAMBDA.step),
      ArrowDown: () => setHand(state.hand - U.step), ArrowUp: () => setHand(state.hand + U.step),
      1: aim("exponential"), 2: aim("poisson"), 3: aim("pieces"),
      " ": drop, Enter: run, t: thousand, r: () => begin(),
    },
    draw: () => draw(parts, state),
  }));
  parts.setTarget = choice(parts.controls, { label: "F", options: TARGETS, onChange: (target) => begin({ target }) });
  parts.setLambda = slider(parts.controls, { ...LAMBDA, onInput: setLambda });
  button(parts.buttons, "One drop", drop);
  parts.run = button(parts.buttons, "Run", run);
  button(parts.buttons, "1000 at once", thousand);
  button(parts.buttons, "Start again", () => begin());
  parts.hand = parts.handles.append("g").attr("class", "live-handle live-upright");
  parts.hand.append("rect").attr("x", 24).attr("y", 10).attr("width", 40).attr("height", 240).attr("fill", "transparent");
  parts.hand.append("circle").attr("cx", 44).attr("r", 8).attr("fill", "white").attr("stroke", COLOURS.sky).attr("stroke-width", 3);
  parts.hand.call(d3.drag().container(parts.handles.node()).on("start drag", (event) => setHand(parts.u.invert(event.y))));
  begin();
}

function draw(parts, state) {
  const { target, lambda, drops, last, running } = state, width = parts.picture.node().clientWidth;
  if (!width) return; // not laid out yet
  parts.plot.selectChildren().remove();
  parts.svg.attr("width", width).attr("height", 540);
  parts.x = d3.scaleLinear(SHOWN[target].slice(0, 2), [44, width - 12]);
  parts.u = d3.scaleLinear([0, 1], [250, 30]);
  drawTransform(parts, state);
  drawHistogram(parts, state);
  parts.hand.select("circle").attr("cy", parts.u(state.hand));
  parts.setTarget(target);
  parts.setLambda(lambda);
  parts.controls.select("input[type=range]").property("disabled", target === "pieces"); // it has no λ
  parts.run.text(running ? "Stop" : "Run");
  explain(parts.legend, [["dot", COLOURS.sky, "u, uniform"], ["line", COLOURS.black, "F, and the truth"], ["dot", COLOURS.vermilion, "x, and its histogram"]]);
  const gap = ["largest gap D", shown(largestGap(target, lambda, drops))];
  const usual = ["19 of 20 times or more below 1.36/√n =", shown(1.36 / Math.sqrt(drops.length))];
  tell(parts.numbers, [
    ["u =", shown(last, 2)], ["becomes x =", shownX(target, inverse(target, lambda, last))], ["drops n", drops.length],
    ...(drops.length ? [gap, usual] : []),
  ]);
}

const shownX = (target, x) => shown(x, target === "poisson" ? 0 : 2);

/** The upper panel: F, the way of the last drops, of the one that falls, and of the u by hand. */
function drawTransform({ plot, x, u: y }, state) {
  const { target, lambda, lines, falling, share, hand } = state, [from, to] = SHOWN[target];
  const inside = panel(plot, { x, y, title: "From u across to F, and down to x", xLabel: "x", yLabel: "u = F(x)" });
  const find = (u) => inverse(target, lambda, u);
  lines.forEach((u, i) => drawWay(inside, x, y, u, find(u), COLOURS.silver).attr("opacity", (i + KEPT - lines.length + 3) / (KEPT + 2)));
  const steps = d3.range(from + 0.5, to + 1).flatMap((k) => [[k, cdf(target, lambda, k - 1)], [k, cdf(target, lambda, k)]]);
  const points = target === "poisson" ? [[from, 0], ...steps] : graph((at) => cdf(target, lambda, at), from, to, 600);
  curve(inside, points, x, y, COLOURS.black);
  drawWay(inside, x, y, hand, find(hand), COLOURS.grey).classed("live-hand", true);
  const toTheLeft = x(find(hand)) > x((from + to) / 2); // of the curve is more room
  const words = `u = ${shown(hand, 2)}, x = ${shownX(target, find(hand))}`;
  write(inside, x(find(hand)) + (toTheLeft ? -10 : 10), y(hand) + 18, words, toTheLeft ? "end" : "start");
  if (falling !== null) drawWay(inside, x, y, falling, find(falling), COLOURS.grey, share);
}

/** The way of u, as far as it has come: in the first half of its time across, in the second down. */
function drawWay(inside, x, y, u, value, colour, share = 1) {
  const [left] = x.domain(), group = inside.append("g").attr("class", "live-way");
  const across = left + (value - left) * Math.min(1, 2 * share), down = u * Math.min(1, 2 - 2 * share);
  curve(group, [[left, u], [across, u], ...(share > 0.5 ? [[value, down]] : [])], x, y, colour, 1.5);
  dot(group, x(left), y(u), COLOURS.sky);
  dot(group, x(across), y(down), share < 1 ? COLOURS.sky : COLOURS.vermilion);
  return group;
}

/** The lower panel: what has fallen, and what should. */
function drawHistogram({ plot, x }, { target, lambda, drops }) {
  const [from, to, bins] = SHOWN[target], width = (to - from) / bins;
  const truth = target === "poisson" ? d3.range(0, 13).map((k) => [k, density(target, lambda, k)]) : graph((at) => density(target, lambda, at), from, to, 600);
  const heights = drops.length ? histogram(drops, from, to, bins) : [], highest = d3.max(truth, ([, height]) => height);
  const room = Math.max(1.3 * highest, Math.min(1.05 * d3.max([0, ...heights]), 3 * highest)); // while drops are few a bar may be high
  const y = d3.scaleLinear([0, room], [500, 330]);
  const yLabel = target === "poisson" ? "share" : "density";
  const inside = panel(plot, { x, y, title: `Histogram of ${drops.length} drops`, xLabel: "x", yLabel });
  heights.forEach((height, i) => {
    const bar = rect(inside, x(from + i * width), y(height), x(from + (i + 1) * width), y(0), COLOURS.vermilion);
    bar.attr("class", "live-bin").attr("fill-opacity", 0.5).attr("stroke", "white");
  });
  if (target === "poisson") truth.forEach(([k, height]) => dot(inside, x(k), y(height), COLOURS.black));
  else curve(inside, truth, x, y, COLOURS.black);
}

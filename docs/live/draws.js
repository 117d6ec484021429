// Live figure B, notebook 03: which draws from the prior carry the sum of Equation 6, and how far it is from the truth as K grows.
import { COLOURS, button, curve, d3, dot, explain, frame, graph, handle, panel, rect, shown, slider, snap, tell, write } from "./figure.js";
import { DRAWS, MOST, NEAR, isNear, logP, observed, shareOut, spiral } from "./maths.js";

const START = { K: 1, seed: 2 }; // of which the first points are typical
const LATENTS = { label: "K, latents", min: 1, max: MOST, step: 1, text: (value) => shown(value, 0) };
const AT_ONCE = 20; // seeds
const FAINT = 150; // draws that are shown though they have no share

export function mount(element) {
  const state = { ...START }, parts = {};
  let timer;

  const see = (seed) => {
    const { x, draws } = observed(seed);
    const each = d3.range(1, MOST + 1).map((K) => { // the first K points alone
      const points = x.slice(0, K), sum = shareOut(points, draws), truth = logP(points);
      return { ...sum, truth, error: sum.estimate - truth };
    });
    state.errors.push(each.map(({ error }) => error));
    Object.assign(state, { seed, x, draws, each });
  };
  const begin = () => {
    timer?.stop();
    Object.assign(state, START, { errors: [] });
    see(START.seed);
    draw(parts, state);
  };
  const setK = (value) => { state.K = snap(value, LATENTS); draw(parts, state); };
  const newSeeds = (left) => {
    const atOnce = matchMedia("(prefers-reduced-motion: reduce)").matches;
    timer?.stop();
    timer = d3.timer(() => {
      see(state.seed + 1);
      left -= 1;
      if (!left) timer.stop();
      if (!left || !atOnce) draw(parts, state);
    });
  };
  const newSeed = () => { see(state.seed + 1); draw(parts, state); };

  Object.assign(parts, frame(element, {
    label: "Live figure: which draws carry the sum",
    says: `Add latents: the same ${DRAWS} draws must come near more and more points at once. With K = 1 many share the sum of Equation 6. ` +
      "With 16 one draw has nearly all, though it misses most points, and the estimate is far too low. More seeds show that this is not bad luck.",
    describe: "Above: for each latent a spiral with its point of x, the decoded draws, and a line from the best draw to the point. " +
      "Middle: a bar that the draws share out. Below: the error of the estimate for each K.",
    keysSay: `Keys: ← → change K, n takes a new seed, m takes ${AT_ONCE}, r starts again.`,
    keys: {
      ArrowLeft: () => setK(state.K - 1), ArrowRight: () => setK(state.K + 1),
      n: newSeed, m: () => newSeeds(AT_ONCE), r: begin,
    },
    draw: () => draw(parts, state),
  }));
  parts.setK = slider(parts.controls, { ...LATENTS, onInput: setK });
  button(parts.buttons, "New seed", newSeed);
  button(parts.buttons, `${AT_ONCE} seeds`, () => newSeeds(AT_ONCE));
  button(parts.buttons, "Start again", begin);
  parts.handle = handle(parts.handles, {
    name: "K", colour: COLOURS.vermilion, where: () => [parts.x(state.K), parts.y(state.each[state.K - 1].error)],
    onDrag: (x) => setK(parts.x.invert(x)),
  });
  begin();
}

function draw(parts, state) {
  const width = parts.picture.node().clientWidth, high = width < 500 ? 320 : 290; // of the spirals
  if (!width) return; // not laid out yet
  parts.plot.selectChildren().remove();
  parts.svg.attr("width", width).attr("height", high + 390);
  drawSpirals(parts, state, width, high);
  drawShares(parts, state, width, high + 70);
  drawErrors(parts, state, width, high + 190);
  parts.handle();
  parts.setK(state.K);
  explain(parts.legend, [
    ["dot", COLOURS.black, "x, one point for each latent; ring: 2σ"], ["dot", COLOURS.blue, "draws from the prior, decoded; area: share"],
    ["dot", COLOURS.vermilion, "the draw with the largest share"], ["line", COLOURS.vermilion, "error of the estimate"], ["line", COLOURS.black, "no error"],
  ]);
  tellNumbers(parts.numbers, state);
}

/** The spirals, as large as all K find room. */
function drawSpirals({ plot }, { K, x: points, draws, each }, width, high) {
  const sideOf = (columns) => Math.min(width / columns, high / Math.ceil(K / columns));
  const columns = d3.greatest(d3.range(1, K + 1), sideOf), side = sideOf(columns), { shares } = each[K - 1];
  const order = d3.range(DRAWS).sort((one, other) => shares[other] - shares[one]), best = order[0];
  const sharing = order.filter((m) => shares[m] > 1e-3).reverse(); // the best on top
  const line = graph((z) => z, -4, 4, 200).map(([z]) => spiral(z));
  write(plot, 2, 14, "Which draws come near x?", "start").attr("class", "live-title");
  for (let k = 0; k < K; k++) {
    const left = (width - columns * side) / 2 + side * (k % columns), top = 26 + side * Math.floor(k / columns);
    const x = d3.scaleLinear([-2.1, 2.1], [left + 2, left + side - 2]), y = d3.scaleLinear([-2.1, 2.1], [top + side - 2, top + 2]);
    const group = plot.append("g").attr("class", "live-spiral"), at = (point) => [x(point[0]), y(point[1])];
    rect(group, ...at([-2.1, 2.1]), ...at([2.1, -2.1]), "none").attr("stroke", COLOURS.silver);
    curve(group, line, x, y, COLOURS.silver, 1);
    const dots = draws.slice(0, FAINT).map((means) => `M${at(means[k])}h0`).join("");
    group.append("path").attr("d", dots).attr("stroke", COLOURS.blue).attr("stroke-width", Math.max(3, side / 60)).attr("stroke-linecap", "round").attr("opacity", 0.25);
    group.append("circle").attr("cx", x(points[k][0])).attr("cy", y(points[k][1])).attr("r", x(NEAR) - x(0))
      .attr("fill", "none").attr("stroke", COLOURS.black).attr("stroke-dasharray", "3 3");
    curve(group, [draws[best][k], points[k]], x, y, COLOURS.vermilion, 2).attr("class", "live-miss");
    for (const m of sharing) {
      const one = dot(group, ...at(draws[m][k]), m === best ? COLOURS.vermilion : COLOURS.blue, Math.max(5, side / 18) * Math.sqrt(shares[m]));
      one.attr("class", "live-draw").attr("stroke-width", 0.5);
    }
    dot(group, ...at(points[k]), COLOURS.black, 3.5).attr("class", "live-x");
    if (K > 1) write(group, left + 7, top + 16, k + 1, "start");
  }
}

/** The sum of Equation 6 as a bar: one piece for each draw, the largest first; those too thin to see are left white. */
function drawShares({ plot }, { K, each }, width, top) {
  const x = d3.scaleLinear([0, 1], [44, width - 12]), y = d3.scaleLinear([0, 1], [top + 36, top]);
  const inside = panel(plot, { x, y, title: "The sum of Equation 6, shared out", xLabel: "share w of each draw", yTicks: [], xTicks: 5 });
  let from = 0;
  for (const share of d3.sort(each[K - 1].shares, (one) => -one)) {
    if (x(share) - x(0) < 0.5) break;
    const piece = rect(inside, x(from), top, x(from + share), top + 36, from ? COLOURS.blue : COLOURS.vermilion);
    piece.attr("class", "live-share").attr("stroke", "white");
    from += share;
  }
}

/** For each K the error of the estimate: of the seeds before, and of this one. */
function drawErrors(parts, { errors }, width, top) {
  const x = parts.x = d3.scaleLinear([0.5, MOST + 0.5], [44, width - 12]);
  const [lowest, highest] = d3.extent(errors.flat());
  const y = parts.y = d3.scaleLinear([1.08 * lowest, Math.max(highest, -0.15 * lowest)], [top + 160, top]); // with room for the handle
  const inside = panel(parts.plot, { x, y, title: "Estimate − truth for each K, nats", xLabel: "K" });
  curve(inside, [[1, 0], [MOST, 0]], x, y, COLOURS.black);
  for (const line of errors) {
    const last = line === errors.at(-1), path = curve(inside, line.map((error, i) => [i + 1, error]), x, y, COLOURS.vermilion, last ? 2.5 : 1);
    path.attr("class", "live-error").attr("opacity", last ? 1 : 0.4);
  }
}

function tellNumbers(numbers, { K, seed, each, errors, x, draws }) {
  const { logTerms, shares, estimate, truth, error } = each[K - 1], best = d3.maxIndex(shares);
  const near = x.slice(0, K).filter((point, k) => isNear(point, draws[best][k])).length;
  tell(numbers, [
    ["log P(x) by draws", shown(estimate), "truth", shown(truth)],
    ["error", shown(error, 2)],
    ...(errors.length > 1 ? [["mean error", shown(d3.mean(errors, (line) => line[K - 1]), 2), "seeds", errors.length]] : []),
    ["largest share", shown(shares[best])],
    ["effective draws 1/Σw² =", shown(1 / d3.sum(shares, (share) => share ** 2), 1)],
    ["best draw near in", near, "of", K],
    ["useful draws", logTerms.filter((log) => log >= truth).length, "of", DRAWS],
    ["seed", seed],
  ]);
}

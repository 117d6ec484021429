// Live figure G, notebook 08: a walk between two codes, straight or along an arc, and how long z is on the way.
import { COLOURS, button, choice, curve, d3, dashed, explain, frame, graph, handle, panel, shown, slider, snap, tell } from "./figure.js";
import { between, lengthOf, logPrior } from "./maths.js";
import { load, tile, tiles } from "./tiles.js";

const { pairs, steps, band, sheet } = await load("walk"); // decoded at `steps` places of each way
const T = { label: "t, share of the way", min: 0, max: 1, step: 1 / (steps - 1) };
const WAYS = { straight: "straight", arc: "arc" };
const START = { pair: 0, t: 0.5, way: "straight" };

export function mount(element) {
  const state = { ...START }, parts = {};
  const show = (change) => { Object.assign(state, change); draw(parts, state); };
  const setT = (t) => show({ t: snap(t, T) });
  const nextPair = () => show({ pair: (state.pair + 1) % pairs.length });

  Object.assign(parts, frame(element, {
    label: "Live figure: from one digit to another",
    says: "Walk from one code to the other. The straight way comes nearer to the origin in the middle, the arc does not. " +
      "Is the middle of the straight way too short for a draw from the prior? And are its pictures worse? Look at several pairs.",
    describe: "Above: the first digit, the decoded point of the walk, and the second digit. Then both walks as strips of pictures. " +
      "Below: the length of z on both ways, and the band in which nine of ten draws from the prior lie.",
    keysSay: "Keys: ← → along the way, s straight, a arc, n takes the next pair, r starts again.",
    keys: {
      ArrowLeft: () => setT(state.t - T.step), ArrowRight: () => setT(state.t + T.step),
      s: () => show({ way: "straight" }), a: () => show({ way: "arc" }), n: nextPair, r: () => show(START),
    },
    draw: () => draw(parts, state),
  }));
  parts.setT = slider(parts.controls, { ...T, onInput: setT });
  parts.setWay = choice(parts.buttons, { label: "way", options: WAYS, onChange: (way) => show({ way }) });
  button(parts.buttons, "Next pair", nextPair);
  button(parts.buttons, "Start again", () => show(START));
  parts.handle = handle(parts.handles, {
    name: "z", colour: COLOURS.black, where: () => [parts.x(state.t), parts.y(lengthOf(zOf(state)))],
    onDrag: (x) => setT(parts.x.invert(x)),
  });
  draw(parts, state);
}

const zOf = ({ pair, t, way }, other = way) => between(pairs[pair].start, pairs[pair].end, t, other === "arc");
const rowOf = ({ pair }, way) => 2 * pair + Number(way === "arc");

function draw(parts, state) {
  const width = parts.picture.node().clientWidth;
  if (!width) return; // not laid out yet
  const { t, way } = state, at = Math.round(t / T.step), side = Math.min(112, (width - 24) / 3);
  const { plot } = parts;
  plot.selectChildren().remove();
  [0, at, steps - 1].forEach((column, i) => {
    const picture = tile(plot, sheet, rowOf(state, way), column, (width - side) / 2 + (i - 1) * (side + 8), 2, side);
    if (i === 1) picture.classed("live-now", true);
  });
  const shownAt = d3.range(0, steps, (steps - 1) / 10), small = Math.min(60, (width - 4) / shownAt.length);
  let top = side + 8;
  for (const one of Object.keys(WAYS)) {
    const places = shownAt.map((column) => [rowOf(state, one), column]);
    top = tiles(plot, sheet, places, { title: { straight: "Straight", arc: "Along the arc" }[one], left: 2, top, side: small });
  }
  drawLengths(parts, state, width, top + 36);
  parts.svg.attr("width", width).attr("height", top + 270);
  parts.handle();
  parts.setT(t);
  parts.setWay(way);
  explain(parts.legend, [
    ["line", COLOURS.vermilion, "straight"], ["line", COLOURS.blue, "arc"], ["area", COLOURS.silver, "nine of ten draws from the prior"],
  ]);
  tellNumbers(parts.numbers, state);
}

/** The length of z along both ways, over the lengths that draws from the prior have. */
function drawLengths(parts, state, width, top) {
  const ways = Object.keys(WAYS).map((way) => graph((t) => lengthOf(zOf({ ...state, t, way })), 0, 1, 40));
  const highest = 1.1 * Math.max(band[2], ...ways.flat().map(([, length]) => length));
  const x = parts.x = d3.scaleLinear([0, 1], [44, width - 12]), y = parts.y = d3.scaleLinear([0, highest], [top + 180, top]);
  const inside = panel(parts.plot, { x, y, title: "Length of z, in the latents in use", xLabel: "t" });
  const area = inside.append("rect").attr("x", x(0)).attr("width", x(1) - x(0)).attr("y", y(band[2])).attr("height", y(band[0]) - y(band[2]));
  area.attr("class", "live-band").attr("fill", COLOURS.silver).attr("opacity", 0.4);
  dashed(inside, x(state.t), top, top + 180);
  ways.forEach((line, i) => curve(inside, line, x, y, [COLOURS.vermilion, COLOURS.blue][i], 2.5).attr("class", "live-length"));
}

function tellNumbers(numbers, state) {
  const straight = zOf(state, "straight"), arc = zOf(state, "arc");
  tell(numbers, [
    ["pair", state.pair + 1, "of", pairs.length], ["t =", shown(state.t, 2)],
    ["length of z, straight", shown(lengthOf(straight), 2), "arc", shown(lengthOf(arc), 2)],
    ["draws from the prior: 5 % are below", shown(band[0], 2), "median", shown(band[1], 2)],
    ["log P(z), arc less straight, nats", shown(logPrior(arc) - logPrior(straight), 2)],
  ]);
}

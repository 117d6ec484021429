// Live figure C, notebook 04: log P(X) = ELBO + gap. Q is laid over a posterior with two humps; one bar stays, and is shared out.
import { COLOURS, button, curve, d3, dashed, explain, frame, graph, handle, panel, rect, shown, slider, tell, write } from "./figure.js";
import { LOG_EVIDENCE, bound, climbed, logPosterior, normalDensity, slopesOfElbo } from "./maths.js";

const PRIOR = { mu: 0, s: 1 }, BOTH = { mu: 0.26, s: 0.92 }, ONE = { mu: 0.92, s: 0.28 };
const MU = { label: "μ, mean of Q", min: -3, max: 3, step: 0.01 };
const LOG_S = { label: "s, width of Q", min: Math.log(0.05), max: Math.log(2), step: Math.log(40) / 370, text: (value) => shown(Math.exp(value), 2) };
const LEFT = -3.5, RIGHT = 4; // of the axis of z

export function mount(element) {
  const state = { ...PRIOR, held: false, highest: 0 }, parts = {};
  let frameOfClimb = 0;

  const stop = () => {
    cancelAnimationFrame(frameOfClimb);
    frameOfClimb = 0;
    parts.climb.text("Climb");
  };
  const move = ({ mu = state.mu, s = state.s }) => {
    state.mu = Math.min(MU.max, Math.max(MU.min, mu));
    state.s = Math.min(2, Math.max(0.05, s));
    draw(parts, state);
  };
  const place = (change) => { stop(); move(change); };
  const isAtTop = () => slopesOfElbo(state.mu, state.s).every((slope) => Math.abs(slope) < 1e-3);
  const step = () => { [state.mu, state.s] = climbed(state.mu, state.s); };
  const climb = () => {
    for (let i = 0; i < 2 && !isAtTop(); i++) step();
    move({});
    if (isAtTop()) stop();
    else frameOfClimb = requestAnimationFrame(climb);
  };
  const startOrStop = () => {
    if (frameOfClimb) return stop();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) while (!isAtTop()) step();
    parts.climb.text("Stop");
    climb();
  };

  Object.assign(parts, frame(element, {
    label: "Live figure: log P(x) = ELBO + gap",
    says: "Drag the top of Q, or let it climb. ELBO and gap change; their sum, log P(x), stays. Cover both humps first, then only one. All terms are in nats.",
    describe: "Above: the posterior with its two humps, the prior, and the normal curve Q. " +
      "Below: two bars on an axis of nats. One is log P(x) less the gap, the other the reconstruction less the KL; both end at the ELBO.",
    keysSay: "Keys in the picture: ← → move μ by 0.05, ↑ ↓ make s wider or narrower by 5 %.",
    keys: {
      ArrowLeft: () => place({ mu: state.mu - 0.05 }), ArrowRight: () => place({ mu: state.mu + 0.05 }),
      ArrowDown: () => place({ s: state.s / 1.05 }), ArrowUp: () => place({ s: state.s * 1.05 }),
    },
    draw: () => draw(parts, state),
  }));
  parts.setMu = slider(parts.controls, { ...MU, onInput: (mu) => place({ mu }) });
  parts.setLogS = slider(parts.controls, { ...LOG_S, onInput: (logS) => place({ s: Math.exp(logS) }) });
  parts.climb = button(parts.buttons, "Climb", startOrStop);
  button(parts.buttons, "Prior", () => place(PRIOR));
  button(parts.buttons, "Both humps", () => place(BOTH));
  button(parts.buttons, "One hump", () => place(ONE));
  parts.top = handle(parts.handles, {
    name: "Q", colour: COLOURS.green, where: () => topOf(parts, state),
    onDrag: (x, y) => move({ mu: parts.x.invert(x), s: normalDensity(0, 0, 1) / Math.max(0.01, parts.y.invert(y)) }),
    onStart: () => { stop(); state.held = true; },
    onEnd: () => { state.held = false; draw(parts, state); },
  });
  parts.handles.select("g").classed("live-free", true);
  draw(parts, state);
}

/** The top of Q in pixels; a very narrow Q leaves the panel, its handle does not. */
const topOf = ({ x, y }, { mu, s }) => [x(mu), Math.max(30, y(normalDensity(mu, mu, s)))];

function draw(parts, state) {
  const { mu, s, held } = state, width = parts.picture.node().clientWidth;
  if (!width) return; // not laid out yet
  // the axis follows a narrow Q, but not under the hand that drags it
  if (!held) state.highest = Math.max(1.6, 1.08 * normalDensity(mu, mu, s));
  parts.plot.selectChildren().remove();
  parts.svg.attr("width", width).attr("height", 460);
  parts.x = d3.scaleLinear([LEFT, RIGHT], [44, width - 12]);
  parts.y = d3.scaleLinear([0, state.highest], [250, 30]);
  const terms = bound(mu, s);
  drawCurves(parts, state);
  drawBars(parts, terms, width);
  parts.top();
  parts.setMu(mu);
  parts.setLogS(Math.log(s));
  explain(parts.legend, [
    ["line", COLOURS.blue, "prior P(z)"], ["area", COLOURS.purple, "posterior P(z|x)"], ["line", COLOURS.green, "Q(z|x)"],
    ["bar", COLOURS.silver, "log P(x)"], ["bar", COLOURS.purple, "gap"], ["bar", COLOURS.vermilion, "reconstruction"],
    ["bar", COLOURS.green, "KL"], ["line", COLOURS.sky, "ELBO"],
  ]);
  tell(parts.numbers, [
    ["reconstruction", shown(terms.reconstruction)], ["KL", shown(terms.kl)], ["ELBO", shown(terms.elbo)],
    ["gap", shown(terms.gap)], ["log P(x)", shown(LOG_EVIDENCE)],
  ]);
}

function drawCurves({ plot, x, y }, { mu, s }) {
  const inside = panel(plot, { x, y, title: "Q over the posterior of x = 2", xLabel: "z", yLabel: "density" });
  const posterior = graph((z) => Math.exp(logPosterior(z)), LEFT, RIGHT, 400);
  const area = d3.area((point) => x(point[0]), y(0), (point) => y(point[1]));
  inside.append("path").attr("d", area(posterior)).attr("fill", COLOURS.purple).attr("opacity", 0.4);
  curve(inside, graph((z) => normalDensity(z, 0, 1), LEFT, RIGHT), x, y, COLOURS.blue, 1);
  curve(inside, graph((z) => normalDensity(z, mu, s), LEFT, RIGHT, 1500), x, y, COLOURS.green, 2.5).attr("class", "live-q");
}

/** Both sides of Equation 9 as bars that start at 0, at the right, and end at the ELBO. */
function drawBars({ plot }, { reconstruction, kl, elbo, gap }, width) {
  const x = d3.scaleLinear([-8, 0], [44, width - 12]), y = d3.scaleLinear([0, 1], [420, 325]);
  const title = `ELBO ${shown(elbo, 2)} + gap ${shown(gap, 2)} = ${shown(LOG_EVIDENCE, 2)}`;
  const inside = panel(plot, { x, y, title, xLabel: "nats", xTicks: 8, yTicks: [] });
  const bars = [
    ["log P(x) − gap", 331, LOG_EVIDENCE, LOG_EVIDENCE - gap, COLOURS.silver, COLOURS.purple],
    ["reconstruction − KL", 378, reconstruction, reconstruction - kl, COLOURS.vermilion, COLOURS.green],
  ];
  for (const [words, top, first, last, colour, other] of bars) {
    write(inside, 48, top + 10, words, "start");
    rect(inside, x(first), top + 15, x(0), top + 37, colour);
    rect(inside, x(last), top + 15, x(first), top + 37, other);
    if (last < -8) write(inside, 46, top + 31, "◀", "start");
  }
  dashed(inside, x(LOG_EVIDENCE), 325, 420, COLOURS.black);
  inside.append("line").attr("x1", x(elbo)).attr("x2", x(elbo)).attr("y1", 325).attr("y2", 420)
    .attr("class", "live-elbo").attr("stroke", COLOURS.sky).attr("stroke-width", 3);
}

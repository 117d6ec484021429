// Live figure F, notebook 07: ten draws and ten reconstructions, from before training to its end, as a recorded run had them.
import { COLOURS, button, curve, d3, dashed, dot, explain, frame, handle, panel, shown, slider, snap, tell, write } from "./figure.js";
import { load, pictures } from "./tiles.js";

const { moments, floor, stepsOfEpoch, sheet } = await load("learning");
const PAUSE = 700; // milliseconds between two moments
const TERMS = [["loss", COLOURS.black], ["reconstruction", COLOURS.vermilion], ["kl", COLOURS.green]];
const epochOf = ({ step }) => step / stepsOfEpoch;
const MOMENT = { label: "epoch", min: 0, max: moments.length - 1, step: 1, text: (at) => shown(epochOf(moments[at]), 2) };

export function mount(element) {
  const state = { at: 0 }, parts = {};
  let timer;

  const stop = () => {
    timer?.stop();
    timer = undefined;
    parts.play.text("Play");
  };
  const show = (at) => { state.at = snap(at, MOMENT); draw(parts, state); };
  const place = (at) => { stop(); show(at); };
  const step = () => {
    show(state.at + 1);
    if (state.at === MOMENT.max) stop();
  };
  const playOrStop = () => {
    if (timer) return stop();
    if (state.at === MOMENT.max) show(0);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return show(MOMENT.max);
    parts.play.text("Stop");
    timer = d3.interval(step, PAUSE);
  };

  Object.assign(parts, frame(element, {
    label: "Live figure: a model learns",
    says: "Move through the training. The images stay the same, and so do the z of the ten draws; only the network changes. " +
      "Look first at when something like a digit appears. Then compare the pictures after epochs 2 and 9: the loss says that something still changes. All terms are in nats per image.",
    describe: "Above: ten test images, their reconstructions, and ten decoded draws from the prior, at one moment of the training. " +
      "Below: loss, reconstruction and KL on the test images against the epoch, on a logarithmic axis.",
    keysSay: "Keys: ← → one moment back or on, Home before training, End after it, p plays.",
    keys: {
      ArrowLeft: () => place(state.at - 1), ArrowRight: () => place(state.at + 1),
      Home: () => place(0), End: () => place(MOMENT.max), p: playOrStop,
    },
    draw: () => draw(parts, state),
  }));
  parts.setMoment = slider(parts.controls, { ...MOMENT, onInput: place });
  parts.play = button(parts.buttons, "Play", playOrStop);
  parts.handle = handle(parts.handles, {
    name: "", colour: COLOURS.black, where: () => [parts.x(epochOf(moments[state.at])), parts.y(moments[state.at].loss)],
    onStart: stop, onDrag: (x) => show(nearest(parts.x.invert(x))),
  });
  draw(parts, state);
}

const nearest = (epoch) => d3.leastIndex(moments, (one, other) => Math.abs(epochOf(one) - epoch) - Math.abs(epochOf(other) - epoch));

function draw(parts, state) {
  const width = parts.picture.node().clientWidth;
  if (!width) return; // not laid out yet
  const { at } = state;
  parts.plot.selectChildren().remove();
  const top = pictures(parts.plot, sheet, at + 1, width, moments[at].name);
  drawTerms(parts, state, width, top + 36);
  parts.svg.attr("width", width).attr("height", top + 290);
  parts.handle();
  parts.setMoment(at);
  explain(parts.legend, [
    ["line", COLOURS.black, "loss = reconstruction + KL"], ["line", COLOURS.vermilion, "reconstruction"], ["line", COLOURS.green, "KL"],
    ["line", COLOURS.grey, "floor of the reconstruction"],
  ]);
  const { step, loss, reconstruction, kl } = moments[at];
  tell(parts.numbers, [
    ["step", step], ["epoch", shown(step / stepsOfEpoch, 2)], ["test loss", shown(loss, 2)],
    ["reconstruction", shown(reconstruction, 2)], ["KL", shown(kl, 2)], ["reconstruction above its floor", shown(reconstruction - floor, 2)],
  ]);
}

/** The two terms and their sum; the root gives the first epoch, in which most changes, more room. */
function drawTerms(parts, { at }, width, top) {
  const last = epochOf(moments.at(-1)), values = moments.flatMap(({ loss, reconstruction, kl }) => [loss, reconstruction, kl]);
  const x = parts.x = d3.scaleSqrt([0, last], [44, width - 12]);
  const y = parts.y = d3.scaleLog([0.9 * d3.min(values), 1.1 * d3.max(values)], [top + 200, top]);
  const ticks = [10, 20, 50, 100, 200, 500].filter((tick) => y.domain()[0] < tick && tick < y.domain()[1]);
  const inside = panel(parts.plot, { x, y, title: "10 000 test images, nats per image", xLabel: "epoch", yTicks: ticks });
  dashed(inside, x(epochOf(moments[at])), top, top + 200);
  curve(inside, [[0, floor], [last, floor]], x, y, COLOURS.grey, 1).attr("stroke-dasharray", "6 4");
  for (const [name, colour] of TERMS) {
    curve(inside, moments.map((moment) => [epochOf(moment), moment[name]]), x, y, colour).attr("class", `live-${name}`);
    for (const moment of moments) dot(inside, x(epochOf(moment)), y(moment[name]), colour, 3);
  }
  write(inside, x(last), y(floor) + 14, "floor", "end");
}

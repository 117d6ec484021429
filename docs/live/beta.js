// Live figure E, notebook 11: what beta does. Models trained with different betas, from a recorded run: their pictures, rate and distortion.
import { COLOURS, curve, d3, dot, explain, frame, handle, panel, shown, slider, snap, tell } from "./figure.js";
import { bestOfOthers, costAt } from "./maths.js";
import { load, pictures } from "./tiles.js";

const { models, sheet } = await load("beta"); // in the order of their betas
const START = models.findIndex(({ beta }) => beta === 1);
const BETA = { label: "β", min: 0, max: models.length - 1, step: 1, text: (at) => `${models[at].beta}` };

export function mount(element) {
  const state = { at: START }, parts = {};
  const show = (at) => { state.at = snap(at, BETA); draw(parts, state); };

  Object.assign(parts, frame(element, {
    label: "Live figure: what β does",
    says: "Each dot is a model of its own, trained with another β. With a small β, z holds much information about each image (a high rate), " +
      "and the reconstructions are exact (a low distortion). Compare the draws from the prior. With the largest β, look at how the pictures differ. Rate and distortion are in nats per image.",
    describe: "Above: ten test images, their reconstructions and ten draws from the prior, by one model. " +
      "Below: distortion against rate for all models, and through the chosen one a line of slope −β.",
    keysSay: "Keys: ← → the next smaller or larger β, r goes back to β = 1.",
    keys: { ArrowLeft: () => show(state.at - 1), ArrowRight: () => show(state.at + 1), r: () => show(START) },
    draw: () => draw(parts, state),
  }));
  parts.setBeta = slider(parts.controls, { ...BETA, onInput: show });
  parts.handle = handle(parts.handles, {
    name: "", colour: COLOURS.vermilion, where: () => [parts.x(models[state.at].rate), parts.y(models[state.at].distortion)],
    onDrag: (x, y) => show(d3.minIndex(models, ({ rate, distortion }) => Math.hypot(parts.x(rate) - x, parts.y(distortion) - y))),
  });
  parts.handles.select("g").classed("live-free", true);
  show(START);
}

function draw(parts, { at }) {
  const width = parts.picture.node().clientWidth;
  if (!width) return; // not laid out yet
  const model = models[at];
  parts.plot.selectChildren().remove();
  const top = pictures(parts.plot, sheet, at + 1, width, `β = ${model.beta}`);
  drawTrade(parts, model, width, top + 36);
  parts.svg.attr("width", width).attr("height", top + 330);
  parts.handle();
  parts.setBeta(at);
  explain(parts.legend, [
    ["dot", COLOURS.blue, "models, one for each β"], ["dot", COLOURS.vermilion, "the model shown"], ["line", COLOURS.vermilion, "slope −β: along it D + βR stays"],
  ]);
  const { beta, rate, distortion, inUse } = model;
  tell(parts.numbers, [
    ["β =", beta], ["rate R (KL)", shown(rate, 2)], ["distortion D (reconstruction)", shown(distortion, 2)],
    ["D + R, the −ELBO", shown(distortion + rate, 2)],
    ["D + βR", shown(costAt(beta, model), 2), "best of the other models", shown(bestOfOthers(beta, models, at), 2)],
    ["latents with more than 0.1 nats of KL", inUse],
  ]);
}

function drawTrade(parts, { beta, rate, distortion }, width, top) {
  const most = d3.max(models, (model) => model.rate), low = d3.min(models, (model) => model.distortion), high = d3.max(models, (model) => model.distortion);
  const x = parts.x = d3.scaleLinear([-0.03 * most, 1.05 * most], [44, width - 12]);
  const y = parts.y = d3.scaleLinear([low - 0.08 * (high - low), high + 0.08 * (high - low)], [top + 240, top]);
  const inside = panel(parts.plot, { x, y, title: "Distortion against rate, nats", xLabel: "rate", yLabel: "distortion" });
  curve(inside, models.map((model) => [model.rate, model.distortion]), x, y, COLOURS.silver);
  const at = (level) => rate - (level - distortion) / beta; // where the line has this distortion
  const ends = [Math.max(x.domain()[0], at(y.domain()[1])), Math.min(x.domain()[1], at(y.domain()[0]))];
  curve(inside, ends.map((end) => [end, distortion - beta * (end - rate)]), x, y, COLOURS.vermilion, 1.5).attr("class", "live-slope");
  for (const model of models) dot(inside, x(model.rate), y(model.distortion), COLOURS.blue, 5).attr("class", "live-model");
}

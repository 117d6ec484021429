// What the live figures share: the frame around a picture, its controls, axes, and handles to drag.
import "./d3.min.js"; // from npm; it sets a global

export const { d3 } = globalThis;

// those of vae_keras.plots: one colour for each thing, in all notebooks
export const COLOURS = {
  black: "#000000", grey: "#777777", silver: "#BBBBBB", blue: "#0072B2", vermilion: "#D55E00",
  green: "#009E73", purple: "#CC79A7", orange: "#E69F00", sky: "#56B4E9",
};

/** A number as the reader sees it, with a true minus sign. */
export const shown = (value, digits = 3) => value.toFixed(digits).replace("-", "−");

/** The nearest position of a slider: what is dragged stops where the keys stop. */
export const snap = (value, { min, max, step }) => {
  const nearest = Math.min(max, Math.max(min, Math.round(value / step) * step));
  return Number(nearest.toFixed(6)); // 0.15, not 0.15000000000000002
};

/**
 * Build the frame: a sentence, a legend, the picture, controls, numbers that a screen reader hears, and the keys.
 * `draw()` paints the picture, and is called when the width changes too; `keys` maps a key to what it does.
 */
export function frame(element, { label, says, describe, keysSay, keys, draw }) {
  const root = d3.select(element).append("section").attr("class", "live").attr("aria-label", label);
  root.append("p").attr("class", "live-says").text(says);
  const legend = root.append("ul").attr("class", "live-legend");
  const picture = root.append("div").attr("class", "live-picture").attr("tabindex", 0).attr("role", "application");
  picture.attr("aria-label", `${label}. ${keysSay}`);
  const svg = picture.append("svg").attr("role", "img").attr("aria-label", describe);
  const controls = root.append("div").attr("class", "live-controls");
  const buttons = root.append("div").attr("class", "live-controls");
  const numbers = root.append("p").attr("class", "live-numbers").attr("aria-live", "polite");
  root.append("p").attr("class", "live-keys").text(keysSay);
  root.on("keydown", (event) => pressed(event, keys));
  new ResizeObserver(draw).observe(picture.node());
  // what is dragged stays; all else is painted anew
  return { legend, picture, svg, controls, buttons, numbers, plot: svg.append("g"), handles: svg.append("g") };
}

function pressed(event, keys) {
  const itsOwn = event.target.matches("input, button") && /^(Arrow|Enter| )/.test(event.key); // it does something with them
  if (!keys[event.key] || itsOwn || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault(); // the page is not to scroll as well
  keys[event.key]();
}

// ---- Controls

/** A labelled range input, and beside it its value as `text` puts it. Returns what sets it from elsewhere. */
export function slider(controls, { label, min, max, step, text = (value) => shown(value, 2), onInput }) {
  const row = controls.append("label").attr("class", "live-slider");
  row.append("span").text(label);
  const input = row.append("input").attr("type", "range").attr("aria-label", label);
  input.attr("min", min).attr("max", max).attr("step", step);
  const value = row.append("output");
  input.on("input", () => onInput(Number(input.property("value"))));
  return (number) => {
    input.property("value", number).attr("aria-valuetext", text(number));
    value.text(text(number));
  };
}

let choices = 0; // so that the radio buttons of each choice have a name of their own

/** Radio buttons; `options` maps the value to its label. Returns what sets the choice from elsewhere. */
export function choice(buttons, { label, options, onChange }) {
  const group = buttons.append("div").attr("class", "live-choice").attr("role", "radiogroup").attr("aria-label", label);
  group.append("span").text(`${label}:`);
  const name = `live-choice-${choices++}`;
  for (const [value, text] of Object.entries(options)) {
    const row = group.append("label");
    row.append("input").attr("type", "radio").attr("name", name).attr("value", value).on("change", () => onChange(value));
    row.append("span").text(text);
  }
  return (value) => group.select(`input[value="${value}"]`).property("checked", true);
}

export function button(buttons, label, onClick) {
  return buttons.append("button").attr("type", "button").text(label).on("click", onClick);
}

/** What the colours and marks mean: `entries` are [kind of mark, colour, words]; kinds are line, dot, area, bar. */
export function explain(legend, entries) {
  const items = legend.selectAll("li").data(entries).join("li").style("--colour", ([, colour]) => colour);
  items.attr("class", ([kind]) => `live-${kind}`).text(([, , words]) => words);
}

/** The numbers, as [name, number] or [name, number, "exact", exact number]; a screen reader waits until they rest. */
export function tell(numbers, entries) {
  const items = numbers.selectAll("span").data(entries).join("span");
  items.text(([name, value, exactly, exact]) => `${name} ${value}` + (exactly ? ` (${exactly} ${exact})` : ""));
  numbers.attr("aria-busy", true);
  clearTimeout(numbers.waiting);
  numbers.waiting = setTimeout(() => numbers.attr("aria-busy", null), 400);
}

// ---- Pictures

/** A panel with its axes: x and y are D3's scales with their ranges in pixels. Returns a group that cuts off what leaves it. */
export function panel(plot, { x, y, title, xLabel, yLabel, xTicks = 7, yTicks = 4 }) {
  const [left, right] = x.range(), [bottom, top] = y.range();
  const group = plot.append("g").attr("class", "live-panel");
  const across = d3.axisBottom(x).ticks(xTicks).tickSize(top - bottom).tickPadding(8).offset(0);
  const up = d3.axisLeft(y).tickSize(left - right).offset(0);
  Array.isArray(yTicks) ? up.tickValues(yTicks) : up.ticks(yTicks);
  group.append("g").attr("class", "live-axis").attr("transform", `translate(0,${bottom})`).call(across);
  group.append("g").attr("class", "live-axis").attr("transform", `translate(${left},0)`).call(up);
  write(group, left, top - 10, title, "start").attr("class", "live-title");
  if (xLabel) write(group, right, bottom + 32, xLabel, "end");
  if (yLabel) write(group, 0, 0, yLabel).attr("transform", `translate(${left - 34},${(top + bottom) / 2}) rotate(-90)`);
  const box = [left - 6, top - 6, right - left + 12, bottom - top + 12]; // with room for half a dot
  const inside = group.append("svg").attr("x", box[0]).attr("y", box[1]).attr("width", box[2]).attr("height", box[3]);
  return inside.attr("viewBox", box);
}

export function write(group, x, y, text, anchor = "middle") {
  return group.append("text").attr("x", x).attr("y", y).attr("text-anchor", anchor).text(text);
}

export function rect(group, left, top, right, bottom, colour) {
  const bar = group.append("rect").attr("x", left).attr("y", top).attr("width", right - left).attr("height", bottom - top);
  return bar.attr("fill", colour).attr("stroke", COLOURS.grey);
}

export function dot(group, x, y, colour, radius = 4) {
  return group.append("circle").attr("cx", x).attr("cy", y).attr("r", radius).attr("fill", colour).attr("stroke", "white");
}

/** A dashed line straight up. */
export function dashed(group, x, top, bottom, colour = COLOURS.grey) {
  const line = group.append("line").attr("x1", x).attr("x2", x).attr("y1", top).attr("y2", bottom);
  return line.attr("stroke", colour).attr("stroke-dasharray", "3 4");
}

/** A path through points, arrays of x and y in the units of the scales. */
export function curve(group, points, x, y, colour, width = 2) {
  const path = d3.line((point) => x(point[0]), (point) => y(point[1]));
  return group.append("path").attr("d", path(points)).attr("fill", "none").attr("stroke", colour).attr("stroke-width", width);
}

/** A function's curve over the panel, as points for `curve`. */
export function graph(f, from, to, steps = 200) {
  return d3.range(steps + 1).map((i) => from + ((to - from) * i) / steps).map((at) => [at, f(at)]);
}

/**
 * A handle that mouse and touch can drag; its room for a finger is wider than what is seen.
 * `where()` says in pixels where it is when a drag begins, `onDrag(x, y)` where it is pulled to.
 */
export function handle(handles, { name, colour, where, onDrag, onStart = () => {}, onEnd = () => {} }) {
  const group = handles.append("g").attr("class", "live-handle");
  group.append("circle").attr("r", 20).attr("fill", "transparent");
  group.append("circle").attr("r", 8).attr("fill", "white").attr("stroke", colour).attr("stroke-width", 3);
  write(group, 14, -8, name, "start");
  const subject = () => { const [x, y] = where(); return { x, y }; };
  const drag = d3.drag().container(handles.node()).subject(subject).on("start", onStart).on("end", onEnd);
  group.call(drag.on("drag", (event) => onDrag(event.x, event.y)));
  return () => group.attr("transform", `translate(${where()})`);
}

// What the live figures of trained models share: the numbers and the pictures of a recorded run.
import { d3, write } from "./figure.js";

const SIDE = 28; // pixels of an image

/** What `benchmarks/live_data.py` wrote for a figure: its numbers, and one sheet of small pictures. */
export async function load(name) {
  const place = (file) => new URL(`./${file}`, import.meta.url).href;
  const answer = await fetch(place(`${name}.json`));
  if (!answer.ok) throw new Error(`${name}.json: ${answer.status}`);
  const sheet = new Image();
  sheet.src = place(`${name}.png`);
  await sheet.decode().catch(() => { throw new Error(`${name}.png cannot be read`); });
  return { ...(await answer.json()), sheet };
}

/** One picture of the sheet, by its row and column. */
export function tile(group, sheet, row, column, x, y, side) {
  const part = group.append("svg").attr("x", x).attr("y", y).attr("width", side).attr("height", side);
  part.attr("class", "live-tile").attr("viewBox", [SIDE * column, SIDE * row, SIDE, SIDE]);
  part.append("image").attr("href", sheet.src).attr("width", sheet.naturalWidth).attr("height", sheet.naturalHeight);
  return part;
}

/** Pictures side by side below their title; `places` are [row, column]. Returns where the next ones may begin. */
export function tiles(group, sheet, places, { title, left, top, side }) {
  write(group, left, top + 12, title, "start");
  places.forEach(([row, column], i) => tile(group, sheet, row, column, left + side * i, top + 18, side));
  return top + side + 24;
}

/** Ten test images, what one model makes of them, and its ten draws: rows 0 and `row` of the sheet. */
export function pictures(group, sheet, row, width, of) {
  const side = Math.min(64, (width - 4) / 10), ten = (from, which) => d3.range(10).map((i) => [which, from + i]);
  let top = tiles(group, sheet, ten(0, 0), { title: "Ten test images", left: 2, top: 0, side });
  top = tiles(group, sheet, ten(0, row), { title: `Their reconstructions, ${of}`, left: 2, top, side });
  return tiles(group, sheet, ten(10, row), { title: "Ten draws from the prior, decoded", left: 2, top, side });
}

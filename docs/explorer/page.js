// What the parts of the explorer share: how they start, and how they show the newest of what a reader asks for.
import { paint } from "./drawing.js";
import { chance } from "./maths.js";

export const $ = (selector) => document.querySelector(selector);

/** The page's chance: other numbers at each visit. */
export const random = chance(crypto.getRandomValues(new Uint32Array(1))[0]);

/** Latest wins: run the task at most once a frame, with the newest of the values that came in meanwhile. */
export function eachFrame(task) {
  let waiting = null, running = false;
  return async (value) => {
    waiting = { value };
    if (running) return;
    running = true;
    try {
      while (waiting) {
        const { value: newest } = waiting;
        waiting = null;
        await task(newest);
        await new Promise(requestAnimationFrame);
      }
    } finally {
      running = false;
    }
  };
}

/** Say what went wrong in the line of status of a part. */
export function fail(part, error) {
  $(`#${part}-status`).textContent = error.message;
  $(`#${part}-status`).classList.add("error");
}

export function say(part, text) {
  $(`#${part}-status`).textContent = text;
  $(`#${part}-status`).classList.remove("error");
}

/** Do something; if that fails, say so. */
export async function attempt(part, task) {
  try {
    return await task();
  } catch (error) {
    fail(part, error);
  }
}

/** Do something once, when an element comes near the window. */
export function whenNear(element, task) {
  const watch = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    task();
  }, { rootMargin: "200px" });
  watch.observe(element);
}

export const example = (i) => (i < 10 ? "first" : "second"); // of its digit, by its place among the twenty

/** Offer the twenty test digits as radio buttons, each with its picture. */
export function offerDigits(fieldset, { labels, pixels }, checked) {
  labels.forEach((label, i) => {
    const choice = document.createElement("label"), radio = document.createElement("input"), canvas = document.createElement("canvas");
    Object.assign(radio, { type: "radio", name: fieldset.id, value: i, checked: i === checked });
    radio.setAttribute("aria-label", `the ${example(i)} ${label}`);
    paint(canvas, pixels[i].map((value) => value / 255));
    choice.append(radio, canvas);
    fieldset.append(choice);
  });
}

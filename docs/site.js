// What scrolls sideways can be reached by keyboard, in browsers that do not see to it themselves.
const mark = () => {
  for (const box of document.querySelectorAll("pre, .table-wrapper, .math-wrapper")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
addEventListener("load", mark);
addEventListener("resize", mark);

// A cell with the tag live-NAME shows its still, until live/NAME.js has put a figure that moves in its place;
// with the tag still-stays too, the still shows something else, and stands below the figure. Where there is none, all is replaced.
for (const cell of document.querySelectorAll("[class*='tag_live-']")) bringToLife(cell);

async function bringToLife(cell) {
  const [, name] = cell.className.match(/tag_live-(\w+)/);
  const still = cell.querySelector(".cell_output figure");
  const place = document.createElement("div");
  if (still) still.before(place);
  else cell.replaceChildren(place);
  try {
    const figure = await import(`./live/${name}.js`);
    figure.mount(place);
    if (!cell.matches(".tag_still-stays")) fold(still);
  } catch (error) {
    place.textContent = `The figure that moves could not be loaded${still ? "; this is its still" : ""}. (The browser says: ${error.message})`;
  }
}

// The text speaks of the still too, so it stays within reach.
function fold(still) {
  if (!still) return;
  const details = document.createElement("details"), summary = document.createElement("summary");
  summary.textContent = "The still picture that the code draws";
  still.replaceWith(details);
  details.append(summary, still);
}

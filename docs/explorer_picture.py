"""Draw the animated picture of the explorer for the README: `python docs/explorer_picture.py`.

`make site` must have run.
"""

import io
from pathlib import Path

import numpy as np
from browsing import chromium, served
from PIL import Image

ROOT = Path(__file__).parents[1]
# a 1, what makes a 7 of it, and what makes a 9 of that, in pixels of the sheet
STROKES = [
    [(180, 45), (135, 235)],
    [(80, 52), (180, 45)],
    [(80, 52), (75, 110), (110, 130), (165, 110)],
]
# 4.8 seconds, played once: what moves for longer would need a way to stop it
STEPS = 16  # frames of a stroke
REST = 4  # frames after it
MILLISECONDS = 80
# what stands side by side: the sheet, the two pictures, the map, and below them the nats
SHOWN = ("#paper", "#pictures", "#q-figure .maps", "figure:has(#ruler)")
CAPTIONS = ("X", "Its reconstruction", "Q(z|X) on the map of test digits", "The square, enlarged")
STYLE = """
#stage { position: fixed; inset: 0 auto auto 0; z-index: 99; width: 1000px; padding: 8px;
  margin: 0; box-sizing: border-box; display: grid; grid-template-columns: 280px 122px 1fr;
  gap: 4px 14px; background: #fff; color: #000; }
#stage #pictures { display: block; }
#stage figcaption { font-size: 14px; }
#stage .maps { grid-template-columns: 1fr 1fr; gap: 14px; }
#stage .paper { grid-column: 1 / 4; outline: none; padding: 0; }
"""
STAGE = """([shown, captions]) => {
    const stage = document.createElement("div");
    Object.assign(stage, { id: "stage", className: "explorer" });
    stage.append(...shown.map(part => document.querySelector(part)));
    captions.forEach((text, i) => stage.querySelectorAll("figcaption")[i].textContent = text);
    document.body.append(stage);
}"""


def main():
    with served(ROOT / "site") as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 800})
        page.goto(f"{address}explorer/index.html", wait_until="networkidle")
        page.wait_for_selector("#clear:enabled")
        page.click("#clear")
        page.add_style_tag(content=STYLE)
        page.evaluate(STAGE, [SHOWN, CAPTIONS])
        frames = list(_frames(page))
    rest = {"append_images": frames[1:], "duration": MILLISECONDS, "loop": 1}
    frames[0].save(ROOT / "docs/images/explorer.webp", save_all=True, quality=60, method=4, **rest)


def _frames(page):
    box = page.locator("#sheet").bounding_box()
    corner = np.array([box["x"], box["y"]])
    for stroke in STROKES:
        way = _along(corner + stroke)
        page.mouse.move(*way[0])
        page.mouse.down()
        for x, y in way[1:]:
            page.mouse.move(x, y)
            yield _frame(page)
        page.mouse.up()
        for _ in range(REST + 1):
            yield _frame(page)


def _along(points):
    """Places at even steps of the way through points."""
    lengths = np.cumsum([0, *np.hypot(*np.diff(points, axis=0).T)])
    steps = np.linspace(0, lengths[-1], STEPS)
    return np.stack([np.interp(steps, lengths, axis) for axis in points.T], axis=1)


def _frame(page):
    page.wait_for_timeout(300)  # until the models have answered
    return Image.open(io.BytesIO(page.locator("#stage").screenshot())).convert("RGB")


if __name__ == "__main__":
    main()

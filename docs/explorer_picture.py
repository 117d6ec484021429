"""Draw the animated picture of the explorer for the README: `python docs/explorer_picture.py`.

`make site` must have run.
"""

import functools
import io
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
WAY = np.array(
    [
        (-2.0, 0.0),
        (-1.0, -0.1),
        (-0.6, 0.4),
        (0.0, 0.0),
        (0.1, -0.8),
        (0.7, 0.4),
        (0.3, 1.2),
        (1.1, 0.8),
        (2.1, 0.3),
    ]
)
# 4.8 seconds, played once: what moves for longer would need a way to stop it
FRAMES = 60
MILLISECONDS = 80


def main():
    handler = functools.partial(SimpleHTTPRequestHandler, directory=ROOT / "site")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/explorer/index.html"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1000, "height": 1200})
        page.goto(address, wait_until="networkidle")
        frames = [_frame(page, z) for z in _path()]
        browser.close()
    rest = {"append_images": frames[1:], "duration": MILLISECONDS, "loop": 1}
    frames[0].save(ROOT / "docs/images/explorer.webp", save_all=True, quality=60, method=6, **rest)


def _path():
    steps = np.linspace(0, len(WAY) - 1, FRAMES)
    return np.stack([np.interp(steps, np.arange(len(WAY)), axis) for axis in WAY.T], axis=1)


def _frame(page, z):
    box = page.locator("#pad").bounding_box()
    page.mouse.up()
    x = box["x"] + box["width"] * (z[0] + 3) / 6
    y = box["y"] + box["height"] * (3 - z[1]) / 6
    page.mouse.move(x, y)
    page.mouse.down()
    page.wait_for_timeout(60)
    return Image.open(io.BytesIO(page.locator("#plane").screenshot())).convert("RGB")


if __name__ == "__main__":
    main()

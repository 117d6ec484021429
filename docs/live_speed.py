"""How fast the site's live parts are: `python docs/live_speed.py`, after `make site`.

It prints seconds to the first picture, then frames a second while a pointer drags: for the
explorer the frames that show a newly decoded digit, for the live figures all. Each is the best of
three, since other work on the machine is not the page's fault.
"""

import os
from pathlib import Path

from browsing import chromium, served

SITE = Path(__file__).parents[1] / "site"
PAGES = {  # and what says that the first picture is there
    "explorer/index.html": "document.querySelector('#clear')?.disabled === false",
    "live.html": "document.querySelector('.live-numbers span') !== null",
}
DECODED = """const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (...picture) {
    if (["reconstruction", "digit"].includes(this.canvas.id)) window.times?.push(performance.now());
    return put.apply(this, picture);
};"""
FRAMES = """const look = (time) => { window.times?.push(time); requestAnimationFrame(look); };
requestAnimationFrame(look);"""
PARTS = {"explorer/index.html": (DECODED, ["#sheet", "#pad"])}
NAMES = ("transform", "draws", "bound", "gradient", "learning", "walk", "beta")
PARTS["live.html"] = (FRAMES, [f".tag_live-{name} .live-handle" for name in NAMES])


def main():
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with served(SITE) as host, chromium() as browser:
        for path, (count, parts) in PARTS.items():
            address = f"{host}{path}"
            seconds = min(open_page(browser, address, path, count)[1] for _ in range(3))
            print(f"{seconds:6.2f} seconds to the first picture of {path}")
            page, _ = open_page(browser, address, path, count)
            for part in parts:
                print(f"{frames_a_second(page, part):6.1f} frames a second, {path} {part}")


def open_page(browser, address, path, count):
    """A page in a context of its own, with an empty cache, and the seconds to its first picture."""
    page = browser.new_context(viewport={"width": 1000, "height": 1400}).new_page()
    page.add_init_script(count)
    page.goto(address, wait_until="commit")
    page.wait_for_function(PAGES[path], timeout=120_000)
    return page, page.evaluate("performance.now()") / 1000


def frames_a_second(page, part):
    handle = page.locator(part).first
    handle.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)  # the end of a smooth scroll
    return max(drag(page, handle.bounding_box()) for _ in range(3))


def drag(page, box):
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate("window.times = []")
    for step in range(60):
        page.mouse.move(x + 2 * min(step, 60 - step), y - step)
    times = page.evaluate("times")
    page.mouse.up()
    return 1000 * (len(times) - 1) / (times[-1] - times[0])


if __name__ == "__main__":
    main()

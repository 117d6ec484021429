"""The live figures, in a real browser: what they compute is Python's, and what they draw is that.

They stand here on a page of their own, a cell as myst-nb writes it, so that no site has to be
built; the last tests look at the site's own notebooks.
"""

import functools
import importlib.util
import json
import math
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from browsing import served
from scipy import integrate, optimize, special, stats
from test_site import AT_ONCE, AXE, SITE, eventually, listen

from vae_keras import interpolate, plots

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
D3 = DOCS / "node_modules/d3/dist/d3.min.js"
RECORDED = ["beta", "learning", "walk"]  # which show a recorded run
FIGURES = ["transform", "draws", "bound", "gradient", *RECORDED]
MISSING = [
    what
    for what, there in {
        "Chromium (apt-get install chromium)": shutil.which("chromium"),
        "playwright (make site)": importlib.util.find_spec("playwright"),
        "axe-core and d3 (make site)": AXE.is_file() and D3.is_file(),
    }.items()
    if not there
]
NEEDED = os.environ.get("VAE_KERAS_NEED_SITE") == "1"
pytestmark = pytest.mark.skipif(bool(MISSING) and not NEEDED, reason=f"not here: {MISSING}")

PHONE = {"viewport": {"width": 360, "height": 700}, "has_touch": True, "is_mobile": True}
CELL = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A notebook</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="_static/site.css"><link rel="stylesheet" href="_static/live/live.css">
</head><body><main><h1>A notebook</h1><div class="cell tag_live-NAME docutils container">
<div class="cell_output docutils container"><figure class="align-default" id="id1">
<img alt="A still picture of the figure" src="still.svg"><figcaption><p>A caption.</p></figcaption>
</figure></div></div></main><script src="_static/site.js"></script></body></html>"""
STILL = """<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200">
<rect width="9" height="9"/></svg>"""


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    """A host with one page for each figure."""
    assert not MISSING, MISSING
    folder = tmp_path_factory.mktemp("live")
    shutil.copytree(DOCS / "live", folder / "_static/live")
    for file, place in ((D3, "live"), (DOCS / "site.js", "."), (DOCS / "site.css", ".")):
        shutil.copy(file, folder / "_static" / place)
    for name in FIGURES:
        (folder / f"{name}.html").write_text(CELL.replace("NAME", name), encoding="utf-8")
    both = CELL.replace("NAME", "draws tag_still-stays")
    (folder / "both.html").write_text(both, encoding="utf-8")
    (folder / "still.svg").write_text(STILL)
    (folder / "favicon.ico").write_bytes(b"")
    with served(folder) as address:
        yield address


@pytest.fixture
def page(browser, host):
    with browser.new_context(base_url=host, viewport={"width": 1000, "height": 1400}) as context:
        yield context.new_page()


@pytest.fixture(scope="module")
def blank(browser, host):
    """A page for mathematics alone."""
    with browser.new_context(base_url=host) as context:
        page = context.new_page()
        page.goto("still.svg")
        yield page


def call(page, function, *given):
    """Call a JavaScript function of the module of mathematics, m, and of what is given."""
    script = f"""async (given) => {{
        const m = await import(new URL("_static/live/maths.js", location.href));
        return ({function})(m, ...given);
    }}"""
    return page.evaluate(script, [np.asarray(one).tolist() for one in given])


def open_figure(page, name):
    page.goto(f"{name}.html")
    page.wait_for_selector(".live-numbers span")
    return page


def numbers(page):
    """What the figure says, as {name: number}.

    In "slope 2.1 (exact 2.0)" the name of 2.0 is "slope, exact".
    """
    said = {}
    for text in page.locator(".live-numbers span").all_inner_texts():
        name, value, exactly, exact = re.fullmatch(
            r"(.+?) ([−\d.]+)(?: \((.+) ([−\d.]+)\))?", text
        ).groups()
        said[name] = float(value.replace("−", "-"))
        if exactly:
            said[f"{name}, {exactly}"] = float(exact.replace("−", "-"))
    return said


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def units(page, panel):
    """What turns pixels of the n-th panel into its units, fitted to the ticks of its axes."""
    read = """panel => [...panel.querySelectorAll(":scope > .live-axis")].map((axis, i) =>
        [...axis.querySelectorAll(".tick")].map(tick => {
            const place = tick.transform.baseVal.consolidate().matrix;
            return [i ? place.f : place.e, Number(tick.textContent.replace("−", "-"))];
        }))"""
    axes = page.locator(".live-panel").nth(panel).evaluate(read)
    lines = [np.polyfit(*np.transpose(ticks), 1) if ticks else (1, 0) for ticks in axes]
    return lambda x, y: (np.polyval(lines[0], x), np.polyval(lines[1], y))


def places(page, panel, marks):
    """Where circles lie, in units of the n-th panel: (n, 2)."""
    read = "circles => circles.map(c => [c.cx.baseVal.value, c.cy.baseVal.value])"
    pixels = np.array(page.locator(marks).evaluate_all(read))
    return np.transpose(units(page, panel)(*pixels.T))


def line(page, panel, marks):
    """The corners of a path that is made of straight lines, in units of the n-th panel: (n, 2)."""
    path = page.locator(marks).first.get_attribute("d")
    pixels = np.reshape([float(number) for number in re.findall(r"-?[\d.]+", path)], (-1, 2))
    return np.transpose(units(page, panel)(*pixels.T))


def centre(locator):
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def pixels_per_unit(page, panel):
    (low, high), _ = units(page, panel)(np.array([0, 1]), np.array([0, 1]))
    return 1 / (high - low)


def drag(page, handle, right, down=0):
    x, y = centre(page.locator(handle).locator("circle").last)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y + down, steps=4)
    page.mouse.up()


def touch(page, handle, right, down=0):
    """Drag by a finger, by the browser's own touch events."""
    x, y = centre(page.locator(handle).locator("circle").last)
    session = page.context.new_cdp_session(page)
    for kind, share in (("Start", 0), ("Move", 0.3), ("Move", 0.7), ("Move", 1)):
        point = {"x": x + share * right, "y": y + share * down}
        session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


# ---- Chance


class Noise:
    """mulberry32 with Box and Muller's transform, written once more in Python."""

    def __init__(self, seed):
        self.state = seed

    def uniform(self):
        self.state = (self.state + 0x6D2B79F5) % 2**32
        t = self.state
        t = ((t ^ t >> 15) * (t | 1)) % 2**32
        t = t ^ (t + (t ^ t >> 7) * (t | 61)) % 2**32
        return (t ^ t >> 14) / 2**32

    def normals(self, n):
        pairs = [(1 - self.uniform(), 2 * math.pi * self.uniform()) for _ in range(n // 2)]
        polar = [(math.sqrt(-2 * math.log(u)), angle) for u, angle in pairs]
        return np.ravel([(r * math.cos(angle), r * math.sin(angle)) for r, angle in polar])


@pytest.mark.parametrize("seed", [0, 1, 2, 12345, 2**31 + 7])
def test_noise_is_the_same_as_in_python(blank, seed):
    noise = Noise(seed)
    wanted = [noise.uniform() for _ in range(50)]
    draw = "(m, seed) => { const u = m.uniforms(seed); return Array.from({length: 50}, u); }"
    assert call(blank, draw, seed) == wanted
    draw = "(m, seed) => { const next = m.normals(seed); return [...next(12), ...next(8)]; }"
    np.testing.assert_allclose(call(blank, draw, seed), Noise(seed).normals(20), rtol=1e-12)


def test_noise_is_uniform_and_normal(blank):
    draw = "m => { const u = m.uniforms(3); return Array.from({length: 20000}, u); }"
    assert stats.kstest(call(blank, draw), "uniform").pvalue > 0.01
    drawn = np.array(call(blank, "m => m.normals(3)(20000)"))
    assert stats.kstest(drawn, "norm").pvalue > 0.01
    assert abs(stats.pearsonr(drawn[::2], drawn[1::2]).statistic) < 0.03  # the two of a pair


# ---- A: u becomes x

LAWS = {
    "exponential": lambda rate: stats.expon(scale=1 / rate),
    "poisson": lambda rate: stats.poisson(1.5 * rate),
    # half on (-2, -1), half on (1, 2)
    "pieces": lambda rate: stats.rv_histogram(([0.5, 0, 0.5], [-2, -1, 1, 2]), density=True),
}
SHARES = [1e-9, 0.003, 0.2, 0.4999, 0.7, 0.95, 0.9999]


@pytest.mark.parametrize("rate", [0.5, 1.3, 2.0, 3.1, 4.0])
@pytest.mark.parametrize("target", LAWS)
def test_a_computes_what_scipy_does(blank, target, rate):
    law = LAWS[target](rate)
    inverse = "(m, target, rate, u) => u.map(one => m.inverse(target, rate, one))"
    x = np.array(call(blank, inverse, target, rate, SHARES))
    np.testing.assert_allclose(x, law.ppf(SHARES), rtol=1e-9, atol=1e-9)
    places = np.unique([*x, -3.0, -1.5, 0.0, 1.0, 1.5, 2.0, 7.0])
    for function in ("cdf", "density"):
        name = {"density": "pmf"}.get(function) if target == "poisson" else None
        wanted = getattr(law, name or {"density": "pdf"}.get(function, function))
        at = places[np.abs(places) != 1] if function == "density" else places  # where it jumps
        got = call(
            blank, f"(m, t, r, x) => x.map(one => m.{function}(t, r, one))", target, rate, at
        )
        np.testing.assert_allclose(got, wanted(at), rtol=1e-9, atol=1e-12, err_msg=function)


@pytest.mark.parametrize("target", LAWS)
def test_a_obeys_the_rule_that_proves_equation_3(blank, target):
    """F^-1(u) <= x exactly if u <= F(x)."""
    u = np.random.default_rng(0).random(300)
    places = np.arange(-2, 9) * 0.5
    both = """(m, target, u, x) => u.map(one => x.map(place =>
        [m.inverse(target, 2, one) <= place, one <= m.cdf(target, 2, place)]))"""
    left, right = np.moveaxis(call(blank, both, target, u, places), -1, 0)
    assert (left == right).all()


@pytest.mark.parametrize("target", LAWS)
@pytest.mark.parametrize("n", [1, 5, 400])
def test_a_measures_the_gap_of_kolmogorov_and_smirnov(blank, target, n):
    values = LAWS[target](2.0).rvs(size=n, random_state=1)
    cdf = LAWS[target](2.2).cdf  # of another rate, so that the gap is of some size
    got = call(blank, "(m, target, x) => m.largestGap(target, 2.2, x)", target, values)
    if target == "poisson":
        k = np.arange(60)
        wanted = np.abs((values[:, None] <= k).mean(axis=0) - cdf(k)).max()
    else:
        wanted = stats.kstest(values, cdf).statistic
    assert got == pytest.approx(wanted, rel=1e-9)


def test_a_counts_as_numpy_does(blank):
    values = np.random.default_rng(0).exponential(size=500)
    got = call(blank, "(m, x) => m.histogram(x, 0, 3, 40)", values)
    counts, _ = np.histogram(values, 40, (0, 3))
    np.testing.assert_allclose(got, counts / 500 / (3 / 40), rtol=1e-9)


def expect_a(page, target, rate, drops, hand=0.5):
    """After so many drops, the first of seed 1; `hand` is None where the last of them is told."""
    law = LAWS[target](rate)
    noise = Noise(1)
    u = np.array([noise.uniform() for _ in range(drops)])
    x = law.ppf(u)
    told = u[-1] if hand is None else hand
    said = numbers(page)
    wanted = {"u =": told, "becomes x =": law.ppf(told)}
    assert {name: said.pop(name) for name in wanted} == pytest.approx(wanted, abs=0.0051)
    assert said.pop("drops n") == drops
    if drops:
        k = np.arange(60)
        steps = np.abs((x[:, None] <= k).mean(axis=0) - law.cdf(k)).max()
        gap = steps if target == "poisson" else stats.kstest(x, law.cdf).statistic
        wanted = {
            "largest gap D": gap,
            "19 of 20 times or more below 1.36/√n =": 1.36 / math.sqrt(drops),
        }
        assert said == pytest.approx(wanted, abs=6e-4)
        expect_bars(page, target, x)
        ways = page.locator(".live-way:not(.live-hand)")
        assert ways.count() == min(drops, 12)  # the last ones stay
        ends = [
            line(page, 0, f".live-way:not(.live-hand) path >> nth={i}") for i in range(ways.count())
        ]
        np.testing.assert_allclose([end[0, 1] for end in ends], u[-12:], atol=0.005)
        np.testing.assert_allclose([end[-1, 0] for end in ends], x[-12:], atol=0.02)
        np.testing.assert_allclose([end[-1, 1] for end in ends], 0, atol=0.005)


def expect_bars(page, target, x):
    edges = {"exponential": (0, 3, 40), "poisson": (-0.5, 12.5, 13), "pieces": (-2.5, 2.5, 40)}
    low, high, bins = edges[target]
    counts, _ = np.histogram(x, bins, (low, high))
    read = "all => all.map(r => [r.x.baseVal.value, r.y.baseVal.value, r.height.baseVal.value])"
    left, top, height = np.transpose(page.locator(".live-bin").evaluate_all(read))
    to_units = units(page, 1)
    np.testing.assert_allclose(
        to_units(left, top)[0], np.linspace(low, high, bins + 1)[:-1], atol=0.01
    )
    drawn = to_units(left, top)[1] - to_units(left, top + height)[1]
    wanted = counts / len(x) / ((high - low) / bins)
    np.testing.assert_allclose(drawn, wanted, atol=0.01)


def test_keys_move_a_as_computed(page):
    page.emulate_media(reduced_motion="reduce")  # a drop is there at once
    open_figure(page, "transform")
    expect_a(page, "exponential", 2, 0)
    page.get_by_role("application").focus()
    press(page, " ", " ", " ")
    expect_a(page, "exponential", 2, 3, hand=None)
    press(page, "t")
    expect_a(page, "exponential", 2, 1003, hand=None)
    press(page, "ArrowUp", "ArrowUp", "ArrowDown")
    expect_a(page, "exponential", 2, 1003, hand=0.51)  # which is not counted
    press(page, "ArrowRight", "t")
    expect_a(page, "exponential", 2.1, 1000, hand=None)
    press(page, "2", " ")
    expect_a(page, "poisson", 2.1, 1, hand=None)
    press(page, "3", "t")
    expect_a(page, "pieces", 2.1, 1000, hand=None)
    slider = page.get_by_role("slider", name="λ")
    assert slider.is_disabled()
    press(page, "ArrowLeft", "1", "r")  # without a λ, it does not change
    expect_a(page, "exponential", 2.1, 0, hand=0.51)
    slider.focus()
    press(page, "ArrowLeft", "ArrowLeft")
    page.get_by_role("button", name="One drop").click()
    press(page, " ")  # the button's own, and no second drop
    expect_a(page, "exponential", 1.9, 2, hand=None)


def open_with_a_clock(page, name):
    """Open a figure whose time the test can advance: nobody has to wait for a drop."""
    page.clock.install()
    return open_figure(page, name)


def expect_no_more_drops(page, drops):
    """They are the first ones of seed 1, the figure says that it rests, and none follows."""
    assert page.get_by_role("button", name="Run").count() == 1  # which reads Stop while it runs
    expect_a(page, "exponential", 2, drops, hand=None if drops else 0.5)
    page.clock.run_for(2500)  # the time of four drops
    expect_a(page, "exponential", 2, drops, hand=None if drops else 0.5)


def test_drops_of_a_fall_until_they_are_stopped(page):
    open_with_a_clock(page, "transform")
    page.get_by_role("button", name="One drop").click()
    page.clock.run_for(1000)
    expect_a(page, "exponential", 2, 1, hand=None)
    page.get_by_role("button", name="Run").click()
    page.clock.run_for(1500)
    page.get_by_role("button", name="Stop").click()
    drops = int(numbers(page)["drops n"])
    assert drops >= 4  # one, two by themselves, and the one that was falling
    expect_no_more_drops(page, drops)


def test_a_thousand_at_once_end_a_run_of_a(page):
    open_with_a_clock(page, "transform")
    page.get_by_role("button", name="Run").click()
    page.clock.run_for(1500)
    page.get_by_role("button", name="1000 at once").click()
    drops = int(numbers(page)["drops n"])
    assert drops >= 1003  # two by themselves, and the one that was falling
    expect_no_more_drops(page, drops)


def test_a_that_starts_again_amid_a_run_rests_and_has_the_same_drops(page):
    open_with_a_clock(page, "transform")
    page.get_by_role("button", name="Run").click()
    page.clock.run_for(1500)
    page.get_by_role("button", name="Start again").click()
    expect_no_more_drops(page, 0)
    page.get_by_role("button", name="One drop").click()
    page.clock.run_for(1000)
    expect_no_more_drops(page, 1)


def test_the_mouse_drags_a(page):
    open_figure(page, "transform")
    (_, _), (low, high) = units(page, 0)(np.zeros(2), np.array([66, 0]))
    drag(page, ".live-handle", 0, -66)
    hand = round(0.5 + high - low, 2)
    expect_a(page, "exponential", 2, 0, hand=hand)
    np.testing.assert_allclose(
        line(page, 0, ".live-hand path")[-1], (stats.expon(scale=0.5).ppf(hand), 0), atol=0.01
    )


def test_a_finger_drags_a_and_not_the_page(browser, host):
    with browser.new_context(base_url=host, **PHONE) as context:
        page = open_figure(context.new_page(), "transform")
        page.locator(".live-picture").scroll_into_view_if_needed()
        scrolled = page.evaluate("scrollY")
        (_, _), (low, high) = units(page, 0)(np.zeros(2), np.array([0, 44]))
        touch(page, ".live-handle", 3, 44)
        expect_a(page, "exponential", 2, 0, hand=round(0.5 + high - low, 2))
        assert page.evaluate("scrollY") == scrolled


# ---- B: which draws from the prior carry the sum

SEEN = [(1, 1), (2, 1), (4, 2), (8, 3), (16, 4)]  # K and the seed


def spiral(z):
    u = special.ndtr(z)
    radius = 1.5 * (0.3 + 0.7 * u)
    return np.stack([radius * np.cos(3 * np.pi * u), radius * np.sin(3 * np.pi * u)], axis=-1)


@functools.cache
def drawn_for_b(seed):
    """The 16 points of x, and the means of 1000 draws: (16, 2) and (1000, 16, 2)."""
    numbers = Noise(seed).normals(2 * 16 * 1003)[::2]  # the cosines alone
    x = spiral(numbers[:16]) + 0.2 * numbers[16:48].reshape(16, 2)
    return x, spiral(numbers[48:].reshape(1000, 16))


@functools.cache
def log_p_of_a_point(across, up):
    """log P of one point of the plane, by SciPy's adaptive quadrature."""

    def integrand(z):
        square = np.sum((spiral(z) - (across, up)) ** 2)
        return math.exp(-square / 0.08 - z**2 / 2) / (2 * math.pi * 0.04) / math.sqrt(2 * math.pi)

    value, _ = integrate.quad(integrand, -8, 8, points=np.arange(-3.5, 4), limit=500, epsabs=1e-13)
    return math.log(value)


@functools.cache
def of_b(K, seed):  # noqa: N803
    """The logarithms of the terms, their shares, and what figure B says of them."""
    x, means = drawn_for_b(seed)
    log_terms = stats.norm.logpdf(x[:K], means[:, :K], 0.2).sum(axis=(1, 2))
    shares = special.softmax(log_terms)
    truth = sum(log_p_of_a_point(*point) for point in x[:K])
    estimate = special.logsumexp(log_terms) - math.log(1000)
    misses = np.linalg.norm(x[:K] - means[shares.argmax(), :K], axis=1)
    said = {
        "log P(x) by draws": estimate, "log P(x) by draws, truth": truth,
        "error": estimate - truth, "largest share": shares.max(),
        "effective draws 1/Σw² =": 1 / np.sum(shares**2),
        "best draw near in": np.sum(misses < 0.4), "best draw near in, of": K,
        "useful draws": np.sum(log_terms >= truth), "useful draws, of": 1000,
    }  # fmt: skip
    return log_terms, shares, said


@pytest.mark.parametrize(("K", "seed"), SEEN)
def test_b_computes_what_scipy_does(blank, K, seed):  # noqa: N803
    all_of_b = """(m, K, seed) => { const {x, draws} = m.observed(seed), points = x.slice(0, K);
        const {logTerms, shares, estimate} = m.shareOut(points, draws);
        return [x, draws, logTerms, shares, estimate, m.logP(points)]; }"""
    x, draws, log_terms, shares, estimate, truth = call(blank, all_of_b, K, seed)
    wanted = of_b(K, seed)
    for got, expected in zip((x, draws), drawn_for_b(seed), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)
    for got, expected in zip((log_terms, shares), wanted, strict=False):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)
    expected = wanted[2]["log P(x) by draws"], wanted[2]["log P(x) by draws, truth"]
    np.testing.assert_allclose((estimate, truth), expected, rtol=0, atol=1e-6)


TABLE_OF_B = """
    1 1 -1.337508 1.313199 -4.626999 -4.685384 157 0.028935 52.647303 76 0
    2 1 -1.337508 1.313199 -5.676521 -6.567544 235 0.296619 4.687271 18 1
    4 2 -0.453434 0.655826 -5.759883 -5.505185 803 0.387449 3.316560 6 3
    8 3 -0.887571 0.751490 -46.510046 -15.914638 277 0.999844 1.000312 0 2
    16 4 0.483471 0.250151 -173.330318 -33.145353 171 0.990310 1.019573 0 1"""


def test_b_gives_the_table_of_its_notebook(blank):
    row = """(m, K, seed) => { const {x, draws} = m.observed(seed), points = x.slice(0, K);
        const {logTerms, shares, estimate} = m.shareOut(points, draws), truth = m.logP(points);
        const largest = Math.max(...shares), best = shares.indexOf(largest);
        return [...x[0], estimate, truth, best, largest,
            1 / shares.reduce((sum, one) => sum + one ** 2, 0),
            logTerms.filter(log => log >= truth).length,
            points.filter((point, k) => m.isNear(point, draws[best][k])).length]; }"""
    for K, seed, *wanted in np.loadtxt(TABLE_OF_B.split("\n")):  # noqa: N806
        np.testing.assert_allclose(call(blank, row, int(K), int(seed)), wanted, rtol=0, atol=1e-6)


def test_b_has_the_normal_distribution_function_and_the_spiral(blank):
    z = np.linspace(-6.5, 6.5, 131)
    got = call(blank, "(m, z) => z.map(m.normalCdf)", z)
    np.testing.assert_allclose(got, stats.norm.cdf(z), rtol=0, atol=1e-14)
    np.testing.assert_allclose(call(blank, "(m, z) => z.map(m.spiral)", z), spiral(z), atol=1e-12)


def expect_b(page, K, *seeds):  # noqa: N803
    """After these seeds, the last of which is shown."""
    said = numbers(page)
    assert said.pop("seed") == seeds[-1]
    x, means = drawn_for_b(seeds[-1])
    _, shares, wanted = of_b(K, seeds[-1])
    errors = [[of_b(many, seed)[2]["error"] for many in range(1, 17)] for seed in seeds]
    if len(seeds) > 1:
        assert said.pop("mean error") == pytest.approx(np.mean(errors, axis=0)[K - 1], abs=0.0051)
        assert said.pop("mean error, seeds") == len(seeds)
    assert said.keys() == wanted.keys()
    within = {"error": 0.0051, "effective draws 1/Σw² =": 0.051}
    for name, number in said.items():
        assert number == pytest.approx(wanted[name], abs=within.get(name, 6e-4)), name
    assert page.get_by_role("slider", name="K").input_value() == str(K)

    order = np.argsort(-shares)
    sharing = order[shares[order] > 1e-3][::-1]  # the best on top
    boxes = page.locator(".live-spiral").evaluate_all("""all => all.map(g => {
        const box = g.querySelector("rect"), places = name => [...g.querySelectorAll(name)].map(
            c => [c.cx.baseVal.value, c.cy.baseVal.value, c.r.baseVal.value]);
        return {box: [box.x, box.y, box.width].map(one => one.baseVal.value),
            x: places(".live-x"), draws: places(".live-draw"), ring: places("circle")[0],
            miss: g.querySelector(".live-miss").getAttribute("d")}; })""")
    assert len(boxes) == K
    for k, panel in enumerate(boxes):
        left, top, side = panel["box"]

        def to_units(pixels, left=left, top=top, side=side):
            across, down = np.transpose(pixels)[:2]
            unit = side / 4.2
            return np.transpose([(across - left) / unit - 2.1, 2.1 - (down - top) / unit])

        near = {"rtol": 0, "atol": 0.01}
        np.testing.assert_allclose(to_units(panel["x"]), x[k : k + 1], **near)
        np.testing.assert_allclose(to_units([panel["ring"]]), x[k : k + 1], **near)
        assert panel["ring"][2] == pytest.approx(0.4 * side / 4.2)
        np.testing.assert_allclose(to_units(panel["draws"]), means[sharing, k], **near)
        areas = np.square(panel["draws"])[:, 2]
        np.testing.assert_allclose(areas / areas[-1], shares[sharing] / shares.max(), rtol=1e-6)
        ends = np.reshape([float(one) for one in re.findall(r"-?[\d.]+", panel["miss"])], (2, 2))
        np.testing.assert_allclose(to_units(ends), [means[order[0], k], x[k]], **near)

    read = "all => all.map(r => [r.x.baseVal.value, r.width.baseVal.value])"
    left, width = np.transpose(page.locator(".live-share").evaluate_all(read))
    to_share = units(page, 0)
    parts = to_share(left + width, left)[0] - to_share(left, left)[0]
    np.testing.assert_allclose(parts, shares[order][: len(parts)], atol=1e-4)
    assert to_share(left, left)[0][0] == pytest.approx(0, abs=1e-4)
    assert page.locator(".live-error").count() == len(seeds)
    for i, one in enumerate(errors):
        drawn = line(page, 1, f".live-error >> nth={i}")
        np.testing.assert_allclose(drawn, np.transpose([range(1, 17), one]), atol=0.02)


def test_keys_move_b_as_computed(page):
    open_figure(page, "draws")
    expect_b(page, 1, 2)
    page.get_by_role("application").focus()
    press(page, "ArrowRight", "ArrowRight", "ArrowLeft")
    expect_b(page, 2, 2)
    press(page, "n", "ArrowRight", "ArrowRight")
    expect_b(page, 4, 2, 3)
    page.get_by_role("button", name="New seed").click()
    page.get_by_role("slider", name="K").focus()
    press(page, *["ArrowRight"] * 4)
    expect_b(page, 8, 2, 3, 4)
    press(page, "n", "End", "ArrowRight")
    expect_b(page, 16, 2, 3, 4, 5)
    page.get_by_role("button", name="Start again").click()
    expect_b(page, 1, 2)


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_b_takes_twenty_seeds_one_after_the_other(page, motion):
    page.emulate_media(reduced_motion=motion)
    open_figure(page, "draws")
    page.get_by_role("slider", name="K").press("End")
    page.get_by_role("button", name="20 seeds").click()
    page.wait_for_function("document.querySelector('.live-numbers').innerText.includes('seeds 21')")
    expect_b(page, 16, *range(2, 23))
    press(page, "r")
    expect_b(page, 1, 2)


def test_b_that_starts_again_amid_its_seeds_takes_no_more(page):
    open_with_a_clock(page, "draws")
    press_both = """([first, second]) => { for (const name of [first, second])
        [...document.querySelectorAll("button")].find(one => one.innerText === name).click(); }"""
    page.evaluate(press_both, ["20 seeds", "Start again"])  # before the first frame
    page.clock.run_for(1000)
    expect_b(page, 1, 2)


def test_the_mouse_drags_b_along_its_chart(page):
    open_figure(page, "draws")
    unit = pixels_per_unit(page, 1)
    drag(page, ".live-handle", 3.3 * unit, 40)
    expect_b(page, 4, 2)
    drag(page, ".live-handle", -99 * unit)  # to the end, and no further
    expect_b(page, 1, 2)


def test_a_finger_drags_b_and_not_the_page(browser, host):
    with browser.new_context(base_url=host, **PHONE) as context:
        page = open_figure(context.new_page(), "draws")
        page.locator(".live-handle").scroll_into_view_if_needed()
        unit = pixels_per_unit(page, 1)
        scrolled = page.evaluate("scrollY")
        touch(page, ".live-handle", 7 * unit, 20)
        expect_b(page, 8, 2)
        assert page.evaluate("scrollY") == scrolled
        page.get_by_role("button", name="New seed").tap()
        expect_b(page, 8, 2, 3)


# ---- C: log P(X) = ELBO + gap

PLACES = [(0, 1), (2, 0.5), (0.26, 0.92), (0.92, 0.28), (-1.5, 0.5), (-0.95, 0.154), (3, 2)]


def log_likelihood(z):
    mean = 2 * np.tanh(2 * z + 2) - 2 * np.tanh(z - 1)
    return stats.norm.logpdf(2, mean, 0.5)


def slope_of_log_likelihood(z):
    mean = 2 * np.tanh(2 * z + 2) - 2 * np.tanh(z - 1)
    return (2 - mean) / 0.25 * (4 / np.cosh(2 * z + 2) ** 2 - 2 / np.cosh(z - 1) ** 2)


def average(f, mu, s):
    """E[f(z)] for z from N(mu, s^2), by SciPy's adaptive quadrature."""
    value, _ = integrate.quad(
        lambda z: f(z) * stats.norm.pdf(z, mu, s), mu - 12 * s, mu + 12 * s,
        points=[place for place in (-1, 0, 1, mu) if abs(place - mu) < 12 * s], limit=500,
        epsabs=1e-11,
    )  # fmt: skip
    return value


LOG_EVIDENCE = math.log(average(lambda z: np.exp(log_likelihood(z)), 0, 1))


@functools.cache
def terms_of_c(mu, s):
    """What figure C says of a Q = N(mu, s^2), each by an integral of its own."""

    def log_q(z):
        return stats.norm.logpdf(z, mu, s)

    def log_posterior(z):
        return log_likelihood(z) + stats.norm.logpdf(z) - LOG_EVIDENCE

    reconstruction = average(log_likelihood, mu, s)
    kl = average(lambda z: log_q(z) - stats.norm.logpdf(z), mu, s)
    gap = average(lambda z: log_q(z) - log_posterior(z), mu, s)
    return {
        "reconstruction": reconstruction, "KL": kl, "ELBO": reconstruction - kl, "gap": gap,
        "log P(x)": LOG_EVIDENCE,
    }  # fmt: skip


def slopes_of_c(mu, s):
    """Of the ELBO in mu and log s, by the chain rule through z = mu + s epsilon."""
    in_mu = average(slope_of_log_likelihood, mu, s) - mu
    in_log_s = average(lambda z: (z - mu) * slope_of_log_likelihood(z), mu, s) - (s**2 - 1)
    return in_mu, in_log_s


@pytest.mark.parametrize(("mu", "s"), PLACES)
def test_c_computes_what_scipy_does(blank, mu, s):
    all_of_c = """(m, mu, s) => { const {reconstruction, kl, elbo, gap} = m.bound(mu, s);
        return [reconstruction, kl, elbo, gap, m.LOG_EVIDENCE]; }"""
    wanted = list(terms_of_c(mu, s).values())
    np.testing.assert_allclose(call(blank, all_of_c, mu, s), wanted, rtol=0, atol=1e-6)
    slopes = call(blank, "(m, mu, s) => m.slopesOfElbo(mu, s)", mu, s)
    np.testing.assert_allclose(slopes, slopes_of_c(mu, s), rtol=0, atol=1e-6)
    once = call(blank, "(m, mu, s) => m.climbed(mu, s)", mu, s)
    in_mu, in_log_s = slopes_of_c(mu, s)
    wanted = mu + 0.02 * in_mu, s * math.exp(0.02 * in_log_s)
    np.testing.assert_allclose(once, wanted, rtol=0, atol=1e-6)


TABLE_OF_C = """
    0 1 -2.910741 0.000000 -2.910741 1.317729 0.663551 -1.020741
    2 0.5 -4.521541 2.318147 -6.839689 5.246676 -6.117126 1.037175
    0.26 0.92 -2.688307 0.040382 -2.728689 1.135676 0.210456 -0.704209
    0.92 0.28 -0.801131 1.235366 -2.036497 0.443485 -0.010472 0.007754
    -1.5 0.5 -4.643622 1.443147 -6.086769 4.493757 6.123527 0.306729"""


def test_c_gives_the_table_of_its_notebook(blank):
    all_of_c = """(m, mu, s) => { const {reconstruction, kl, elbo, gap} = m.bound(mu, s);
        return [reconstruction, kl, elbo, gap, ...m.slopesOfElbo(mu, s)]; }"""
    for mu, s, *wanted in np.loadtxt(TABLE_OF_C.split("\n")):
        np.testing.assert_allclose(call(blank, all_of_c, mu, s), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("start", "wanted"), [((0, 1), (0.684341, 0.600471)), ((-1.5, 0.5), (-0.947398, 0.166053))]
)
def test_a_climb_of_c_takes_the_way_of_the_notebook(blank, start, wanted):
    climb = """(m, mu, s) => { let at = [mu, s];
        for (let i = 0; i < 100; i++) at = m.climbed(...at);
        return at; }"""
    np.testing.assert_allclose(call(blank, climb, *start), wanted, rtol=0, atol=1e-6)


def expect_c(page, mu, s, within=6e-4):
    assert numbers(page) == pytest.approx(terms_of_c(mu, s), abs=within)
    terms = terms_of_c(mu, s)
    ends = [0, LOG_EVIDENCE, terms["ELBO"], 0, terms["reconstruction"], terms["ELBO"]]
    edges = page.locator(".live-panel rect").evaluate_all(
        "all => all.map(r => [r.x.baseVal.value + r.width.baseVal.value, r.x.baseVal.value])"
    )
    drawn, _ = units(page, 1)(np.array(edges), 0)
    first, gap, other, kl = drawn.tolist()
    got = [*first, gap[1], *other, kl[1]]
    assert got == pytest.approx(ends, abs=within + 0.001)
    assert [gap[0], kl[0]] == pytest.approx([first[1], other[1]], abs=1e-4)  # end to end
    assert peak_of_q(page) == pytest.approx((mu, stats.norm.pdf(0, 0, s)), abs=0.02)


def peak_of_q(page):
    curve = line(page, 0, ".live-q")
    return curve[curve[:, 1].argmax()]


def test_buttons_and_keys_move_c_as_computed(page):
    open_figure(page, "bound")
    expect_c(page, 0, 1)
    page.get_by_role("button", name="Both humps").click()
    expect_c(page, 0.26, 0.92)
    page.get_by_role("button", name="One hump").click()
    expect_c(page, 0.92, 0.28)
    page.get_by_role("application").focus()
    press(page, *["ArrowRight"] * 3, "ArrowLeft", "ArrowUp", "ArrowUp", "ArrowDown")
    expect_c(page, 1.02, 0.28 * 1.05)
    page.get_by_role("slider", name="μ").focus()
    press(page, "ArrowLeft", "ArrowLeft")
    expect_c(page, 1.0, 0.28 * 1.05)
    page.get_by_role("slider", name="s,").focus()
    press(page, "End")
    expect_c(page, 1.0, 2.0)
    eventually(lambda: expect_rest(page))


def expect_rest(page):
    """A screen reader may read the numbers."""
    assert page.locator(".live-numbers").get_attribute("aria-busy") is None


def test_the_mouse_drags_c_and_its_top_follows(page):
    open_figure(page, "bound")
    handle = ".live-handle >> nth=0"
    to_units = units(page, 0)
    (left, right), (low, high) = to_units(np.array([0, 80]), np.array([60, 0]))
    drag(page, handle, 80, -60)
    mu, height = right - left, stats.norm.pdf(0) + (high - low)
    expect_c(page, mu, stats.norm.pdf(0) / height)
    drag(page, handle, -9999, -200)  # beyond the axis, which waits until the hand lets go
    _, (low, high) = to_units(np.zeros(2), np.array([200, 0]))
    expect_c(page, -3, stats.norm.pdf(0) / (height + high - low))


def test_a_finger_drags_c_and_not_the_page(browser, host):
    with browser.new_context(base_url=host, **PHONE) as context:
        page = open_figure(context.new_page(), "bound")
        page.locator(".live-picture").scroll_into_view_if_needed()
        scrolled = page.evaluate("scrollY")
        (left, right), (low, high) = units(page, 0)(np.array([0, -40]), np.array([50, 0]))
        touch(page, ".live-handle >> nth=0", -40, -50)
        height = stats.norm.pdf(0) + (high - low)
        expect_c(page, right - left, stats.norm.pdf(0) / height)
        assert page.evaluate("scrollY") == scrolled


@functools.cache  # it takes seconds, and `eventually` asks again and again
def summit(mu, s):
    best = optimize.minimize(
        lambda at: -terms_of_c(at[0], math.exp(at[1]))["ELBO"], (mu, math.log(s))
    )
    return best.x[0], math.exp(best.x[1])


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_the_climb_of_c_ends_on_the_summit(page, motion):
    page.emulate_media(reduced_motion=motion)
    open_figure(page, "bound")
    button = page.get_by_role("button", name=re.compile("Climb|Stop"))
    button.click()
    if motion == "reduce":
        assert button.inner_text() == "Climb"  # it is there already
    eventually(lambda: expect_c(page, *summit(0.92, 0.28), within=0.003))
    eventually(lambda: expect_text(button, "Climb"))


def expect_text(locator, text):
    assert locator.inner_text() == text


def test_a_key_ends_the_climb_of_c(page):
    open_figure(page, "bound")
    button = page.get_by_role("button", name=re.compile("Climb|Stop"))
    button.click()
    page.get_by_role("application").focus()
    press(page, "ArrowRight")
    assert button.inner_text() == "Climb"
    said = numbers(page)
    page.evaluate("""() => new Promise(done =>
        requestAnimationFrame(() => requestAnimationFrame(done)))""")
    assert numbers(page) == said


# ---- D: why a gradient exists

POSITIONS = [(1.5, 0.5), (1.55, 0.5), (-0.5, 1.2), (0.5, 0.1), (3.0, 1.5), (-1.0, 0.35)]


def squares(z):
    return (z - 0.5) ** 2


def of_position(mu, s, epsilon, after, h=0.05):
    """What figure D says of a position: the slopes by small differences, E[f] by SciPy."""

    def average(mu, s):
        return squares(mu + s * epsilon).mean()

    def expected(mu, s):
        return stats.norm(mu, s).expect(squares)

    def slopes(f, d=1e-4):
        return (f(mu + d, s) - f(mu - d, s)) / (2 * d), (f(mu, s + d) - f(mu, s - d)) / (2 * d)

    in_mu, in_s = slopes(average)
    exact_mu, exact_s = slopes(expected)
    changed = squares(mu + h + s * after).mean() - average(mu, s)
    return {
        "mean f": average(mu, s), "mean f, E[f]": expected(mu, s),
        "slope in μ": in_mu, "slope in μ, exact": exact_mu,
        "slope in s": in_s, "slope in s, exact": exact_s,
        "quotient, h = 0.05:": changed / h,
    }  # fmt: skip


ALL_OF_D = """(m, mu, s, epsilon, after) => {
    const z = m.drawZ(mu, s, epsilon), [exactMu, exactS] = m.exactSlopes(mu, s);
    return [m.meanOfF(z), m.expectedF(mu, s), m.slopeInMu(z), exactMu, m.slopeInS(z, epsilon),
        exactS, m.quotient(mu, s, epsilon, after)];
}"""


@pytest.mark.parametrize(("mu", "s"), POSITIONS)
def test_d_computes_what_numpy_and_scipy_do(blank, mu, s):
    rng = np.random.default_rng(0)
    epsilon, after = rng.standard_normal((2, 12))
    wanted = list(of_position(mu, s, epsilon, after).values())
    got = call(blank, ALL_OF_D, mu, s, epsilon, after)
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-7)
    z = call(blank, "(m, mu, s, epsilon) => m.drawZ(mu, s, epsilon)", mu, s, epsilon)
    np.testing.assert_allclose(z, mu + s * epsilon, rtol=1e-12)
    density = "(m, x, mu, s) => x.map(one => m.normalDensity(one, mu, s))"
    np.testing.assert_allclose(call(blank, density, z, mu, s), stats.norm.pdf(z, mu, s), rtol=1e-12)


def test_d_takes_the_same_noise_or_the_next(blank):
    noise = Noise(1)
    first, second, third, fourth = (noise.normals(12) for _ in range(4))
    twice = """(m, fixed) => { const next = m.noiseOf(1, fixed);
        return [next(), next()].map(({epsilon, after}) => [epsilon, after]); }"""
    np.testing.assert_allclose(call(blank, twice, True), [[first, first]] * 2, rtol=1e-12)
    wanted = [[first, second], [third, fourth]]
    np.testing.assert_allclose(call(blank, twice, False), wanted, rtol=1e-12)


def expect_d(page, mu, s, epsilon, after, seed=1):
    said = numbers(page)
    assert said.pop("seed") == seed
    assert said == pytest.approx(of_position(mu, s, epsilon, after), abs=6e-4)
    sliders = [float(value) for value in page.locator("input[type=range]").evaluate_all(
        "inputs => inputs.map(input => input.value)")]  # fmt: skip
    assert sliders == pytest.approx([mu, s])
    np.testing.assert_allclose(places(page, 0, ".live-point")[:, 0], mu + s * epsilon, atol=1e-4)
    now = places(page, 1, ".live-visited")[-1]
    np.testing.assert_allclose(now, (mu, squares(mu + s * epsilon).mean()), atol=1e-4)


def test_keys_move_d_as_computed(page):
    open_figure(page, "gradient")
    epsilon = Noise(1).normals(12)
    expect_d(page, 1.5, 0.5, epsilon, epsilon)
    page.get_by_role("application").focus()
    press(page, "ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft")
    expect_d(page, 1.6, 0.5, epsilon, epsilon)
    assert page.locator(".live-visited").count() == 5  # the trace: where it was, too
    press(page, "ArrowUp", "Control+ArrowUp")  # of which the second is the browser's
    expect_d(page, 1.6, 0.55, epsilon, epsilon)
    assert page.locator(".live-visited").count() == 1  # s is another: the trace is empty
    page.get_by_role("slider", name="μ").focus()
    press(page, "ArrowRight", "ArrowRight")
    page.get_by_role("slider", name="s,").focus()
    press(page, "ArrowLeft")
    expect_d(page, 1.7, 0.5, epsilon, epsilon)
    press(page, "n")
    second = Noise(2).normals(12)
    expect_d(page, 1.7, 0.5, second, second, seed=2)
    press(page, "r", *["ArrowLeft"] * 20)
    expect_d(page, 1.5, 0.1, epsilon, epsilon)  # s has reached its end


def test_fresh_noise_of_d_is_the_next_at_each_position(page):
    open_figure(page, "gradient")
    noise = Noise(1)
    page.get_by_role("radio", name="fresh").check()
    expect_d(page, 1.5, 0.5, noise.normals(12), noise.normals(12))
    page.get_by_role("application").focus()
    for mu in (1.55, 1.6):
        press(page, "ArrowRight")
        expect_d(page, mu, 0.5, noise.normals(12), noise.normals(12))
    assert page.locator(".live-tangent").count() == 0
    press(page, "f", "f")  # begins anew
    noise = Noise(1)
    expect_d(page, 1.6, 0.5, noise.normals(12), noise.normals(12))
    page.set_viewport_size({"width": 500, "height": 900})  # which is no move
    page.wait_for_function("document.querySelector('.live-picture svg').clientWidth < 500")
    noise = Noise(1)
    expect_d(page, 1.6, 0.5, noise.normals(12), noise.normals(12))


def test_d_draws_slides_and_a_tangent(page):
    open_figure(page, "gradient")
    page.get_by_role("application").focus()
    press(page, *["ArrowRight"] * 3)
    tails = [line(page, 0, f".live-tail >> nth={m}") for m in range(12)]
    for m, e in enumerate(Noise(1).normals(12)):
        wanted = np.array([1.65, 1.6, 1.55, 1.5]) + 0.5 * e  # now, and before
        np.testing.assert_allclose(tails[m][:, 0], wanted, atol=0.01)
    (x0, y0), (x1, y1) = line(page, 1, ".live-tangent")
    z = 1.65 + 0.5 * Noise(1).normals(12)
    assert (y1 - y0) / (x1 - x0) == pytest.approx(2 * np.mean(z - 0.5), abs=0.01)
    assert (y1 + y0) / 2 == pytest.approx(squares(z).mean(), abs=0.01)


def test_the_mouse_drags_d(page):
    open_figure(page, "gradient")
    epsilon = Noise(1).normals(12)
    unit = pixels_per_unit(page, 0)
    drag(page, ".live-handle >> nth=0", -0.8 * unit)
    expect_d(page, 0.7, 0.5, epsilon, epsilon)
    drag(page, ".live-handle >> nth=1", 0.4 * unit)
    expect_d(page, 0.7, 0.9, epsilon, epsilon)
    drag(page, ".live-handle >> nth=0", 9 * unit)  # to the end, and no further
    expect_d(page, 3.0, 0.9, epsilon, epsilon)


def test_a_finger_drags_d_and_not_the_page(browser, host):
    epsilon = Noise(1).normals(12)
    with browser.new_context(base_url=host, **PHONE) as context:
        page = open_figure(context.new_page(), "gradient")
        unit = pixels_per_unit(page, 0)
        page.locator(".live-picture").scroll_into_view_if_needed()
        scrolled = page.evaluate("scrollY")
        touch(page, ".live-handle >> nth=0", 1.0 * unit, 30)
        expect_d(page, 2.5, 0.5, epsilon, epsilon)
        assert page.evaluate("scrollY") == scrolled
        page.get_by_role("button", name="New seed").tap()
        second = Noise(2).normals(12)
        expect_d(page, 2.5, 0.5, second, second, seed=2)


# ---- E, F and G: models of a recorded run


@functools.cache
def recorded(name):
    """What the figure shows: `test_live_data.py` says whether that is true."""
    return json.loads((DOCS / f"live/{name}.json").read_text(encoding="utf-8"))


def shown_tiles(page, marks=".live-tile"):
    """Which pictures of the sheet are shown, as (row, column)."""
    read = "all => all.map(({viewBox: {baseVal: b}}) => [b.y / b.height, b.x / b.width])"
    return [tuple(place) for place in page.locator(marks).evaluate_all(read)]


def expect_row(page, row):
    """Ten originals, and below them the reconstructions and the draws of a row of the sheet."""
    wanted = [(0, i) for i in range(10)] + [(row, i) for i in range(20)]
    assert shown_tiles(page) == wanted


# ---- E: rate and distortion


def expect_e(page, at):
    models = recorded("beta")["models"]
    beta, rate, distortion, in_use = models[at].values()
    others = [m["distortion"] + beta * m["rate"] for m in models if m is not models[at]]
    wanted = {
        "β =": beta, "rate R (KL)": rate, "distortion D (reconstruction)": distortion,
        "D + R, the −ELBO": distortion + rate, "D + βR": distortion + beta * rate,
        "D + βR, best of the other models": min(others),
        "latents with more than 0.1 nats of KL": in_use,
    }  # fmt: skip
    assert numbers(page) == pytest.approx(wanted, abs=0.0051)
    expect_row(page, at + 1)
    (x0, y0), (x1, y1) = line(page, 0, ".live-slope")
    assert (y1 - y0) / (x1 - x0) == pytest.approx(-beta, rel=0.02)
    dots = places(page, 0, ".live-model")
    np.testing.assert_allclose(dots, [(m["rate"], m["distortion"]) for m in models], atol=0.3)


def test_keys_move_e_as_recorded(page):
    betas = [model["beta"] for model in recorded("beta")["models"]]
    start = betas.index(1)
    open_figure(page, "beta")
    expect_e(page, start)
    page.get_by_role("application").focus()
    press(page, "ArrowLeft", "ArrowLeft")
    expect_e(page, start - 2)
    press(page, "r", *["ArrowRight"] * 20)  # to the end, and no further
    expect_e(page, len(betas) - 1)
    page.get_by_role("slider").focus()
    press(page, "Home")
    expect_e(page, 0)


def test_the_mouse_drags_e_to_the_nearest_model(page):
    models = recorded("beta")["models"]
    start = [model["beta"] for model in models].index(1)
    open_figure(page, "beta")
    unit = pixels_per_unit(page, 0)
    _, (low, high) = units(page, 0)(np.zeros(2), np.array([0, 1]))
    right = models[start - 1]["rate"] - models[start]["rate"]
    up = models[start - 1]["distortion"] - models[start]["distortion"]
    drag(page, ".live-handle", unit * right, up / (high - low))
    expect_e(page, start - 1)


def test_a_finger_drags_e_and_not_the_page(browser, host):
    with browser.new_context(base_url=host, **PHONE) as context:
        page = open_figure(context.new_page(), "beta")
        page.locator(".live-handle").scroll_into_view_if_needed()
        scrolled = page.evaluate("scrollY")
        touch(page, ".live-handle", -300, 0)  # to the left: less rate
        assert numbers(page)["β ="] > 1
        assert page.evaluate("scrollY") == scrolled


def test_e_computes_what_numpy_does(blank):
    models = [{"rate": r, "distortion": d} for r, d in ((80.0, 60.0), (22.0, 75.0), (0.5, 205.0))]
    cost = "(m, models, beta) => models.map(model => m.costAt(beta, model))"
    script = "(m, models, beta, but) => m.bestOfOthers(beta, models, but)"
    for beta in (0.1, 1.0, 8.0):
        wanted = np.array([model["distortion"] + beta * model["rate"] for model in models])
        np.testing.assert_allclose(call(blank, cost, models, beta), wanted)
        for but in range(3):
            got = call(blank, script, models, beta, but)
            assert got == pytest.approx(np.delete(wanted, but).min())


# ---- F: a model learns


def expect_f(page, at):
    kept = recorded("learning")
    moment = kept["moments"][at]
    wanted = {
        "step": moment["step"], "epoch": moment["step"] / kept["stepsOfEpoch"],
        "test loss": moment["loss"], "reconstruction": moment["reconstruction"],
        "KL": moment["kl"],
        "reconstruction above its floor": moment["reconstruction"] - kept["floor"],
    }  # fmt: skip
    assert numbers(page) == pytest.approx(wanted, abs=0.0051)
    expect_row(page, at + 1)
    told = page.locator(".live-slider output").inner_text()
    assert told == f"{wanted['epoch']:.2f}"
    assert page.get_by_text(f"Their reconstructions, {moment['name']}").count() == 1


def test_keys_and_slider_move_f_as_recorded(page):
    last = len(recorded("learning")["moments"]) - 1
    open_figure(page, "learning")
    expect_f(page, 0)
    page.get_by_role("application").focus()
    press(page, "ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft")
    expect_f(page, 2)
    press(page, "End", "ArrowRight")
    expect_f(page, last)
    press(page, "Home")
    expect_f(page, 0)
    page.get_by_role("slider").focus()
    press(page, "ArrowRight")
    expect_f(page, 1)


def test_f_draws_its_terms_where_they_are(page):
    """The axes are bent, so places are compared with those of the ticks: in the order of both."""
    kept = recorded("learning")
    open_figure(page, "learning")
    heights = {}
    for name in ("loss", "reconstruction", "kl"):
        path = page.locator(f".live-{name}").get_attribute("d")
        pixels = np.reshape([float(n) for n in re.findall(r"-?[\d.]+", path)], (-1, 2))
        values = [moment[name] for moment in kept["moments"]]
        heights |= dict(zip(values, pixels[:, 1], strict=True))
    values = np.array(list(heights))
    slope, offset = np.polyfit(np.log(values), list(heights.values()), 1)
    assert slope < 0  # upwards
    np.testing.assert_allclose(slope * np.log(values) + offset, list(heights.values()), atol=0.1)


def test_f_plays_to_its_end_and_can_be_stopped(page):
    steps = [moment["step"] for moment in recorded("learning")["moments"]]
    open_with_a_clock(page, "learning")
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(2200)
    page.get_by_role("button", name="Stop").click()
    at = steps.index(numbers(page)["step"])
    assert at >= 3  # of 700 ms, or more if the machine is slow
    page.clock.run_for(3000)
    expect_f(page, at)
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(700 * 30)
    expect_f(page, len(steps) - 1)
    assert page.get_by_role("button", name="Play").count() == 1
    page.get_by_role("button", name="Play").click()
    assert steps.index(numbers(page)["step"]) < 5  # from the start


def test_f_does_not_move_by_itself_where_motion_is_not_wanted(page):
    page.emulate_media(reduced_motion="reduce")
    open_figure(page, "learning")
    page.get_by_role("button", name="Play").click()
    expect_f(page, len(recorded("learning")["moments"]) - 1)


def test_the_mouse_drags_f_to_the_nearest_moment(page):
    open_figure(page, "learning")
    drag(page, ".live-handle", 2000)  # to the end, and no further
    expect_f(page, len(recorded("learning")["moments"]) - 1)
    drag(page, ".live-handle", -2000)
    expect_f(page, 0)


def test_a_finger_drags_f_and_not_the_page(browser, host):
    with browser.new_context(base_url=host, **PHONE) as context:
        page = open_figure(context.new_page(), "learning")
        page.locator(".live-handle").scroll_into_view_if_needed()
        scrolled = page.evaluate("scrollY")
        touch(page, ".live-handle", 330, 10)
        expect_f(page, len(recorded("learning")["moments"]) - 1)
        assert page.evaluate("scrollY") == scrolled


# ---- G: a walk between two codes


def on_the_way(pair, t, spherical):
    ends = np.array(pair["start"]), np.array(pair["end"])
    return interpolate(*ends, 1001, spherical)[round(1000 * t)]


def expect_g(page, pair, t, way="straight"):
    kept = recorded("walk")
    straight, arc = (on_the_way(kept["pairs"][pair], t, spherical) for spherical in (False, True))
    wanted = {
        "pair": pair + 1, "pair, of": len(kept["pairs"]), "t =": t,
        "length of z, straight": np.linalg.norm(straight),
        "length of z, straight, arc": np.linalg.norm(arc),
        "draws from the prior: 5 % are below": kept["band"][0],
        "draws from the prior: 5 % are below, median": kept["band"][1],
        "log P(z), arc less straight, nats": (straight @ straight - arc @ arc) / 2,
    }  # fmt: skip
    assert numbers(page) == pytest.approx(wanted, abs=0.0051)
    row = 2 * pair + (way == "arc")
    column = round(t * (kept["steps"] - 1))
    assert shown_tiles(page, ".live-now") == [(row, column)]
    ends = [(row, 0), (row, column), (row, kept["steps"] - 1)]
    strips = [(2 * pair + other, 2 * i) for other in (0, 1) for i in range(11)]
    assert shown_tiles(page) == ends + strips
    lengths = [np.linalg.norm(on_the_way(kept["pairs"][pair], 0.5, kind)) for kind in (0, 1)]
    drawn = [line(page, 0, f".live-length >> nth={i}")[20] for i in (0, 1)]
    np.testing.assert_allclose(drawn, [(0.5, length) for length in lengths], atol=0.02)


def test_keys_and_buttons_move_g_as_computed(page):
    open_figure(page, "walk")
    expect_g(page, 0, 0.5)
    page.get_by_role("application").focus()
    press(page, "ArrowLeft", "ArrowLeft", "a")
    expect_g(page, 0, 0.4, "arc")
    press(page, "n", *["ArrowRight"] * 30)  # to the end, and no further
    expect_g(page, 1, 1.0, "arc")
    page.get_by_role("radio", name="straight").check()
    page.get_by_role("button", name="Next pair").click()
    expect_g(page, 2, 1.0)
    for _ in range(len(recorded("walk")["pairs"]) - 2):
        press(page, "n")
    expect_g(page, 0, 1.0)  # after the last the first
    page.get_by_role("slider").focus()
    press(page, "Home", "ArrowRight")
    expect_g(page, 0, 0.05)
    page.get_by_role("button", name="Start again").click()
    expect_g(page, 0, 0.5)


def test_the_mouse_drags_g(page):
    open_figure(page, "walk")
    unit = pixels_per_unit(page, 0)
    drag(page, ".live-handle", 0.2 * unit)
    expect_g(page, 0, 0.7)


def test_a_finger_drags_g_and_not_the_page(browser, host):
    with browser.new_context(base_url=host, **PHONE) as context:
        page = open_figure(context.new_page(), "walk")
        page.locator(".live-handle").scroll_into_view_if_needed()
        unit = pixels_per_unit(page, 0)
        scrolled = page.evaluate("scrollY")
        touch(page, ".live-handle", -0.3 * unit, 20)
        expect_g(page, 0, 0.2)
        assert page.evaluate("scrollY") == scrolled


def test_g_computes_what_numpy_and_scipy_do(blank):
    rng = np.random.default_rng(0)
    walk = "(m, a, b, arc) => [0, 0.13, 0.5, 0.8, 1].map(t => m.between(a, b, t, arc))"
    for dim in (1, 2, 14, 64):
        a, b = rng.normal(size=(2, dim))
        for spherical in (False, True):
            wanted = interpolate(a, b, 101, spherical)[[0, 13, 50, 80, 100]]
            got = call(blank, walk, a, b, spherical)
            np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)
        wanted = stats.norm.logpdf(a).sum(), np.linalg.norm(a)
        got = call(blank, "(m, z) => [m.logPrior(z), m.lengthOf(z)]", a)
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
    opposite = call(blank, walk, [1.0, 0.0], [-1.0, 0.0], True)  # many arcs, so none
    np.testing.assert_allclose(opposite, interpolate([1, 0], [-1, 0], 101)[[0, 13, 50, 80, 100]])


# ---- What holds for each figure


def test_colours_are_those_of_the_notebooks(page):
    open_figure(page, "gradient")
    script = "async () => (await import(new URL('_static/live/figure.js', location.href))).COLOURS"
    names = ("black", "grey", "silver", "blue", "vermilion", "green", "purple", "orange", "sky")
    assert page.evaluate(script) == {name: getattr(plots, name.upper()) for name in names}


def expect_no_fault(page, part="html"):
    """Axe finds nothing in a part of a page that is open, in either scheme."""
    page.add_style_tag(content=AT_ONCE)
    page.add_script_tag(path=AXE)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        run = f"axe.run('{part}', {{resultTypes: ['violations']}})"
        faults = page.evaluate(run)["violations"]
        found = {fault["id"]: [node["html"] for node in fault["nodes"]] for fault in faults}
        assert found == {}, scheme


@pytest.mark.parametrize("name", FIGURES)
def test_axe_finds_nothing(page, name):
    open_figure(page, name)
    expect_no_fault(page)


@pytest.mark.parametrize("name", FIGURES)
def test_it_fits_from_360_pixels_up_and_shows_where_the_keys_are(page, name):
    open_figure(page, name)
    for width in (360, 768, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        eventually(lambda width=width: fits(page, width))
    page.get_by_role("application").focus()
    press(page, "Tab")  # to the first control
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(f"[document.activeElement.tagName, {outline}]") == ["INPUT", "solid"]


def fits(page, width):
    assert page.evaluate("document.documentElement.scrollWidth") == width
    right = page.locator(".live").bounding_box()
    texts = page.locator(".live text, .live svg:not(.live-tile)").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).map(({left, right}) => [left, right])"
    )
    assert min(left for left, _ in texts) >= right["x"]
    assert max(end for _, end in texts) <= right["x"] + right["width"]


@pytest.mark.parametrize("name", FIGURES)
def test_it_asks_no_other_host_and_weighs_400_kilobytes_at_most(page, name, host):
    seen = listen(page)
    open_figure(page, name)
    page.wait_for_load_state("networkidle")
    assert [url for url in seen.requests if not url.startswith((host, "data:"))] == []
    assert seen.trouble == []
    weight = sum(len(page.request.get(url).body()) for url in set(seen.requests) if "/live/" in url)
    print(name, weight, "bytes")
    assert weight <= 400_000


@pytest.mark.parametrize("name", FIGURES)
def test_the_still_is_folded_away_and_without_scripts_it_stands(page, browser, host, name):
    open_figure(page, name)
    still = page.get_by_alt_text("A still picture of the figure")
    assert not still.is_visible()
    page.locator("summary").click()
    assert still.is_visible()
    with browser.new_context(base_url=host, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{name}.html")
        assert page.get_by_alt_text("A still picture of the figure").is_visible()
        assert page.locator(".live").count() == 0


def test_a_still_that_shows_something_else_stays(page):
    open_figure(page, "both")
    assert page.get_by_alt_text("A still picture of the figure").is_visible()
    assert page.locator("details").count() == 0


NEEDED_BY = {
    name: [f"{name}.js", "maths.js", "figure.js", "d3.min.js"]
    + [f"{name}.json", f"{name}.png", "tiles.js"] * (name in RECORDED)
    for name in FIGURES
}
NEEDED_BY["learning"].remove("maths.js")  # it shows what was recorded


@pytest.mark.parametrize(
    ("name", "file"), [(name, file) for name, files in NEEDED_BY.items() for file in files]
)
def test_if_a_file_is_missing_the_still_stays_and_a_line_says_so(page, name, file):
    page.route(f"**/{file}", lambda route: route.fulfill(status=404))
    page.goto(f"{name}.html")
    page.wait_for_selector("text=could not be loaded")
    assert page.get_by_alt_text("A still picture of the figure").is_visible()
    assert page.locator(".live").count() == 0


BROKEN = {
    "does not parse": "export function mount(element) {",
    "has no figure": "export const figure = 1;",
    "fails half way": """export function mount(element) {
        element.append("half a figure");
        throw new Error("no canvas"); }""",
}


@pytest.mark.parametrize("how", BROKEN)
def test_if_a_script_fails_the_still_stays_and_a_line_says_so(page, how):
    script = {"content_type": "text/javascript", "body": BROKEN[how]}
    page.route("**/bound.js", lambda route: route.fulfill(**script))
    page.goto("bound.html")
    page.wait_for_selector("text=could not be loaded")
    assert page.get_by_alt_text("A still picture of the figure").is_visible()
    assert "half a figure" not in page.locator("main").inner_text()
    assert page.locator("details").count() == 0


def heard(page):
    """What a screen reader is told of the controls: (role, name, value) of each."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    found = []
    for node in nodes:
        role = node["role"]["value"]
        if node["ignored"] or role not in ("slider", "radio", "button"):
            continue
        properties = {one["name"]: one["value"].get("value") for one in node["properties"]}
        name, value = node["name"]["value"], properties.get("checked")
        if role == "slider":  # the tree of this session leaves out what takes the number's place
            slider = page.get_by_role("slider", name=name, exact=True)
            value = slider.get_attribute("aria-valuetext")
        found.append((role, name, value))
    return found


CONTROLS = {
    "transform": [
        ("slider", "λ", "2.0"), ("radio", "exponential", "true"),
        ("radio", "Poisson, mean 1.5 λ", "false"), ("radio", "two pieces", "false"),
        ("button", "One drop", None), ("button", "Run", None),
        ("button", "1000 at once", None), ("button", "Start again", None),
    ],
    "draws": [
        ("slider", "K, latents", "1"), ("button", "New seed", None), ("button", "20 seeds", None),
        ("button", "Start again", None),
    ],
    "bound": [
        ("slider", "μ, mean of Q", "0.00"), ("slider", "s, width of Q", "1.00"),
        ("button", "Climb", None), ("button", "Prior", None), ("button", "Both humps", None),
        ("button", "One hump", None),
    ],
    "gradient": [
        ("slider", "μ, mean", "1.50"), ("slider", "s, width", "0.50"), ("radio", "fixed", "true"),
        ("radio", "fresh at each move", "false"), ("button", "New seed", None),
        ("button", "Reset", None),
    ],
    "beta": [("slider", "β", "1")],
    "learning": [("slider", "epoch", "0.00"), ("button", "Play", None)],
    "walk": [
        ("slider", "t, share of the way", "0.50"), ("radio", "straight", "true"),
        ("radio", "arc", "false"), ("button", "Next pair", None), ("button", "Start again", None),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_screen_reader_is_told_the_name_and_the_value_of_each_control(page, name):
    open_figure(page, name)
    assert sorted(heard(page), key=str) == sorted(CONTROLS[name], key=str)
    page.get_by_role("slider").first.focus()
    press(page, "End")
    (_, _, value), *_ = [one for one in heard(page) if one[0] == "slider"]
    assert value == page.locator(".live-slider output").first.inner_text()
    groups = page.get_by_role("radiogroup").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert all(groups)
    said = page.locator(".live-numbers")
    assert said.get_attribute("aria-live") == "polite"
    eventually(lambda: expect_rest(page))


# ---- In the notebooks of the site, once it is built

TAGGED = {  # the figure, and the notebook that it lives in
    tag.removeprefix("live-"): path.stem
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    for tag in cell["metadata"].get("tags", [])
    if tag.startswith("live-")
}


def test_each_tag_of_a_notebook_has_its_figure():
    assert set(TAGGED) == set(FIGURES)
    shared = {"maths", "figure", "tiles"}
    assert {path.stem for path in (DOCS / "live").glob("*.js")} == shared | set(FIGURES)


@pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="there is no site/: make site")
@pytest.mark.parametrize("name", TAGGED)
def test_it_lives_in_its_notebook(page, name):
    with served(SITE) as address:
        seen = listen(page)
        page.goto(f"{address}notebooks/{TAGGED[name]}.html")
        page.wait_for_selector(".live-numbers span")
        page.wait_for_load_state("networkidle")
        assert page.locator(f".tag_live-{name} .live").count() == 1
        page.set_viewport_size({"width": 360, "height": 900})
        eventually(lambda: fits(page, 360))
        expect_no_fault(page, ".live")
        assert seen.trouble == []
        own = (address, f"blob:{address}", "data:")  # MathJax makes a worker of its own
        assert [url for url in seen.requests if not url.startswith(own)] == []

"""The built site in a real browser.

Where it cannot be, the tests are skipped and say why; with VAE_KERAS_NEED_SITE=1 they fail.
"""

import base64
import functools
import gzip
import importlib.util
import io
import json
import os
import re
import shutil
import time
import zlib
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from browsing import served
from PIL import Image
from scipy.special import logsumexp
from scipy.stats import norm

from vae_keras import load_mnist, load_vae
from vae_keras.layers import kl_per_latent

ROOT = Path(__file__).parents[2]
SITE = ROOT / os.environ.get("SITE", "site")
AXE = ROOT / "docs/node_modules/axe-core/axe.min.js"
CHROMIUM = shutil.which("chromium")
EXPLORER = "explorer/index.html"
NOTEBOOK = "notebooks/07_mnist_vae.html"
# that the site was built from
FOLDER = ROOT / os.environ.get("MODELS", "docs/_build/models")
MODELS = {"2d": FOLDER / "vae_2_latents.keras", "64d": FOLDER / "vae.keras"}
PARTS = ("draw", "pad", "samples", "walk")
FILES = {  # what the explorer loads: the parts of the page that cannot do without
    "ort-wasm-simd-threaded.wasm.zlib": PARTS,
    "ort.wasm.bundle.min.mjs": PARTS,
    "data.json.zlib": ("draw", "pad", "walk"),
    "facts_2d.json.zlib": ("draw",),
    "encoder_2d.onnx.zlib": ("draw",),
    "decoder_2d.onnx.zlib": ("draw", "pad"),
    "facts_64d.json.zlib": ("samples", "walk"),
    "decoder_64d.onnx.zlib": ("samples", "walk"),
}
MISSING = [
    what
    for what, there in {
        "the site (make site)": (SITE / "index.html").is_file(),
        "Chromium (apt-get install chromium)": CHROMIUM,
        "playwright (make site)": importlib.util.find_spec("playwright"),
        "axe-core (make site)": AXE.is_file(),
    }.items()
    if not there
]
NEEDED = os.environ.get("VAE_KERAS_NEED_SITE") == "1"
NOT_HERE = f"not here: {', '.join(MISSING)}"
pytestmark = pytest.mark.skipif(bool(MISSING) and not NEEDED, reason=NOT_HERE)

# addresses asked for; console errors, exceptions, refusals
Seen = namedtuple("Seen", "requests trouble")


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """Serve the site from a sub-folder of a host, as many static hosts do."""
    assert not MISSING, NOT_HERE
    folder = tmp_path_factory.mktemp("host")
    (folder / "some").mkdir()
    (folder / "some/where").symlink_to(SITE)
    with served(folder) as host:
        yield f"{host}some/where/"


WINDOW = {"width": 1000, "height": 1400}


@pytest.fixture
def page(browser, address):
    with browser.new_context(base_url=address, viewport=WINDOW) as context:
        yield context.new_page()


@pytest.fixture(scope="module", params=["index.html", NOTEBOOK, EXPLORER])
def looked_at(request, browser, address):
    """A page that is opened once, for tests that change nothing but the window and the scheme."""
    with browser.new_context(base_url=address, viewport=WINDOW) as context:
        page = context.new_page()
        if request.param == EXPLORER:
            open_explorer(page)
        else:
            page.goto(request.param, wait_until="networkidle")
        yield page


@pytest.fixture(scope="module")
def explorer(browser, address):
    """The explorer, opened once: that takes longer than most tests, which leave its pad alone.

    Its samples and its walk have one test each that changes them.
    """
    with browser.new_context(base_url=address, viewport=WINDOW) as context:
        page = context.new_page()
        open_explorer(page)
        yield page


def listen(page):
    seen = Seen([], [])

    def on_console(said):
        if said.type in ("error", "warning"):
            seen.trouble.append((said.text, said.location))

    def on_response(response):
        if response.status > 399:
            seen.trouble.append(f"{response.status} {response.url}")

    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("console", on_console)
    page.on("pageerror", lambda error: seen.trouble.append(str(error)))
    page.on("response", on_response)
    return seen


def open_explorer(page):
    """Open the explorer, and wait until its last part works."""
    page.goto(EXPLORER)
    for part, says in (("pad", "Click"), ("samples", "100 draws"), ("walk", "From")):
        page.locator(f"#{part}-status").scroll_into_view_if_needed()
        said = f"document.querySelector('#{part}-status').textContent.startsWith('{says}')"
        page.wait_for_function(said)
    page.locator("#pad").scroll_into_view_if_needed()
    wait_until_it_rests(page)
    # the page's own modules
    page.evaluate("""async () => {
        for (const name of ["explorer", "models", "maths"]) {
            window[name] = await import(new URL(`${name}.js`, document.baseURI));
        }
    }""")


def ink(page, canvas):
    """What a canvas shows, as ink from 0 to 1: (height, width)."""
    png = page.eval_on_selector(canvas, "canvas => canvas.toDataURL()").split(",")[1]
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    return 1 - np.array(picture, "float64")[..., 0] / 255


def decode(page, name, z):
    """What the page's own decoder makes of latents (n, latent_dim): (n, 28, 28)."""
    call = "async ([name, z]) => [...await explorer.images(name, z)]"
    return np.reshape(page.evaluate(call, [name, np.asarray(z, "float64").tolist()]), (-1, 28, 28))


def eventually(check):
    """Check again and again, for as long as a minute: a busy machine draws late."""
    end = time.monotonic() + 60
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def data(name="data"):
    return json.loads(zlib.decompress((SITE / f"explorer/{name}.json.zlib").read_bytes()))


def where(page):
    """The z that the page says it shows."""
    said = page.text_content("#where").replace("−", "-")
    return [float(number) for number in re.findall(r"-?\d\.\d\d", said)]


# ---- All pages

TEX = r"\$\$|\\[(\[]|\\(?:frac|mathcal|mu|sum|log|sigma|begin)\b"  # not yet an equation
TOO_WIDE = """[...document.querySelectorAll("article *")]
    .filter(element => element.getBoundingClientRect().right > innerWidth)
    .filter(element => !element.closest("pre, table, .table-wrapper, .math, svg"))
    .map(element => element.outerHTML.slice(0, 200))"""


def test_every_page_opens_in_peace_asks_no_other_host_and_renders_its_equations(page, address):
    seen = listen(page)
    pages = {path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html")}
    notebooks = {f"notebooks/{path.stem}.html" for path in ROOT.glob("notebooks/*.ipynb")}
    assert {"index.html", EXPLORER, *notebooks} <= pages
    for path in sorted(pages):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        if path.startswith("notebooks/"):
            assert page.locator("mjx-container").count() >= page.locator(".math").count() > 0, path
        assert page.locator("mjx-merror").count() == 0, path
        # code is in none of them by itself
        prose = "\n".join(page.locator("p, li, td").all_inner_texts())
        assert not re.findall(TEX, prose), path
        assert seen.trouble == [], path
    assert [url for url in seen.requests if not url.startswith((address, "data:", "blob:"))] == []


def test_nothing_overflows(looked_at):
    for width in (360, 768, 1440):
        looked_at.set_viewport_size({"width": width, "height": 900})
        eventually(functools.partial(nothing_overflows, looked_at, width))
        if looked_at.url.endswith(EXPLORER):
            eventually(functools.partial(equations_fit, looked_at))


def nothing_overflows(page, width):
    assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    # the theme cuts off or scrolls what is too wide; only code, tables and equations may scroll,
    # each by itself
    assert page.evaluate(TOO_WIDE) == [], width


def equations_fit(page):
    """No equation has to be scrolled, not even on a phone."""
    cut = """[...document.querySelectorAll(".math-wrapper")]
        .filter(box => box.scrollWidth > box.clientWidth).map(box => box.textContent)"""
    assert page.locator(".math-wrapper").count() > 0
    assert page.evaluate(cut) == []


AT_ONCE = "* { transition: none !important }"  # else colours fade into those of the other scheme


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(looked_at, scheme):
    looked_at.set_viewport_size(WINDOW)
    looked_at.add_style_tag(content=AT_ONCE)
    looked_at.add_script_tag(path=AXE)
    looked_at.emulate_media(color_scheme=scheme)
    faults = looked_at.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    serious = {
        fault["id"]: [node["html"][:200] for node in fault["nodes"][:5]]
        for fault in faults
        if fault["impact"] in ("serious", "critical")
    }
    assert serious == {}


def test_the_post_live_brings_its_seven_figures_to_life(page):
    page.goto("live.html")
    page.wait_for_function(
        "document.querySelectorAll('.live-numbers span:first-child').length == 7"
    )
    assert page.locator(".live").count() == page.locator("[class*=tag_live-]").count() == 7
    assert "needs JavaScript" not in page.inner_text("article")
    for width in (360, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        eventually(functools.partial(nothing_overflows, page, width))
        eventually(functools.partial(equations_fit, page))


# ---- The explorer


@pytest.fixture(scope="module")
def rounded():
    """The models with their weights rounded, as the site's files hold them."""
    return {name: _explorer_data().load_rounded(path) for name, path in MODELS.items()}


@pytest.mark.parametrize("name", MODELS)
def test_twenty_pictures_equal_keras(explorer, rounded, name):
    latents = int(name[:-1])
    z = np.random.default_rng(7).uniform(-3, 3, (20, latents)).astype("float32")
    wanted = rounded[name].decoder.predict(z, verbose=0).reshape(-1, 28, 28)
    exact = load_vae(MODELS[name]).decoder.predict(z, verbose=0).reshape(-1, 28, 28)
    assert np.abs(wanted - exact).mean() < 0.001
    assert np.abs(wanted - exact).max() < 0.06
    np.testing.assert_allclose(decode(explorer, name, z), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_twenty_test_digits_cost_what_keras_says(explorer, rounded, name):
    """In nats: the two terms, -ELBO, and log P(X) by importance sampling, with the same noise."""
    vae = rounded[name]
    x = np.reshape(data()["digits"]["pixels"], (20, 28, 28, 1)).astype("float32") / 255
    noise = np.random.default_rng(3).normal(size=(20, 16, vae.latent_dim)).astype("float32")
    call = """async ([name, x, epsilons]) => {
        const q = await models.encode(name, x), tally = new maths.Tally(maths.klOf(q));
        const z = epsilons.map((epsilon) => maths.drawZ(q, epsilon));
        (await models.decode(name, z)).forEach((logits, m) => tally.add(
            maths.logLikelihood(x, logits), maths.logRatio(q, epsilons[m], z[m])));
        return [tally.kl, tally.sumOfLogs / 16, tally.negativeElbo, tally.logEvidence];
    }"""
    given = [[name, one.ravel().tolist(), e.tolist()] for one, e in zip(x, noise, strict=True)]
    got = [explorer.evaluate(call, one) for one in given]
    z_mean, z_log_var = (part.astype("float64") for part in vae.encoder.predict(x, verbose=0))
    kl = np.sum(kl_per_latent(z_mean, z_log_var), axis=1)
    z = z_mean[:, None] + np.exp(0.5 * z_log_var[:, None]) * noise
    pairs = np.repeat(x, 16, axis=0), z.reshape(-1, vae.latent_dim)
    log_p = -vae.z_to_reconstruction.predict(pairs, verbose=0).reshape(20, 16).astype("float64")
    log_ratio = norm.logpdf(z) - norm.logpdf(z, z_mean[:, None], np.exp(0.5 * z_log_var[:, None]))
    log_weight = log_p + log_ratio.sum(axis=2)
    log_evidence = logsumexp(log_weight, axis=1) - np.log(16)
    log_p = log_p.mean(axis=1)
    wanted = np.stack([kl, log_p, kl - log_p, log_evidence], axis=1)
    print("largest distance from Keras, in nats:", np.abs(got - wanted).max(axis=0))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_the_facts_of_a_model_are_what_keras_says(rounded, name):
    facts = data(f"facts_{name}")
    vae, exact = rounded[name], load_vae(MODELS[name])
    _, (x, _) = load_mnist()
    costs = [-model.elbo(x[:500], num_samples=16) for model in (vae, exact)]
    np.testing.assert_allclose(facts["sorted"], np.sort(costs[0]), rtol=0, atol=0.02)
    moved = np.abs(costs[0] - costs[1])
    said = [facts["distance"][what] for what in ("mean", "most")]
    np.testing.assert_allclose(said, [moved.mean(), moved.max()], rtol=0, atol=2e-3)
    kl = np.mean(kl_per_latent(*vae.encoder.predict(x, verbose=0)), axis=0)
    np.testing.assert_allclose(facts["kl_mean"], kl, rtol=0, atol=1e-3)
    assert facts["used"] == np.flatnonzero(np.array(facts["kl_mean"]) > 0.01).tolist()
    print(f"{name}: rounding moves -ELBO by {said} nats; {len(facts['used'])} latents in use")
    assert moved.mean() < 0.1


def test_the_pages_code_runs():
    """Each block, one after the other, on the model that the site was built from."""
    text = (ROOT / "docs/explorer/index.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 6
    names = {}
    for block in blocks:
        assert len([line for line in block.splitlines() if line]) <= 3, block
        exec(block.replace("figures/vae_2_latents.keras", str(MODELS["2d"])), names)
    assert np.isfinite([names["elbo"], names["log_p"], names["gap"]]).all()
    assert names["image"].shape == (1, 28, 28, 1)
    _, (x, labels) = load_mnist()
    np.testing.assert_array_equal(names["x"][0], x[labels == 3][0])


def _explorer_data():
    spec = importlib.util.spec_from_file_location("explorer_data", ROOT / "docs/explorer_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_data_are_what_the_encoders_say(rounded):
    (x_train, _), (x, labels) = load_mnist()
    points, digits, facts = data()["points"], data()["digits"], data("facts_64d")
    mixture = facts["mixture"]
    codes, _ = rounded["2d"].encoder.predict(x[:3000], verbose=0)
    np.testing.assert_allclose(points["z"], codes, rtol=0, atol=0.0051)
    assert points["labels"] == labels[:3000].tolist()
    vae = rounded["64d"]
    images = np.reshape(digits["pixels"], (20, 28, 28, 1)) / 255
    codes, _ = vae.encoder.predict(images, verbose=0)
    np.testing.assert_allclose(facts["ends"], codes, rtol=0, atol=0.001)
    assert digits["labels"] == [*range(10), *range(10)]
    # EM leaves a mixture with the mean and the covariance of what it was fitted to: draws from
    # Q(z|X) of all training images, so that only their noise parts it from Q's own moments
    weights, means, roots = (np.array(mixture[part]) for part in ("weights", "means", "roots"))
    q = vae.encoder.predict(x_train, verbose=0)
    z_mean, z_log_var = (part[:, mixture["used"]] for part in q)
    centre = weights @ means
    covariance = (
        np.einsum("k,kij,klj->il", weights, roots, roots)
        + np.einsum("k,ki,kj->ij", weights, means, means)
        - np.outer(centre, centre)
    )
    wanted = np.cov(z_mean.T) + np.diag(np.exp(z_log_var).mean(axis=0))
    variance = np.diag(wanted)
    # six standard errors of the moments of so many draws, and the rounding in the page's data
    of_means = 6 * np.sqrt(variance / len(x_train)) + 0.005
    of_covariances = 6 * np.sqrt(2 * np.outer(variance, variance) / len(x_train)) + 0.005
    assert np.abs((centre - z_mean.mean(axis=0)) / of_means).max() < 1
    assert np.abs((covariance - wanted) / of_covariances).max() < 1


def test_the_mouse_moves_z(page):
    open_explorer(page)
    box = page.locator("#pad").bounding_box()
    before = ink(page, "#digit")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.4 * box["height"], steps=5)
    page.mouse.up()
    page.mouse.move(box["x"], box["y"])  # the button is up: z stays
    expect_shown(page, [1.5, 0.6], before)
    marker = page.locator("#marker").bounding_box()
    centre = marker["x"] + marker["width"] / 2, marker["y"] + marker["height"] / 2
    wanted = box["x"] + 0.75 * box["width"], box["y"] + 0.4 * box["height"]
    assert centre == pytest.approx(wanted, abs=1.5)


def wait_until_it_rests(page):
    """Wait for the end of a smooth scroll, however long it takes."""
    page.evaluate("""() => new Promise((done) => {
        let last = -1;
        const look = () => {
            if (scrollY === last) return done();
            last = scrollY;
            setTimeout(look, 200);
        };
        look();
    })""")


def test_a_finger_moves_z_and_not_the_page(browser, address):
    phone = {"viewport": {"width": 360, "height": 700}, "has_touch": True, "is_mobile": True}
    moves = (("Start", 0.5, 0.8), ("Move", 0.4, 0.6), ("Move", 0.25, 0.5), ("Move", 0.25, 0.4))
    with browser.new_context(base_url=address, **phone) as context:
        page = context.new_page()
        open_explorer(page)
        page.locator("#pad").scroll_into_view_if_needed()
        wait_until_it_rests(page)
        box = page.locator("#pad").bounding_box()
        before = ink(page, "#digit")
        scrolled = page.evaluate("scrollY")
        session = context.new_cdp_session(page)
        for kind, x, y in moves:
            point = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
            touch = {"type": f"touch{kind}", "touchPoints": [point]}
            session.send("Input.dispatchTouchEvent", touch)
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        expect_shown(page, [-1.5, 0.6], before)
        assert page.evaluate("scrollY") == scrolled


def test_keys_move_z_and_not_the_page(page):
    page.set_viewport_size({"width": 1000, "height": 500})
    open_explorer(page)
    pad = page.get_by_role("application", name="Latent space")  # as a screen reader finds it
    pad.focus()
    wait_until_it_rests(page)
    z1, z2 = where(page)
    before = ink(page, "#digit")
    scrolled = page.evaluate("scrollY")
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    page.keyboard.press("Control+ArrowRight")  # which is the browser's
    expect_shown(page, [z1 + 0.1, z2 + 0.4], before)
    assert page.evaluate("scrollY") == scrolled
    for _ in range(10):
        page.keyboard.press("Shift+ArrowLeft")  # to the edge, and no further
    expect_shown(page, [-3, z2 + 0.4], before)


def expect_shown(page, z, before):
    """The page says that it shows z, and shows it: decoded, and another picture than before."""

    def shown():
        assert where(page) == pytest.approx(z, abs=0.03)
        drawn = ink(page, "#digit")
        np.testing.assert_allclose(drawn, decode(page, "2d", [where(page)])[0], atol=0.02)
        assert np.abs(drawn - before).max() > 0.1

    eventually(shown)


def test_each_dot_lies_where_its_digit_is_encoded(explorer):
    """The two axes of the map are those of the pad: z1 to the right, z2 upwards."""
    points = data()["points"]
    z = np.array(points["z"])
    size = 960
    drawn = ink(explorer, "#map") > 0.05  # of red: each colour that is not white has less of it
    on_map = z[np.abs(z).max(axis=1) < 2.9]
    near = np.abs(on_map[:, None] - z).max(axis=2) < 0.1
    z1, z2 = on_map[near.sum(axis=1) == 1].T  # those that lie alone: only they are near themselves
    places = np.stack([size * (3 - z2) / 6, size * (z1 + 3) / 6], axis=1).astype(int)
    assert len(places) > 20
    assert drawn[tuple(places.T)].all()


def test_the_buttons_draw_from_either_prior(explorer):
    seen = [ink(explorer, "#samples")]
    names = {"mixture": "the mixture", "normal": "N(0, I)"}
    for button in ("mixture", "mixture", "normal"):
        explorer.click(f"#draw-{button}")

        def drawn(text=f"100 draws from {names[button]}"):
            assert text in explorer.text_content("#samples-status")
            picture = ink(explorer, "#samples")
            assert picture.shape == (298, 298)
            assert np.abs(picture - seen[-1]).mean() > 0.05
            return picture

        seen.append(eventually(drawn))


def test_the_walk_leads_from_one_picked_digit_to_the_other(explorer):
    before = ink(explorer, "#walk")
    ends = data("facts_64d")["ends"]
    explorer.locator("#from input").nth(5).check(force=True)
    explorer.locator("#to input").nth(0).focus()
    explorer.keyboard.press("ArrowRight")  # a radio button, as every form has them
    a = np.array(ends[5])
    b = np.array(ends[1])
    wanted = decode(explorer, "64d", [a + (b - a) * step / 10 for step in range(11)])

    def walked():
        assert "From the first 5 to the first 1," in explorer.text_content("#walk-status")
        shown = ink(explorer, "#walk")
        cells = [shown[:28, 30 * step : 30 * step + 28] for step in range(11)]
        np.testing.assert_allclose(cells, wanted, atol=0.01)
        assert np.abs(shown - before).max() > 0.1

    eventually(walked)


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        (file, harm)
        for file in FILES
        for harm in ("missing", "cut short", "one byte wrong")
        if not (file.endswith(".mjs") and harm == "one byte wrong")  # a script has no checksum
    ],
)
def test_a_missing_or_damaged_file_is_told_to_the_reader(page, file, harm):
    content = bytearray((SITE / "explorer" / file).read_bytes())
    content[len(content) // 2] ^= 0x40
    answers = {
        "missing": {"status": 404},
        "cut short": {"body": bytes(content[: len(content) // 2])},
        "one byte wrong": {"body": bytes(content)},
    }
    answer = {"content_type": "text/javascript", **answers[harm]}
    page.route(f"**/{file}", lambda route: route.fulfill(**answer))
    exceptions = []
    page.on("pageerror", lambda error: exceptions.append(str(error)))
    page.goto(EXPLORER)
    for part in PARTS:
        page.locator(f"#{part}-status").scroll_into_view_if_needed()
        done = f"!/^(Loading|Waiting)/.test(document.querySelector('#{part}-status').textContent)"
        page.wait_for_function(done)
        message = page.text_content(f"#{part}-status")
        assert (file in message and "make site" in message) == (part in FILES[file]), message
    assert exceptions == []


BEGUN = "document.querySelector('#draw-status').textContent.startsWith('The first 3')"


def test_the_page_weighs_six_megabytes_at_most_until_the_first_reconstruction(page, address):
    seen = listen(page)
    page.goto(EXPLORER)
    page.wait_for_function(BEGUN)
    page.wait_for_load_state("networkidle")
    own = [url.removeprefix(address) for url in seen.requests if url.startswith(address)]
    files = {SITE / url.split("?")[0] for url in own}
    assert not [file for file in files if "64d" in file.name]
    weights = {file: len(gzip.compress(file.read_bytes(), 9)) for file in files}
    parts = {"explorer/": 0, "mathjax": 0, "": 0}
    for file, weight in weights.items():
        parts[next(part for part in parts if part in file.as_posix())] += weight
    print(f"{len(files)} files, {sum(weights.values())} bytes: {parts}")
    # MathJax, which all pages share, loads beside them, and no reconstruction waits for it
    assert sum(weights.values()) - parts["mathjax"] <= 6_000_000


@pytest.mark.slow  # seconds say little on a machine that is busy with other tests
def test_the_first_picture_is_there_within_two_seconds(browser, address):
    shown = "document.querySelector('#clear').disabled === false"
    seconds = []
    for _ in range(3):  # the best of three: other work on the machine is not the page's fault
        with browser.new_context(base_url=address) as context:
            page = context.new_page()
            page.goto(EXPLORER)
            page.wait_for_function(shown)
            seconds.append(page.evaluate("performance.now()") / 1000)
    print("seconds to the first reconstruction:", seconds)
    assert min(seconds) <= 2


@pytest.mark.slow
def test_thirty_pictures_a_second(page):
    page.add_init_script("""window.painted = [];
        const put = CanvasRenderingContext2D.prototype.putImageData;
        CanvasRenderingContext2D.prototype.putImageData = function (...picture) {
            painted.push(performance.now());
            return put.apply(this, picture);
        };""")
    open_explorer(page)
    box = page.locator("#pad").bounding_box()
    rates = []
    page.mouse.move(box["x"] + 9, box["y"] + 9)
    page.mouse.down()
    for _ in range(3):
        page.evaluate("painted.length = 0")
        for step in range(60):
            page.mouse.move(box["x"] + 9 + step, box["y"] + 9 + step)
        times = page.evaluate("painted")
        rates.append(1000 * (len(times) - 1) / (times[-1] - times[0]))
    print("pictures a second:", rates)
    assert max(rates) >= 30

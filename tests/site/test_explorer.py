"""The explorer in a real browser: what it computes is NumPy's, and what it draws is that.

It stands here on a page of its own, with the HTML of its Markdown and with two small models of
known weights, so that no site has to be built and no model trained. `test_site.py` looks at the
site's own.
"""

import base64
import importlib.util
import io
import json
import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from browsing import served
from PIL import Image
from scipy import special, stats
from test_live import MISSING as MISSING_FOR_LIVE
from test_live import NEEDED, PHONE
from test_site import eventually, listen

from vae_keras import load_mnist
from vae_keras.layers import bernoulli_log_likelihood, kl_divergence, kl_per_latent

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RUNTIME = DOCS / "node_modules/onnxruntime-web/dist"
SCRIPT = "ort.wasm.bundle.min.mjs"
WASM = "ort-wasm-simd-threaded.wasm"
MISSING = [*MISSING_FOR_LIVE]
if not importlib.util.find_spec("onnx"):
    MISSING.append("onnx (make site)")
if not (RUNTIME / WASM).is_file():
    MISSING.append("onnxruntime-web (make site)")
pytestmark = pytest.mark.skipif(bool(MISSING) and not NEEDED, reason=f"not here: {MISSING}")

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>The explorer</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><main><h1>The explorer</h1>HTML</main></body></html>"""
LATENTS = {"2d": 2, "64d": 64}
IN_USE = {"2d": [0, 1], "64d": [5, 11, 40]}
COSTS = {"2d": np.linspace(40, 239, 200), "64d": np.linspace(20, 119, 200)}
WINDOW = {"width": 1000, "height": 900}


def weights(model):
    """The weights of the small models: straight maps, then a bend that keeps logits within 6."""
    rng = np.random.default_rng(LATENTS[model])
    k = LATENTS[model]
    return {
        "mean": rng.normal(0, 0.06, (784, k)).astype("float32"),
        "log_var": rng.normal(0, 0.04, (784, k)).astype("float32"),
        "log_var_bias": np.full(k, -1.5, "float32"),
        "logits": rng.normal(0, 1.0, (k, 784)).astype("float32"),
        "logits_bias": rng.normal(-1, 0.3, 784).astype("float32"),
    }


def encode(model, x):
    """What the small encoder makes of images (n, 784)."""
    w = weights(model)
    return x @ w["mean"], x @ w["log_var"] + w["log_var_bias"]


def logits_of(model, z):
    w = weights(model)
    return 6 * np.tanh(z @ w["logits"] + w["logits_bias"])


def write_models(folder):
    from onnx import TensorProto, helper, numpy_helper

    def save(name, nodes, given, outputs, constants):
        ends = [
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in some]
            for some in (given, outputs)
        ]
        stored = [numpy_helper.from_array(value, key) for key, value in constants.items()]
        graph = helper.make_graph(nodes, name, *ends, stored)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        write(folder / f"{name}.onnx.zlib", made.SerializeToString())

    node = helper.make_node
    for model, k in LATENTS.items():
        # each file with the weights that it uses: the runtime warns of others
        w = weights(model)
        heads = {name: w[name] for name in ("mean", "log_var", "log_var_bias")}
        # the variance first: an output must be found by its name
        nodes = [
            node("Flatten", ["images"], ["flat"]),
            node("Gemm", ["flat", "log_var", "log_var_bias"], ["z_log_var"]),
            node("MatMul", ["flat", "mean"], ["z_mean"]),
        ]
        q = [("z_log_var", [None, k]), ("z_mean", [None, k])]
        save(f"encoder_{model}", nodes, [("images", [None, 28, 28, 1])], q, heads)
        nodes = [
            node("Gemm", ["z", "logits", "logits_bias"], ["line"]),
            node("Tanh", ["line"], ["bent"]),
            node("Mul", ["bent", "six"], ["flat"]),
            node("Reshape", ["flat", "shape"], ["logits_"]),
        ]
        more = {"six": np.float32(6).reshape(1), "shape": np.array([-1, 28, 28, 1])}
        more |= {name: w[name] for name in ("logits", "logits_bias")}
        out = [("logits_", [None, 28, 28, 1])]
        save(f"decoder_{model}", nodes, [("z", [None, k])], out, more)


def write(path, content):
    path.write_bytes(zlib.compress(content))


def write_data(folder):
    _, (x, labels) = load_mnist()
    first = np.concatenate([np.flatnonzero(labels == digit)[:2] for digit in range(10)])
    first = first.reshape(10, 2).T.ravel()
    rng = np.random.default_rng(0)
    data = {
        "colours": [f"#{digit}0{digit}080" for digit in range(10)],
        "points": {"z": rng.normal(0, 1, (60, 2)).tolist(), "labels": [*range(10)] * 6},
        "digits": {
            "labels": labels[first].tolist(),
            "pixels": (255 * x[first]).round().astype(int).reshape(20, -1).tolist(),
        },
    }
    write(folder / "data.json.zlib", json.dumps(data).encode())
    for model, k in LATENTS.items():
        facts = {
            "latents": k,
            "in_use": 0.01,
            "used": IN_USE[model],
            "kl_mean": np.linspace(0, 3, k).tolist(),
            "sorted": COSTS[model].tolist(),
            "distance": {"mean": 0.012, "most": 0.345},
            "ends": rng.normal(0, 1, (20, k)).tolist(),
            "mixture": {"used": [0], "weights": [1], "means": [[2]], "roots": [[[1]]]},
        }
        write(folder / f"facts_{model}.json.zlib", json.dumps(facts).encode())


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    assert not MISSING, MISSING
    folder = tmp_path_factory.mktemp("explorer")
    place = folder / "explorer"
    place.mkdir()
    for file in (*DOCS.glob("explorer/*.js"), DOCS / "explorer/explorer.css", RUNTIME / SCRIPT):
        shutil.copy(file, place)
    write(place / f"{WASM}.zlib", (RUNTIME / WASM).read_bytes())
    write_models(place)
    write_data(place)
    markdown = (DOCS / "explorer/index.md").read_text(encoding="utf-8")
    html = "\n".join(re.findall(r"```\{raw\} html\n(.*?)```", markdown, re.DOTALL))
    (place / "index.html").write_text(PAGE.replace("HTML", html), encoding="utf-8")
    (folder / "_static").mkdir()
    shutil.copytree(DOCS / "live", folder / "_static/live")
    (folder / "favicon.ico").write_bytes(b"")
    (folder / "blank.html").write_text("<title>Blank</title>")
    with served(folder) as address:
        yield address


@pytest.fixture
def page(browser, host):
    with browser.new_context(base_url=host, viewport=WINDOW) as context:
        page = context.new_page()
        open_explorer(page)
        yield page


def open_explorer(page):
    page.goto("explorer/index.html")
    page.wait_for_selector("#clear:enabled", timeout=120_000)
    page.evaluate("""async () => {
        window.draw = await import(new URL("draw.js", document.baseURI));
        window.maths = await import(new URL("maths.js", document.baseURI));
    }""")


@pytest.fixture(scope="module")
def blank(browser, host):
    """A page for mathematics alone."""
    with browser.new_context(base_url=host) as context:
        page = context.new_page()
        page.goto("blank.html")
        yield page


def call(page, function, *given):
    """Call a JavaScript function of the module of mathematics, m, and of what is given."""
    script = f"""async (given) => {{
        const m = await import(new URL("explorer/maths.js", location.origin));
        return ({function})(m, ...given);
    }}"""
    given = [one if isinstance(one, list) else np.asarray(one).tolist() for one in given]
    return page.evaluate(script, given)


def ink(page, canvas):
    """What a canvas shows, as ink from 0 to 1: (height, width)."""
    png = page.eval_on_selector(canvas, "canvas => canvas.toDataURL()").split(",")[1]
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    return 1 - np.array(picture, "float64")[..., 0] / 255


def expect_text(page, selector, text):
    """Wait until an element says something."""

    def check():
        assert text in page.text_content(selector)

    eventually(check)


def now(page, what):
    """A part of what the page holds, as Python's numbers."""
    return page.evaluate(
        f"JSON.parse(JSON.stringify(draw.now.{what}, (key, value) => "
        "ArrayBuffer.isView(value) ? [...value] : value) ?? 'null')"
    )


def digits():
    return np.reshape(load_mnist()[1][0][:200], (-1, 784)).astype("float64")


# ---- A drawing becomes an image, as MNIST's did

STROKES = [[(60, 40), (200, 60), (110, 230), (90, 250)], [(30, 130), (170, 120)]]


def brush(strokes, radius=12):
    """The sheet by brute force: each pixel's distance to each line. Rows run down."""
    y, x = np.mgrid[:280, :280] + 0.5
    sheet = np.zeros((280, 280))
    for points in strokes:
        for a, b in zip([points[0], *points], points, strict=False):
            a, b = np.array(a, float), np.array(b, float)
            along = b - a
            t = ((x - a[0]) * along[0] + (y - a[1]) * along[1]) / max(along @ along, 1e-300)
            t = np.clip(t, 0, 1)
            far = np.hypot(x - a[0] - t * along[0], y - a[1] - t * along[1])
            sheet = np.maximum(sheet, np.clip(radius + 0.5 - far, 0, 1))
    return sheet


def as_mnist(sheet):
    """The image by sums up to each edge, interpolated: another way to average over areas."""
    rows, columns = np.flatnonzero(sheet.any(axis=1)), np.flatnonzero(sheet.any(axis=0))
    box = sheet[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = max(box.shape) / 20
    for axis in (0, 1):
        n = box.shape[axis]
        edges = np.minimum(np.arange(np.ceil(n / scale - 1e-9) + 1) * scale, n)
        sums = np.concatenate([[0 * box.take(0, axis)], np.cumsum(np.moveaxis(box, axis, 0), 0)])
        at = np.minimum(edges.astype(int), n - 1)
        part = (edges - at)[:, None]
        smooth = sums[at] + part * (sums[at + 1] - sums[at])
        box = np.moveaxis(np.diff(smooth, axis=0) / scale, 0, axis)
    y, x = (np.arange(n) @ box.sum(axis=1 - axis) / box.sum() for axis, n in enumerate(box.shape))
    image = np.zeros((28, 28))
    top, left = (
        int(np.clip(np.floor(14.5 - centre), 0, 28 - n))
        for centre, n in zip((y, x), box.shape, strict=True)
    )
    image[top : top + box.shape[0], left : left + box.shape[1]] = box
    return image


def test_a_stroke_inks_what_the_pen_covers(blank):
    draw = """(m, strokes, radius) => {
        const sheet = new Float32Array(m.PAD ** 2);
        for (const points of strokes) {
            points.forEach((to, i) => m.stroke(sheet, points[Math.max(0, i - 1)], to, radius));
        }
        return [...sheet];
    }"""
    for strokes, radius in ((STROKES, 12), ([[(-5, 3), (20, 290)]], 4.5), ([[(100, 50)]], 8)):
        sheet = call(blank, draw, strokes, radius)
        got = np.reshape(sheet, (280, 280))
        np.testing.assert_allclose(got, brush(strokes, radius), atol=1e-6)


def test_a_test_digit_stays_as_it_is(blank):
    x = digits()
    got = call(blank, "(m, x) => x.map((one) => [...m.asMnist(m.enlarge(one))])", x)
    np.testing.assert_allclose(got, x, rtol=0, atol=1e-6)


def test_a_drawing_is_shrunk_and_centred_as_mnist_was(blank):
    wide = [[(10, 100), (270, 110), (271, 90)]]
    dot = [[(140, 30)]]
    corner = [[(20, 20), (60, 20)], [(40, 20), (40, 90)]]
    for strokes in (STROKES, wide, dot, corner):
        sheet = brush(strokes)
        got = call(blank, "(m, sheet) => [...m.asMnist(Float32Array.from(sheet.flat()))]", sheet)
        got = np.reshape(got, (28, 28))
        np.testing.assert_allclose(got, as_mnist(sheet), atol=1e-5)
        inked = [np.flatnonzero(got.any(axis=axis)) for axis in (0, 1)]
        assert max(np.ptp(places) for places in inked) == 19
    assert call(blank, "m => m.asMnist(new Float32Array(m.PAD ** 2))") is None


# ---- Equations


def some_q(k=5):
    rng = np.random.default_rng(k)
    return rng.normal(0, 1, k), rng.normal(-1, 0.7, k), rng.normal(0, 1, (40, k))


def test_the_terms_are_those_of_the_package(blank):
    z_mean, z_log_var, _ = some_q()
    got = call(blank, "(m, zMean, zLogVar) => m.klPerLatent({ zMean, zLogVar })", z_mean, z_log_var)
    np.testing.assert_allclose(got, kl_per_latent(z_mean, z_log_var), rtol=1e-5)
    got = call(blank, "(m, zMean, zLogVar) => m.klOf({ zMean, zLogVar })", z_mean, z_log_var)
    assert got == pytest.approx(float(kl_divergence(z_mean[None], z_log_var[None])[0]), rel=1e-5)
    x = digits()[:4]
    logits = np.random.default_rng(0).normal(0, 20, x.shape)
    got = call(blank, "(m, x, l) => x.map((one, i) => m.logLikelihood(one, l[i]))", x, logits)
    np.testing.assert_allclose(got, bernoulli_log_likelihood(x, logits), rtol=1e-5)
    got = call(blank, "(m, x) => x.map((one) => m.floorOf(one))", x)
    wanted = np.sum(special.entr(x) + special.entr(1 - x), axis=1)
    np.testing.assert_allclose(got, wanted, rtol=1e-9)
    got = call(blank, "(m, values) => m.errorOf(values)", x[0, :300])
    assert got == pytest.approx(stats.sem(x[0, :300]))


def test_draws_and_their_weights_are_those_of_the_two_normal_densities(blank):
    z_mean, z_log_var, epsilon = some_q()
    z = z_mean + np.exp(0.5 * z_log_var) * epsilon
    one_q = "(m, zMean, zLogVar, epsilons) => epsilons.map((e) => "
    got = call(blank, f"{one_q} m.drawZ({{ zMean, zLogVar }}, e))", z_mean, z_log_var, epsilon)
    np.testing.assert_allclose(got, z, rtol=1e-9)
    ratio = f"{one_q} m.logRatio({{ zLogVar }}, e, m.drawZ({{ zMean, zLogVar }}, e)))"
    wanted = stats.norm.logpdf(z) - stats.norm.logpdf(z, z_mean, np.exp(0.5 * z_log_var))
    got = call(blank, ratio, z_mean, z_log_var, epsilon)
    np.testing.assert_allclose(got, wanted.sum(axis=1), rtol=1e-9)


def test_the_tally_counts_equations_14_and_7(blank):
    rng = np.random.default_rng(1)
    log_p, ratio = rng.normal(-900, 9, 300), rng.normal(-8, 2, 300)
    count = """(m, logP, ratio, kl) => {
        const tally = new m.Tally(kl);
        return logP.map((one, i) => {
            tally.add(one, ratio[i]);
            return [tally.negativeElbo, tally.logEvidence, tally.largestShare];
        });
    }"""
    got = np.array(call(blank, count, log_p, ratio, 7.5))
    for m in (1, 2, 17, 300):
        weights_ = (log_p + ratio)[:m]
        total = special.logsumexp(weights_)
        wanted = [7.5 - log_p[:m].mean(), total - np.log(m), np.exp(weights_.max() - total)]
        np.testing.assert_allclose(got[m - 1], wanted, rtol=1e-9)


def test_the_map_and_its_inverse(blank):
    got = call(blank, "m => [[-3, 3], [3, 3], [0, 0], [1.5, -3]].map((z) => m.toMap(z))")
    np.testing.assert_allclose(got, [[0, 0], [1, 0], [0.5, 0.5], [0.75, 1]], atol=1e-12)
    z = np.random.default_rng(2).uniform(-3, 3, (20, 2))
    for part in ("undefined", "{ centre: [0.3, -1.2], reach: 0.4 }"):
        got = call(blank, f"(m, z) => z.map((one) => m.fromMap(m.toMap(one, {part}), {part}))", z)
        np.testing.assert_allclose(got, z, atol=1e-12)
    places = "{ centre: [1, -1], reach: 0.5 }"
    got = call(blank, f"m => [m.toMap([1, -1], {places}), m.toMap([1.5, -0.5], {places})]")
    np.testing.assert_allclose(got, [[0.5, 0.5], [1, 0]], atol=1e-12)
    assert call(blank, "m => m.onMap([-4, 2.5])") == [-3, 2.5]


def test_chance_differs_from_draw_to_draw_and_is_the_same_for_a_seed(blank):
    draw = """(m, seed) => {
        const c = m.chance(seed);
        return [c.normal(64), c.normal(64), c.uniform()];
    }"""
    first, second, other = (call(blank, draw, seed) for seed in (1, 1, 2))
    assert first == second
    assert first[0] != first[1]
    assert first[0] != other[0]


def test_draws_from_the_mixture_have_its_moments(blank):
    mixture = {
        "used": [3, 1],
        "weights": [0.25, 0.75],
        "means": [[16, -2], [-16, 4]],
        "roots": [[[2, 0], [1.5, 0.5]]] * 2,
    }
    draw = """async (mixture) => {
        const m = await import(new URL("explorer/maths.js", location.origin)), random = m.chance(5);
        const draws = Array.from({ length: 5000 }, () => m.drawMixture(mixture, random));
        return draws.map((z) => [z.length, z[3], z[1], z[0], z[63]]);
    }"""
    z = np.array(blank.evaluate(draw, mixture))
    assert z.shape == (5000, 5)
    assert (z[:, 0] == 64).all()
    z = z[:, 1:]
    first = z[:, 0] > 0
    assert abs(first.mean() - 0.25) < 0.03
    for chosen, centre in ((first, [16, -2]), (~first, [-16, 4])):
        np.testing.assert_allclose(z[chosen][:, :2].mean(axis=0), centre, atol=0.3)
        np.testing.assert_allclose(np.cov(z[chosen][:, :2].T), [[4, 3], [3, 2.5]], atol=0.6)
    np.testing.assert_allclose(z[:, 2:].mean(axis=0), 0, atol=0.08)
    np.testing.assert_allclose(np.cov(z[:, 2:].T), np.eye(2), atol=0.1)


def test_a_walk_is_straight_and_its_ticks_are_round(blank):
    got = call(blank, "(m, a, b) => m.walk(a, b)", [1, 2], [3, -2])
    np.testing.assert_allclose(got, np.linspace([1, 2], [3, -2], 11), atol=1e-12)
    script = """async ([a, b, most]) =>
        (await import(new URL("explorer/drawing.js", location.origin))).ticks(a, b, most)"""
    assert blank.evaluate(script, [0, 239, 5]) == [0, 50, 100, 150, 200]
    assert blank.evaluate(script, [94.7, 97.1, 5]) == [95, 95.5, 96, 96.5, 97]


# ---- The page


def move(page, strokes, box):
    for points in strokes:
        page.mouse.move(box["x"] + points[0][0], box["y"] + points[0][1])
        page.mouse.down()
        for x, y in points[1:]:
            page.mouse.move(box["x"] + x, box["y"] + y)
        page.mouse.up()


def draw(page, strokes):
    """Draw with the mouse on a blank sheet."""
    page.click("#clear")
    page.locator("#sheet").scroll_into_view_if_needed()
    move(page, strokes, page.locator("#sheet").bounding_box())


def settled(page, wanted):
    """Wait until the page shows this image, and check all that it says of it."""

    def check():
        np.testing.assert_allclose(ink(page, "#image"), wanted, atol=0.01)
        assert page.evaluate("draw.now.q && draw.now.draws.length") == 1
        expect_numbers(page, wanted)

    eventually(check)


def expect_numbers(page, image, model="2d"):
    z_mean, z_log_var = (part[0] for part in encode(model, np.reshape(image, (1, -1))))
    q = now(page, "q")
    np.testing.assert_allclose(q["zMean"], z_mean, atol=0.02)
    np.testing.assert_allclose(q["zLogVar"], z_log_var, atol=0.02)
    x = np.reshape(now(page, "image"), (1, -1))
    z_mean, z_log_var = (np.float64(part) for part in encode(model, x))
    epsilon = np.array(now(page, "epsilons"))
    assert epsilon.shape == (16, LATENTS[model])
    assert len(np.unique(epsilon)) == epsilon.size
    z = z_mean + np.exp(0.5 * z_log_var) * epsilon
    log_p = np.array(bernoulli_log_likelihood(np.repeat(x, 16, axis=0), logits_of(model, z)))
    kl = float(kl_divergence(z_mean, z_log_var)[0])
    costs = COSTS[model]
    cost = kl - log_p.mean()
    floor = np.sum(special.entr(x) + special.entr(1 - x))
    below = round(100 * np.mean(costs < cost))
    said = page.text_content("#cost-numbers").replace("−", "-")
    wanted = [cost, stats.sem(log_p), -log_p.mean(), kl, floor]
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d", said)]
    np.testing.assert_allclose(numbers, wanted, atol=0.06)
    assert f"{below} % of 200 test digits cost less." in said
    status = page.text_content("#draw-status").replace("−", "-")
    assert f"-ELBO {numbers[0]:.1f} nats" in status  # what a screen reader hears, when it rests
    atol = 0.005
    np.testing.assert_allclose(
        ink(page, "#reconstruction").ravel(), special.expit(logits_of(model, z_mean))[0], atol=atol
    )
    first = special.expit(logits_of(model, z[0])).reshape(28, 28)
    np.testing.assert_allclose(ink(page, "#draws")[:, :28], first, atol=atol)


def test_it_begins_with_a_test_digit(page):
    settled(page, digits_offered()[3])
    assert "The first 3: −ELBO" in page.text_content("#draw-status")
    assert "0.012 nats on average, and by 0.345 at most" in page.text_content("#exact")


def digits_offered():
    _, (x, labels) = load_mnist()
    places = [np.flatnonzero(labels == digit)[n] for n in (0, 1) for digit in range(10)]
    return x[places].reshape(-1, 28, 28)


def test_recorded_strokes_of_the_mouse(page):
    draw(page, STROKES)
    settled(page, as_mnist(brush(STROKES)))
    np.testing.assert_allclose(ink(page, "#sheet"), brush(STROKES), atol=0.01)
    page.click("#undo")
    settled(page, as_mnist(brush(STROKES[:1])))
    page.click("#clear")
    expect_text(page, "#draw-status", "blank")
    assert ink(page, "#image").max() == 0
    assert page.text_content("#cost-numbers") == ""
    page.click("#epsilon")
    page.click("#sum")  # which have nothing to do now
    page.locator("#picked input").nth(12).check(force=True)
    settled(page, digits_offered()[12])


def test_a_pen_of_another_width_and_strokes_on_a_test_digit(page):
    page.locator("#picked input").nth(7).check(force=True)
    page.locator("#width").fill("16")
    bar = [[(90, 150), (190, 150)]]
    page.locator("#sheet").scroll_into_view_if_needed()
    move(page, bar, page.locator("#sheet").bounding_box())
    seven = np.kron(digits_offered()[7], np.ones((10, 10)))
    settled(page, as_mnist(np.maximum(seven, brush(bar, 8))))
    assert "The first 7 with your strokes: −ELBO" in page.text_content("#draw-status")


def test_a_finger_draws_and_does_not_move_the_page(browser, host):
    with browser.new_context(base_url=host, **PHONE) as context:
        page = context.new_page()
        open_explorer(page)
        page.evaluate("document.querySelector('#clear').click()")
        page.locator("#sheet").scroll_into_view_if_needed()
        box = page.locator("#sheet").bounding_box()
        scrolled = page.evaluate("scrollY")
        session = context.new_cdp_session(page)
        for points in STROKES:
            for i, (x, y) in enumerate(points):
                kind = "touchMove" if i else "touchStart"
                at = [{"x": box["x"] + x, "y": box["y"] + y}]
                session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
            session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        settled(page, as_mnist(brush(STROKES)))
        assert page.evaluate("scrollY") == scrolled


def test_keys_draw_and_do_not_move_the_page(page):
    page.click("#clear")
    sheet = page.get_by_role("application", name="Sheet to draw on")  # as a screen reader finds it
    sheet.focus()
    scrolled = page.evaluate("scrollY")
    for key in ("ArrowUp", " ", "Shift+ArrowRight", "ArrowDown", "ArrowDown", " ", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.locator("#pen").is_visible()
    way = [[(140, 130), (180, 130), (180, 140), (180, 150)]]
    settled(page, as_mnist(brush(way)))
    for key in (" ", "Shift+ArrowDown", "Backspace"):
        page.keyboard.press(key)
    settled(page, as_mnist(brush(way)))
    page.keyboard.press("ArrowDown")  # the pen is up again
    page.keyboard.press("Control+ArrowRight")  # which is the browser's
    assert len(now(page, "strokes")) == 1
    page.keyboard.press("Delete")
    expect_text(page, "#draw-status", "blank")
    assert page.evaluate("scrollY") == scrolled


def test_each_click_takes_a_new_epsilon_for_the_same_q(page):
    settled(page, digits_offered()[3])
    q = now(page, "q")
    for clicks in range(1, 10):
        page.click("#epsilon")
        shown = min(8, clicks + 1)
        page.wait_for_function(f"draw.now.draws.length === {shown}")
    draws = eventually(lambda: now(page, "draws"))
    epsilon = np.array([one["epsilon"] for one in draws])
    assert len(np.unique(epsilon)) == epsilon.size == 16
    z = np.array(q["zMean"]) + np.exp(0.5 * np.array(q["zLogVar"])) * epsilon
    np.testing.assert_allclose([one["z"] for one in draws], z, rtol=1e-6)
    assert now(page, "q") == q

    def drawn():
        strip = ink(page, "#draws")
        cells = [strip[:, 30 * i : 30 * i + 28].ravel() for i in range(8)]
        np.testing.assert_allclose(cells, special.expit(logits_of("2d", z)), atol=0.005)
        at = page.locator("#q .z").evaluate_all(
            "all => all.map(c => [c.cx.baseVal.value, c.cy.baseVal.value])"
        )
        np.testing.assert_allclose(at, 960 * np.stack([z[:, 0] + 3, 3 - z[:, 1]], axis=1) / 6)
        said = [
            float(n.replace("−", "-"))
            for n in re.findall(r"−?\d+\.\d\d", page.text_content("#epsilon-numbers"))
        ]
        np.testing.assert_allclose(said, [*epsilon[-1], *z[-1]], atol=0.006)

    eventually(drawn)


def test_the_ellipses_are_one_and_two_standard_deviations_of_q(page):
    settled(page, digits_offered()[3])
    q = now(page, "q")
    z_mean, s = np.array(q["zMean"]), np.exp(0.5 * np.array(q["zLogVar"]))
    read = "all => all.map(e => [e.cx, e.cy, e.rx, e.ry].map(one => one.baseVal.value))"
    for svg, reach, centre in (("#q", 3, (0, 0)), ("#q-close", 0.4, z_mean)):
        got = page.locator(f"{svg} ellipse").evaluate_all(read)
        unit = 960 / (2 * reach)
        place = 480 + unit * (z_mean - centre) * [1, -1]
        np.testing.assert_allclose(got, [[*place, *(n * s * unit)] for n in (2, 1)], rtol=1e-5)
    # the square on the whole map is what the other one shows: 0.4 to each side of the mean
    read = "all => all.map(r => [r.x, r.y, r.width, r.height].map(one => one.baseVal.value))"
    corner = 480 + 160 * (z_mean * [1, -1] - 0.4)
    square = page.locator("#q .enlarged").evaluate_all(read)
    np.testing.assert_allclose(square, [[*corner, 128, 128]], rtol=1e-5)


def test_the_bars_show_each_latent_in_use_beside_the_test_digits_mean(page):
    settled(page, digits_offered()[3])
    page.locator("#models input").nth(1).check()
    page.wait_for_function("document.querySelectorAll('#bars .kl').length === 3")
    q = now(page, "q")
    kl = np.array(kl_per_latent(np.array(q["zMean"]), np.array(q["zLogVar"])))[IN_USE["64d"]]
    heights = page.locator("#bars .kl").evaluate_all("all => all.map(r => r.height.baseVal.value)")
    np.testing.assert_allclose(heights / kl, heights[0] / kl[0], rtol=1e-3)
    usual = np.linspace(0, 3, 64)[IN_USE["64d"]]
    lines = page.locator("#bars .usual").evaluate_all("all => all.map(l => l.y1.baseVal.value)")
    np.testing.assert_allclose((166 - np.array(lines)) / usual, heights[0] / kl[0], rtol=1e-3)
    names = page.locator("#bars text").all_text_contents()
    assert {"6", "12", "41"} <= set(names)
    image = np.reshape(now(page, "image"), (28, 28))
    eventually(lambda: expect_numbers(page, image, "64d"))
    assert page.locator("#q-none").is_visible()
    assert page.locator("#q-figure").is_hidden()


def test_the_ruler_places_the_drawing_among_the_test_digits(page):
    settled(page, digits_offered()[3])
    terms = now(page, "terms")
    cost = terms["reconstruction"] + terms["kl"]
    end = 1.04 * max(COSTS["2d"][-1], cost)
    width = page.eval_on_selector("#ruler", "svg => svg.parentNode.clientWidth")
    x = lambda nats: 8 + (width - 16) * nats / end  # noqa: E731
    read = "all => all.map(l => l.x1.baseVal.value)"
    got = [page.locator(f"#ruler .{name}").evaluate_all(read)[0] for name in ("cost", "floor")]
    np.testing.assert_allclose(got, [x(cost), x(terms["floor"])], rtol=1e-4)
    read = "all => all.map(r => [r.x.baseVal.value, r.width.baseVal.value])[0]"
    bars = [page.locator(f"#ruler .{name}").evaluate_all(read) for name in ("reconstruction", "kl")]
    rec = terms["reconstruction"]
    wanted = [[x(0), x(rec) - x(0)], [x(rec), x(cost) - x(rec)]]
    np.testing.assert_allclose(bars, wanted, rtol=1e-3)


def test_log_p_comes_down_to_the_integral(page):
    page.locator("#picked input").nth(1).check(force=True)
    settled(page, digits_offered()[1])
    page.click("#sum")
    page.wait_for_function("draw.now.tally?.count === 2000")
    expect_text(page, "#sum", "Draw more")
    x = np.reshape(now(page, "image"), (1, -1))
    q = now(page, "q")
    step = 0.05
    axis = np.arange(-8, 8, step)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    s = np.exp(0.5 * np.array(q["zLogVar"]))
    near = grid[(np.abs(grid - q["zMean"]) < 8 * s + 1).all(axis=1)]
    log_p = np.concatenate(
        [
            np.array(
                bernoulli_log_likelihood(np.repeat(x, len(part), axis=0), logits_of("2d", part))
            )
            for part in np.array_split(near, 40)
        ]
    )
    log_joint = log_p + stats.norm.logpdf(near).sum(axis=1)
    exact = special.logsumexp(log_joint) + 2 * np.log(step)
    steps = np.array(now(page, "steps"))
    assert steps[0, 0] == 1
    assert steps[-1, 0] == 2000
    assert (np.diff(steps[:, 0]) > 0).all()
    said = page.text_content("#evidence-numbers").replace("−", "-")
    count, log_evidence, elbo, gap = (float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", said)[:4])
    # the standard error of the estimate, from the weights on the grid
    log_q = stats.norm.logpdf(near, q["zMean"], s).sum(axis=1)
    log_second = special.logsumexp(2 * log_joint - log_q) + 2 * np.log(step) - 2 * exact
    error = np.sqrt((np.exp(log_second) - 1) / 2000)
    assert error < 0.5
    assert abs(log_evidence + exact) < 5 * error + 0.06
    assert count == 2000
    assert elbo == pytest.approx(steps[-1, 1], abs=0.06)
    assert gap == pytest.approx(steps[-1, 1] - steps[-1, 2], abs=0.06)
    assert gap > 0
    assert (
        page.locator("#evidence .elbo").count() == page.locator("#evidence .evidence").count() == 1
    )


def test_the_sum_can_be_stopped_and_ends_with_another_drawing(page):
    settled(page, digits_offered()[3])
    page.click("#sum")
    page.click("#sum")
    page.wait_for_function("document.querySelector('#sum').textContent.startsWith('Draw')")
    page.click("#sum")
    page.locator("#picked input").nth(1).check(force=True)
    settled(page, digits_offered()[1])
    expect_text(page, "#evidence-numbers", "Not summed yet.")
    assert now(page, "steps") == []


def test_the_sum_is_shown_at_its_end_where_motion_is_not_wanted(page):
    page.emulate_media(reduced_motion="reduce")
    settled(page, digits_offered()[3])
    page.evaluate("""() => {
        window.painted = 0;
        const numbers = document.querySelector("#evidence-numbers");
        new MutationObserver(() => painted += 1).observe(numbers, { childList: true });
    }""")
    page.click("#sum")
    expect_text(page, "#evidence-numbers", "M = 2000")
    assert page.evaluate("painted") == 1


# ---- Files


def test_the_other_model_is_fetched_when_it_is_wanted_and_once(browser, host):
    with browser.new_context(base_url=host, viewport={"width": 1000, "height": 600}) as context:
        page = context.new_page()
        seen = listen(page)
        open_explorer(page)
        settled(page, digits_offered()[3])
        assert not [url for url in seen.requests if "64d" in url]
        for model in (1, 0, 1):
            page.locator("#models input").nth(model).check()
            expect_text(page, "#in-use", f"of its {[2, 64][model]} latents")
        asked = [url.rsplit("/", 1)[1] for url in seen.requests if "64d" in url]
        assert sorted(asked) == [
            "decoder_64d.onnx.zlib",
            "encoder_64d.onnx.zlib",
            "facts_64d.json.zlib",
        ]
        assert seen.trouble == []


@pytest.mark.parametrize("harm", ["missing", "cut short", "one byte wrong"])
@pytest.mark.parametrize("file", ["encoder_64d.onnx.zlib", "facts_64d.json.zlib"])
def test_a_model_that_fails_leaves_the_other(page, host, file, harm):
    name = file.split(".")[0]
    content = bytearray(page.request.get(f"explorer/{file}").body())
    content[len(content) // 2] ^= 0x40
    answers = {
        "missing": {"status": 404},
        "cut short": {"body": bytes(content[: len(content) // 2])},
        "one byte wrong": {"body": bytes(content)},
    }
    page.route(f"**/{file}", lambda route: route.fulfill(**answers[harm]))
    page.locator("#models input").nth(1).click()  # the page may take it back at once
    failed = f"!!document.querySelector('#draw-status.error')?.textContent.includes('{name}')"
    page.wait_for_function(failed)
    assert "make site" in page.text_content("#draw-status")
    assert page.locator("#models input").nth(0).is_checked()
    page.unroute(f"**/{file}")
    page.locator("#picked input").nth(1).check(force=True)
    settled(page, digits_offered()[1])
    page.locator("#models input").nth(1).check()  # another try succeeds
    expect_text(page, "#in-use", "of its 64")


def test_with_no_network_it_goes_on_and_nothing_is_sent(page):
    settled(page, digits_offered()[3])
    seen = listen(page)
    page.context.set_offline(True)
    draw(page, STROKES)
    settled(page, as_mnist(brush(STROKES)))
    page.click("#epsilon")
    page.click("#sum")
    page.wait_for_function("draw.now.tally?.count === 2000")
    assert seen.requests == []
    assert seen.trouble == []
    assert "Nothing is sent anywhere" in (DOCS / "explorer/index.md").read_text(encoding="utf-8")


def test_each_module_is_short():
    for path in DOCS.glob("explorer/*.js"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, path.name

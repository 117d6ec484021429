"""The site: README, notebooks with their stored outputs, and explorer.

`make site` puts them into docs/_build/source.
"""

from docutils import nodes

project = "vae_keras"
copyright = "the authors of vae_keras, under the MIT licence"
html_title = "Variational autoencoders, taken apart"

extensions = ["myst_nb", "sphinx_copybutton"]
exclude_patterns = ["benchmarks/records", "**/.ipynb_checkpoints"]
root_doc = "index"
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # the README links to its own headings
myst_html_meta = {
    "description": (
        "Variational autoencoders on MNIST, each equation beside the code that computes it, and a "
        "latent space to touch"
    )
}
copybutton_selector = ":not(.cell_output) > div.highlight pre"  # of code, not of what it prints
nb_execution_mode = "off"  # what is stored is shown
nb_merge_streams = True
nb_ipywidgets_js = {}  # it would come from another host; the slider's picture is shown instead
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]

html_theme = "furo"
html_static_path = ["_build/static", "site.css", "site.js"]
html_extra_path = ["_build/extra"]  # the explorer's scripts, models and data
html_css_files = ["site.css", "live/live.css"]
html_js_files = ["site.js"]
html_favicon = "favicon.svg"
html_copy_source = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

mathjax_path = "mathjax/tex-chtml.js"  # with its fonts, from npm
mathjax4_config = {
    "loader": {"paths": {"fonts": "[mathjax]/fonts"}},
    "options": {"a11y": {"inTabOrder": False}},  # a sentence would hold many stops
    "output": {
        "displayAlign": "left",
        "displayIndent": "0",
        "displayOverflow": "scroll",
        "matchFontHeight": False,
    },
}

CONTENTS = """
```{toctree}
:hidden:
:caption: Touch it
explorer/index
live
```
```{toctree}
:hidden:
:caption: The notebooks
:glob:
notebooks/*
```
```{toctree}
:hidden:
:caption: More
guides/your_images
guides/symbols
guides/within
benchmarks/README
benchmarks/RESULTS
benchmarks/SCALING
The data and its licence <vae_keras/MNIST_NOTICE>
```
"""


def _add_contents(app, docname, source):
    """The README is the front page; what a site needs besides, GitHub's readers do not.

    The links of both are those of the repository, where the explorer lies in docs/.
    """
    if docname == root_doc:
        text = source[0].replace("on the [site](#the-site) you draw", "draw")
        text = text.replace("](docs/", "](")
        source[0] = text + CONTENTS
    elif docname.startswith("notebooks/"):
        source[0] = source[0].replace("](../docs/", "](../")


def _leave_equations_alone(app, doctree):
    """Sphinx would put one of several lines into a split, where MathJax takes no tag for it."""
    for equation in doctree.findall(nodes.math_block):
        equation["no-wrap"] = True
        equation[:] = [nodes.Text(rf"\[{equation.astext()}\]")]


def _give_headings_a_level(app, pagename, templatename, context, doctree):
    """Sphinx gives the navigation's captions the role of a heading, without the level it needs."""
    tree = context["furo_navigation_tree"]
    with_level = 'role="heading" aria-level="2"'
    context["furo_navigation_tree"] = tree.replace('role="heading"', with_level)


def _offer_the_notebook(app, pagename, templatename, context, doctree):
    if pagename.startswith("notebooks/"):
        file = f"{pagename.split('/')[1]}.ipynb"
        link = f'<a href="{file}" download>Download {file}</a>'
        context["body"] += f"<p>{link}, to run it in a copy of the repository.</p>"


def setup(app):
    app.connect("source-read", _add_contents)
    app.connect("doctree-read", _leave_equations_alone)
    app.connect("html-page-context", _offer_the_notebook)
    # after the theme has made the navigation
    app.connect("html-page-context", _give_headings_a_level, priority=900)

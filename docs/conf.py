"""The site: README, notebooks with their stored outputs, explorer, guides and the API.

`make site` puts them into docs/_build/source. With REPOSITORY=owner/name on GitHub each notebook's
page has links to Colab and Binder.
"""

import inspect
import os
import re

from docutils import nodes

project = "vae_keras"
copyright = "the authors of vae_keras, under the MIT licence"
html_title = "Variational autoencoders, taken apart"

REPOSITORY = os.environ.get("REPOSITORY", "")

extensions = ["myst_nb", "sphinx_copybutton", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
default_role = "code"  # docstrings have single backticks
autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints = "none"  # the signatures of Keras's own methods do not matter here
add_module_names = False
napoleon_use_rtype = False
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
guides/results
guides/your_images
guides/for_teachers
goals
exercises
map
guides/symbols
api
guides/commands
guides/within
guides/ci
guides/devices
guides/onnx
guides/site
benchmarks/README
benchmarks/RESULTS
benchmarks/SCALING
CHANGELOG
CONTRIBUTING
The data and its licence <vae_keras/MNIST_NOTICE>
```
"""


def _add_contents(app, docname, source):
    """The README is the front page; what a site needs besides, GitHub's readers do not.

    The links of both are those of the repository, where some pages lie in docs/.
    """
    if docname == root_doc:
        source[0] = source[0].replace("](docs/", "](") + CONTENTS
    elif docname.startswith(("notebooks/", "benchmarks/")):
        source[0] = source[0].replace("](../docs/", "](../")
    elif docname.startswith("guides/"):
        source[0] = source[0].replace("](../../", "](../")
    elif "/" not in docname:
        source[0] = re.sub(r"\]\((?:docs/|\.\./)", "](", source[0])


def _take_the_own_signature(app, what, name, thing, options, signature, returns):
    """Of a layer or a model autodoc would give Keras's, which takes anything."""
    if what == "class" and "__init__" in vars(thing):
        given = inspect.signature(thing.__init__).parameters.values()
        parameters = [one.replace(annotation=inspect.Parameter.empty) for one in given]
        signature = str(inspect.Signature(parameters[1:]))
    return signature, returns


def _leave_stars_alone(app, what, name, thing, options, lines):
    """A star before a word would begin emphasis; docstrings mean Python's."""
    lines[:] = [re.sub(r"(?<![*\w`])\*(?=\w)", r"\*", line) for line in lines]


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
        context["body"] += offers(f"{pagename.split('/')[1]}.ipynb", REPOSITORY)


def offers(file, repository):
    """The links below a notebook: to its file, and to where it runs, if there is a repository."""
    if not repository:
        link = f'<a href="{file}" download>Download {file}</a>'
        return f"<p>{link}, to run it in a copy of the repository.</p>"
    colab = f"https://colab.research.google.com/github/{repository}/blob/published/{file}"
    binder = f"https://mybinder.org/v2/gh/{repository}/HEAD?labpath=notebooks%2F{file}"
    links = [
        f'<a href="{colab}">Open in Colab</a>',
        f'<a href="{binder}">Open in Binder</a>',
        f'<a href="../published/{file}" download>Download {file}</a>, which installs what it needs',
    ]
    return f"<p>{'; '.join(links)}.</p>"


def setup(app):
    app.connect("source-read", _add_contents)
    app.connect("autodoc-process-signature", _take_the_own_signature)
    # before napoleon, which writes emphasis of its own
    app.connect("autodoc-process-docstring", _leave_stars_alone, priority=100)
    app.connect("doctree-read", _leave_equations_alone)
    app.connect("html-page-context", _offer_the_notebook)
    # after the theme has made the navigation
    app.connect("html-page-context", _give_headings_a_level, priority=900)

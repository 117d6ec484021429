"""The examples in the docstrings of the public names run, and say what the API page shows."""

import doctest
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import vae_keras
from vae_keras.recipes import Recipe

PAGE = Path(__file__).parents[1] / "docs/api.md"
# a dict has no docstring of its own: its values have
DOCUMENTED = {name: getattr(vae_keras, name) for name in vae_keras.__all__} | {"RECIPES": Recipe}
GIVEN = {**vars(vae_keras), "keras": keras, "np": np}


def examples_of(thing):
    text = thing.__doc__ or ""
    return doctest.DocTestParser().get_doctest(text, dict(GIVEN), thing.__name__, None, 0)


@pytest.mark.parametrize("name", vae_keras.__all__)
def test_the_example_of_a_public_name_runs(name, tmp_path, monkeypatch, untraced):
    monkeypatch.chdir(tmp_path)
    test = examples_of(DOCUMENTED[name])
    assert [example for example in test.examples if name in example.source]
    assert [example for example in test.examples if example.want]
    said = []
    ran = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert ran.failed == 0, "".join(said)


def test_the_page_has_every_public_name():
    listed = re.findall(r"^\.\. (?:auto\w+|py:data):: ([\w.]+)", PAGE.read_text(), re.MULTILINE)
    assert sorted({*listed} - {"vae_keras.recipes.Recipe"}) == sorted(vae_keras.__all__)

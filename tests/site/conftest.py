"""The browser that all tests of the site share."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "docs"))
from browsing import chromium


@pytest.fixture(scope="session")
def browser():
    with chromium() as started:
        yield started

"""Fixtures of the feature store's tests."""

from pathlib import Path

import pytest

from tests.slipway.retail_data import Shop, made_up


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A repository with a small made-up shop, which the process works in."""
    made = Shop(tmp_path)
    made.write(made_up())
    made.enter(monkeypatch)
    return made

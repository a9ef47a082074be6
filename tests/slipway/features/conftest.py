"""Fixtures of the feature store's tests."""

from pathlib import Path

import pytest

from tests.slipway.features.feature_repository import FeatureRepository, made_up


@pytest.fixture
def feature_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureRepository:
    """A repository with a small made-up shop, which the process works in."""
    made = FeatureRepository(tmp_path)
    made.write(made_up())
    made.enter(monkeypatch)
    return made

"""The comparison of a version with the champion on reference rows."""

from pathlib import Path

import pytest

from services.rollout.comparison import CannotCompare, compare
from tests.small_models import SmallModels


@pytest.fixture(scope="module")
def registry(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallModels:
    """Two equal versions of a model that takes pictures, and of one whose code is a package."""
    models = SmallModels(tmp_path_factory.mktemp("registry"), ["dots", "readings"])
    for name in models.works:
        one = models.client.get_model_version(name, "1")
        models.client.create_model_version(name, one.source, run_id=one.run_id, tags=one.tags)
    return models


def test_a_version_with_siblings_is_compared(registry: SmallModels) -> None:
    with registry.active():
        found = compare("readings", "2", "1")
    assert found["not_worse"]
    assert found["score"] == found["champion_score"]
    assert found["rows"] == 30


def test_without_the_pictures_nothing_is_compared(registry: SmallModels) -> None:
    with (
        registry.active(),
        pytest.raises(CannotCompare, match="the reference rows of Plate hold facts instead of its"),
    ):
        compare("dots", "2", "1")

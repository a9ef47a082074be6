"""The drills take minutes: `make drill` runs all, `make test` those that are named here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drills.field import HEAD, Field, right
from tests.services.fake_models import ModelRegistryFixture

ALWAYS = {"test_raises.py", "test_planted.py"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the long ones out unless `drills` is named on the command line."""
    if any("drills" in argument for argument in config.invocation_params.args):
        return None
    if collection_path.name.startswith("test_") and collection_path.name not in ALWAYS:
        return True
    return None


@pytest.fixture(scope="package")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """Start a model server with two workers for all drills.

    It is stopped with the last drill, since an idle server takes 4 % of a core from later tests.
    """
    fake_models = ModelRegistryFixture(tmp_path_factory.mktemp("drill"))
    fake_models.add("waiting", right(1.0))
    with fake_models.serving(workers=2) as server:
        yield Field(fake_models, server)


@pytest.fixture(scope="session")
def table() -> Iterator[list[str]]:
    """A row a drill, shown at the end with `pytest -s`."""
    rows = [HEAD]
    yield rows
    print("\n\n" + "\n".join(rows))

"""What several tests of the library begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slipway.checkout import commit_checkout, restore


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout's files as one commit on main."""
    return commit_checkout(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def root(committed: Path) -> Iterator[Path]:
    """The repository as it was committed; it is so again afterwards."""
    yield committed
    restore(committed)

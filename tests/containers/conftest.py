"""What all tests of containers have in common: they leave no images behind that have no name."""

from collections.abc import Iterator

import pytest

from slipway.docker import docker
from tests.containers.docker import OURS


@pytest.fixture(scope="session", autouse=True)
def unnamed_images_are_removed() -> Iterator[None]:
    """Each build takes the name from the one before: 7 GB a run, until the disk is full."""
    yield
    docker("image", "prune", "--force", "--filter", f"label={OURS}", seconds=300)

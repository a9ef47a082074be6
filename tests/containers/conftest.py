"""A shared fixture: container tests leave no unnamed images behind."""

from collections.abc import Iterator

import pytest

from infra.docker import docker
from tests.containers.docker import OURS


@pytest.fixture(scope="session", autouse=True)
def unnamed_images_are_removed() -> Iterator[None]:
    """Remove replaced images: each build takes the name of the previous one, 7 GB a run."""
    yield
    docker("image", "prune", "--force", "--filter", f"label={OURS}", seconds=300)

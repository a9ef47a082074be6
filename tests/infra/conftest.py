"""The services run once for what reads their metrics: starting all four takes over a minute."""

from collections.abc import Iterator

import pytest

from tests.infra import live


@pytest.fixture(scope="package")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[live.Services]:
    with live.services(tmp_path_factory.mktemp("live")) as running:
        yield running

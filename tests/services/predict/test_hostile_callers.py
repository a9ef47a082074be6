"""The benchmark's hostile callers are refused, and cost no worker and nobody's prediction."""

import re
from collections.abc import Iterator

import pytest

from benchmarks.hostile.callers import ATTACKS, make
from tests.services.fake_models import ModelRegistryFixture, Server, echo

# What each ends with. A connection may also be closed before the refusal has been read.
REFUSED = re.compile("4[0-9][0-9]|closed")
LEAVES = {"a header that comes byte by byte", "responses that are never read"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("registry"))
    registry.add("model", echo("model"))
    with registry.serving(workers=1) as server:
        yield server


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused(server: Server, name: str) -> None:
    workers = {each.pid for each in server.workers()}
    port = int(server.address.rpartition(":")[2])
    for _ in range(3):
        outcome = make(name, port, "model")
        assert outcome == "left" if name in LEAVES else REFUSED.fullmatch(outcome), outcome
        assert server.predict("model")["version"] == "1"
    assert {each.pid for each in server.workers()} == workers
    assert server.metric('slipway_requests_total status="500"') == 0

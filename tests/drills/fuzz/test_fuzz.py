"""Every route of every service withstands a minute of hostile requests."""

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.drills.fuzz.target import SECONDS, fuzz
from tests.drills.fuzz.targets import TARGETS, services

KEPT = ROOT / ".slipway" / "fuzz"


def test_every_service_is_fuzzed() -> None:
    assert set(TARGETS) == services()
    assert sum(share for _, share in TARGETS.values()) == pytest.approx(1)


@pytest.mark.parametrize("service", TARGETS)
def test_hostile_requests(service: str, tmp_path: Path) -> None:
    start, share = TARGETS[service]
    with start(tmp_path) as target:
        result = fuzz(target, SECONDS * share, KEPT)
    print(result.report())
    assert not result.faults, "\n".join(result.faults)
    assert not result.outcome.failed
    unvisited = [each.label for each in target.routes if not result.outcome.of(each.label)]
    assert unvisited == []
    if target.records:
        assert result.outcome.predictions

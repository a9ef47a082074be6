"""Test a rollout's measurements: server metrics, logged pairs, scores from feedback."""

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest

from services.rollout import arms, scrape
from services.rollout.agreement import (
    SETTLE_SECONDS,
    ComparedPairs,
    compare_new_pairs,
    outputs_agree,
)
from services.rollout.arms import Arm
from services.rollout.scores import scores_by_step
from slipway.predictions.feedback_store import FeedbackStore
from slipway.predictions.record import line
from slipway.predictions.writer import PredictionLog
from slipway.statistics.ab import Sample
from tests.services.rollout.metrics_exporter import MetricsExporter


def test_only_the_metrics_of_the_project_are_read() -> None:
    exporter = MetricsExporter()
    exporter.count("1", "champion", times=3)
    exporter.requests.labels("model_two", "1", "champion", "200").inc(9)
    exporter.serving.labels("model", "1", "champion").set(1)
    exporter.serving.labels("model", "2", "challenger").set(0)
    exporter.isolated.labels("model", "2").set(1)
    found = exporter.scraped()
    assert found.counters["slipway_requests_total|1|champion|200"] == 3
    assert found.serving == {("1", "champion")}
    assert found.isolated == {"2"}
    with pytest.raises(scrape.MetricsUnreachable):
        scrape.parse('slipway_requests_total{project="model" 3', "model")


def test_a_restarted_server_is_counted_exactly() -> None:
    """Counters restart at 0, and some buckets may already be higher than before."""
    before, after = MetricsExporter(), MetricsExporter()
    before.count("1", "champion", times=5, seconds=0.03)
    after.count("1", "champion", times=4, seconds=0.005)
    increases = arms.increase(before.scraped().counters, after.scraped().counters)
    arm = arms.count_requests(
        increases, version="1", variant="champion", slow_bound=0.02, only_500=False
    )
    assert arm == Arm(requests=4, timed=4, slow=0)
    earlier = after.scraped().counters
    after.count("1", "champion", times=2, seconds=0.03)
    increases = arms.increase(earlier, after.scraped().counters)
    arm = arms.count_requests(
        increases, version="1", variant="champion", slow_bound=0.02, only_500=False
    )
    assert arm == Arm(requests=2, timed=2, slow=2)


def test_which_status_codes_are_failures_of_the_version() -> None:
    exporter = MetricsExporter()
    for status, times in (("200", 10), ("422", 5), ("500", 3), ("504", 2), ("503", 1)):
        exporter.requests.labels("model", "2", "challenger", status).inc(times)
    counters = exporter.scraped().counters
    arm = {"version": "2", "variant": "challenger", "slow_bound": None}
    assert arms.count_requests(counters, **arm, only_500=False) == Arm(requests=16, failed=6)
    assert arms.count_requests(counters, **arm, only_500=True) == Arm(requests=13, failed=3)


def test_the_bound_of_slowness_depends_on_the_champion() -> None:
    exporter = MetricsExporter()
    exporter.count("1", "champion", times=97, seconds=0.005)
    exporter.count("1", "champion", times=3, seconds=0.09)
    counters = exporter.scraped().counters

    def bound(**more: float) -> float | None:
        settings = {"quantile": 0.95, "ratio": 2, "floor_seconds": 0.0, "least": 100, **more}
        return arms.slow_bound([counters], champion="1", **settings)  # type: ignore[arg-type]

    assert bound() == 0.02  # twice 0.01, the bound that holds 95 %
    assert bound(floor_seconds=0.03) == 0.05
    assert bound(quantile=0.98) == math.inf
    assert bound(least=101) is None
    exporter.count("2", "challenger", times=4, seconds=0.05)
    exporter.count("2", "challenger", times=6, seconds=0.01)
    arm = arms.count_requests(
        exporter.scraped().counters,
        version="2",
        variant="challenger",
        slow_bound=0.02,
        only_500=False,
    )
    assert (arm.timed, arm.slow) == (10, 4)


def log_prediction(log: PredictionLog, variant: str, label: bool, of: str | None = None) -> str:
    id = log.next_id()
    record = line(
        id=id,
        project="model",
        version="2" if variant == "shadow" else "1",
        digest="ab" * 32,
        variant=variant,
        inputs=b'{"number":1}',
        outputs=json.dumps([{"label": label, "probability": 0.5}]).encode(),
        seconds=0.001,
        of=of,
    )
    assert log.append(record)
    return id


def test_shadow_and_champion_are_paired_from_the_log(tmp_path: Path) -> None:
    """Each pair counts once, and the log is not read too often."""
    log = PredictionLog(tmp_path, segment_bytes=2**20)
    start = time.time() - 1

    def predict(count: int) -> None:
        for number in range(count):
            original = log_prediction(log, "champion", True)
            log_prediction(log, "shadow", number % 4 > 0, of=original)

    def read(before: ComparedPairs, now: float) -> ComparedPairs:
        return compare_new_pairs(
            tmp_path, before, project="model", version="2", now=now, tolerance=0.1
        )

    predict(40)
    first = read(ComparedPairs(until=start), time.time() + SETTLE_SECONDS + 0.01)
    assert (first.pairs, first.different) == (40, 10)
    assert first.again > first.until
    time.sleep(0.05)
    predict(8)
    assert read(first, first.again - 0.001) is first
    second = read(first, max(first.again, time.time() + SETTLE_SECONDS + 0.01))
    assert (second.pairs, second.different) == (48, 12)
    other = compare_new_pairs(
        tmp_path,
        ComparedPairs(until=start),
        project="model",
        version="3",
        now=time.time() + 5,
        tolerance=0.1,
    )
    assert other.pairs == 0
    log.close()


def test_a_label_counts_for_the_step_of_its_prediction(tmp_path: Path) -> None:
    """Also if it arrives after the next step began."""
    log = PredictionLog(tmp_path, segment_bytes=2**20)
    starts, ids = [], []
    for _ in range(2):
        time.sleep(0.02)
        starts.append(time.time())
        time.sleep(0.02)
        ids += [log_prediction(log, "champion", number % 5 > 0) for number in range(50)]
    log.close()
    assert scores_by_step(tmp_path, "model", starts=starts, champion="1", version="2") == []
    store = FeedbackStore(tmp_path)
    for id in ids:
        store.attach(id=id, label={"label": True})
    store.close()
    steps = scores_by_step(tmp_path, "model", starts=starts, champion="1", version="2")
    expected = Sample.from_values(np.arange(50) % 5 > 0)
    assert [b.n for _, b in steps] == [0, 0]
    for champion, _ in steps:
        assert champion.n == 50
        assert champion.mean == pytest.approx(expected.mean)
        assert champion.variance == pytest.approx(expected.variance)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"survived": True, "probability": 0.6}, {"survived": True, "probability": 0.9}, True),
        ({"survived": True, "probability": 0.6}, {"survived": False, "probability": 0.4}, False),
        ({"price": 100.0}, {"price": 109.0}, True),
        ({"price": 100.0}, {"price": 112.0}, False),
        ({"price": 0.0}, {"price": 0.0}, True),
        ({"first": [{"name": "shirt", "p": 0.5}]}, {"first": [{"name": "coat", "p": 0.5}]}, False),
        ({"price": 100.0}, {"cost": 100.0}, False),
        ({"price": 100.0}, {"price": None}, False),
    ],
)  # fmt: skip
def test_when_two_outputs_agree(one: dict, other: dict, same: bool) -> None:
    assert outputs_agree(one, other, 0.1) is same
    assert outputs_agree(other, one, 0.1) is same

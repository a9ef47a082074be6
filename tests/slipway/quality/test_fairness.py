"""Fairness metrics of the monitor: groups, gaps and their intervals."""

import random

from slipway.quality import fairness
from slipway.quality.performance import Target
from tests.services import monitored_project


def sliced(unfair: bool, rows: int = 600) -> fairness.Slices:
    rng = random.Random(3)
    predictions, labelled = [], []
    for record in monitored_project.traffic(rows, seed=4):
        predicted = monitored_project.predicted(record)
        if unfair and record["country"] == "it":
            predicted = {**predicted, "bought": False}
        predictions.append((record["country"], predicted))
        label = monitored_project.drawn_label(
            predicted, rng, right=0.5 if record["country"] == "it" else 0.9
        )
        labelled.append((record["country"], (predicted, {"bought": label})))
    window = fairness.GroupedRows(predictions, labelled)
    reference = fairness.GroupedRows([], [])
    return fairness.slices("country", window, reference, Target("bought", "flag"))


def test_gaps_cover_rates_and_performance() -> None:
    fair, unfair = sliced(False), sliced(True)
    assert unfair.gaps["positive_rate"] > 0.4 > fair.gaps["positive_rate"]
    assert unfair.gaps["accuracy"] > 0.25
    assert fair.reference_gaps == {}


def test_each_metric_has_an_interval() -> None:
    for group in sliced(False).groups:
        for each in group.metrics:
            assert each.low <= each.value <= each.high
            assert each.high - each.low > 0


def test_small_groups_have_no_metrics_and_no_gap() -> None:
    slices = sliced(True, rows=60)
    small = [group for group in slices.groups if group.rows < fairness.LEAST_ROWS]
    assert small
    assert all(group.metrics == [] for group in small)
    assert "positive_rate" not in slices.gaps


def test_numbers_are_grouped_by_quartiles_and_rare_values_pooled() -> None:
    group = fairness.grouping(float(each) for each in range(100))
    assert [group(value) for value in (0, 30, 60, 99, None, "x")] == [
        "up to 24.75",
        "24.75 to 49.5",
        "49.5 to 74.25",
        "over 74.25",
        "unknown",
        "unknown",
    ]
    names = fairness.grouping([str(each % 20) for each in range(200)])
    groups = {names(str(each)) for each in range(20)}
    assert len(groups) == fairness.MOST_GROUPS
    assert "other" in groups
    assert fairness.grouping([True, False])(True) == "true"

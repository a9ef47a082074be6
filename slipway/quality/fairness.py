"""Predictions and errors by the groups of a protected field."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from slipway.quality.performance import Pair, Target, wilson_interval
from slipway.quality.values import category, number

# With 30 rows a share is known to within 18 points; with fewer rows a gap says nothing.
LEAST_ROWS = 30
MOST_GROUPS = 10
# Numbers with more distinct values than this are grouped by the quartiles of the reference.
MOST_VALUES = 10
UNKNOWN = "unknown"


class GroupMetric(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    metric: str
    value: float
    low: float
    high: float
    n: int


class Group(BaseModel):
    """A group; its metrics are empty where it has fewer than 30 rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str
    rows: int
    metrics: list[GroupMetric]


class Slices(BaseModel):
    """The groups of one protected field and the gaps between them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    field: str
    groups: list[Group]
    gaps: dict[str, float]
    """By metric: the largest minus the smallest value among groups that are large enough."""
    reference_gaps: dict[str, float]
    """The same gaps on the test rows of the registered version."""


Grouping = Callable[[Any], str]


def grouping(values: Iterable[Any]) -> Grouping:
    """Return the function that maps a value of the field to its group, learnt from `values`.

    Numbers with many distinct values are grouped by quartile, anything else by value; beyond ten
    groups the rarest values share the group `other`.
    """
    known = [value for value in values if value is not None]
    # Strings of digits are codes, not amounts.
    numbers = [float(value) for value in known if type(value) in (int, float)]
    if len(numbers) == len(known) and len(set(numbers)) > MOST_VALUES:
        return _by_quartile(numbers)
    counts: dict[str, int] = defaultdict(int)
    for value in known:
        counts[category(value) or UNKNOWN] += 1
    kept = set(sorted(counts, key=lambda name: -counts[name])[: MOST_GROUPS - 1])

    def group(value: Any) -> str:
        name = category(value)
        return UNKNOWN if name is None else name if name in kept else "other"

    return group


def _by_quartile(numbers: list[float]) -> Grouping:
    edges = sorted(set(np.quantile(numbers, [0.25, 0.5, 0.75]).tolist()))
    names = [
        f"up to {edges[0]:g}",
        *(f"{low:g} to {high:g}" for low, high in pairwise(edges)),
        f"over {edges[-1]:g}",
    ]

    def group(value: Any) -> str:
        found = number(value)
        return UNKNOWN if found is None else names[int(np.searchsorted(edges, found))]

    return group


@dataclass(frozen=True)
class GroupedRows:
    """Rows with their group: all predictions of the window, and those with ground truth."""

    predictions: Sequence[tuple[str, dict[str, Any]]]
    labelled: Sequence[tuple[str, Pair]]


def slices(field: str, window: GroupedRows, reference: GroupedRows, target: Target) -> Slices:
    """Return the metrics of each group of one protected field.

    They are `positive_rate` and `accuracy` for labels, `mean_prediction` and `mae` for numbers.
    """
    groups = _groups(window, target)
    return Slices(
        field=field,
        groups=groups,
        gaps=_gaps(groups),
        reference_gaps=_gaps(_groups(reference, target)),
    )


def _groups(rows: GroupedRows, target: Target) -> list[Group]:
    predictions: dict[str, list[Any]] = defaultdict(list)
    labelled: dict[str, list[Pair]] = defaultdict(list)
    for name, prediction in rows.predictions:
        predictions[name].append(prediction.get(target.field))
    for name, pair in rows.labelled:
        labelled[name].append(pair)
    return [
        Group(
            group=name,
            rows=len(predictions[name]),
            metrics=[
                *_prediction_metrics(predictions[name], target),
                *_error_metrics(labelled.get(name, []), target),
            ],
        )
        for name in sorted(predictions.keys() | labelled.keys())
    ]


def _prediction_metrics(values: list[Any], target: Target) -> list[GroupMetric]:
    if target.kind == "flag":
        return _rate("positive_rate", [bool(each) for each in values if each is not None])
    if target.kind == "number":
        return _mean("mean_prediction", [each for each in map(number, values) if each is not None])
    return []


def _error_metrics(pairs: list[Pair], target: Target) -> list[GroupMetric]:
    values = [
        (prediction.get(target.field), label.get(target.field)) for prediction, label in pairs
    ]
    if target.kind != "number":
        return _rate(
            "accuracy",
            [category(p) == category(t) for p, t in values if p is not None and t is not None],
        )
    numbers = [(number(p), number(t)) for p, t in values]
    return _mean("mae", [abs(p - t) for p, t in numbers if p is not None and t is not None])


def _rate(metric: str, hits: list[bool]) -> list[GroupMetric]:
    if len(hits) < LEAST_ROWS:
        return []
    share = sum(hits) / len(hits)
    low, high = wilson_interval(share, len(hits))
    return [
        GroupMetric(
            metric=metric, value=share, low=min(low, share), high=max(high, share), n=len(hits)
        )
    ]


def _mean(metric: str, values: list[float]) -> list[GroupMetric]:
    if len(values) < LEAST_ROWS:
        return []
    array = np.array(values)
    reach = 1.96 * float(array.std(ddof=1)) / math.sqrt(len(array))
    value = float(array.mean())
    return [
        GroupMetric(metric=metric, value=value, low=value - reach, high=value + reach, n=len(array))
    ]


def _gaps(groups: list[Group]) -> dict[str, float]:
    """Return the largest difference by metric; rows whose group is `unknown` do not count."""
    found: dict[str, list[float]] = defaultdict(list)
    for group in groups:
        if group.group == UNKNOWN:
            continue
        for each in group.metrics:
            found[each.metric].append(each.value)
    return {
        metric: max(values) - min(values) for metric, values in found.items() if len(values) > 1
    }

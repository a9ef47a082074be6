"""Who is served how: answers and errors by the groups of protected fields."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from slipway.monitoring.performance import Pair, Target, wilson
from slipway.monitoring.values import category, number

# With 30 rows a share is known to 18 points either way; with fewer a gap says nothing.
LEAST_ROWS = 30
MOST_GROUPS = 10
# Numbers with more values than that are grouped by the quarters of the reference.
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
    """A group; without metrics where it has fewer than 30 rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str
    rows: int
    metrics: list[GroupMetric]


class Slices(BaseModel):
    """A protected field."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    field: str
    groups: list[Group]
    gaps: dict[str, float]
    """By metric: the largest less the smallest among groups that are large enough."""
    reference_gaps: dict[str, float]
    """The same on the test rows of the registered version."""


Grouping = Callable[[Any], str]


def grouping(values: Iterable[Any]) -> Grouping:
    """How values of the field are grouped, learnt from the reference: numbers of many values by
    its quarters, anything else by value, the rarest beyond ten together."""
    known = [value for value in values if value is not None]
    # Texts of digits are codes, not amounts.
    numbers = [float(value) for value in known if type(value) in (int, float)]
    if len(numbers) == len(known) and len(set(numbers)) > MOST_VALUES:
        return _by_quarter(numbers)
    counts: dict[str, int] = defaultdict(int)
    for value in known:
        counts[category(value) or UNKNOWN] += 1
    kept = set(sorted(counts, key=lambda name: -counts[name])[: MOST_GROUPS - 1])

    def group(value: Any) -> str:
        name = category(value)
        return UNKNOWN if name is None else name if name in kept else "other"

    return group


def _by_quarter(numbers: list[float]) -> Grouping:
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
class Answered:
    """Rows with their group: all answers of the window, and those whose truth is known."""

    answers: Sequence[tuple[str, dict[str, Any]]]
    labelled: Sequence[tuple[str, Pair]]


def slices(field: str, window: Answered, reference: Answered, target: Target) -> Slices:
    """One protected field; `positive_rate` and `accuracy` of labels, `mean_answer` and `mae` of
    numbers."""
    groups = _groups(window, target)
    return Slices(
        field=field,
        groups=groups,
        gaps=_gaps(groups),
        reference_gaps=_gaps(_groups(reference, target)),
    )


def _groups(rows: Answered, target: Target) -> list[Group]:
    answers: dict[str, list[Any]] = defaultdict(list)
    labelled: dict[str, list[Pair]] = defaultdict(list)
    for name, answer in rows.answers:
        answers[name].append(answer.get(target.field))
    for name, pair in rows.labelled:
        labelled[name].append(pair)
    return [
        Group(
            group=name,
            rows=len(answers[name]),
            metrics=[
                *_of_answers(answers[name], target),
                *_of_truths(labelled.get(name, []), target),
            ],
        )
        for name in sorted(answers.keys() | labelled.keys())
    ]


def _of_answers(values: list[Any], target: Target) -> list[GroupMetric]:
    if target.kind == "flag":
        return _rate("positive_rate", [bool(each) for each in values if each is not None])
    if target.kind == "number":
        return _mean("mean_answer", [each for each in map(number, values) if each is not None])
    return []


def _of_truths(pairs: list[Pair], target: Target) -> list[GroupMetric]:
    told = [(answer.get(target.field), truth.get(target.field)) for answer, truth in pairs]
    if target.kind != "number":
        return _rate(
            "accuracy",
            [category(a) == category(t) for a, t in told if a is not None and t is not None],
        )
    errors = [(number(a), number(t)) for a, t in told]
    return _mean("mae", [abs(a - t) for a, t in errors if a is not None and t is not None])


def _rate(metric: str, hits: list[bool]) -> list[GroupMetric]:
    if len(hits) < LEAST_ROWS:
        return []
    share = sum(hits) / len(hits)
    low, high = wilson(share, len(hits))
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
    """Of groups that are told apart; who is `unknown` is no group of people."""
    found: dict[str, list[float]] = defaultdict(list)
    for group in groups:
        if group.group == UNKNOWN:
            continue
        for each in group.metrics:
            found[each.metric].append(each.value)
    return {
        metric: max(values) - min(values) for metric, values in found.items() if len(values) > 1
    }

"""Fairness of a version on its test rows, by group of one protected field.

In addition to the monitor's metrics (slipway.quality.fairness), there are the ratio of selection
rates with the four-fifths rule (U.S. Uniform Guidelines on Employee Selection Procedures, 1978),
the difference of equal opportunity (Hardt, Price and Srebro 2016), and calibration. Groups are
compared with the group that has the highest selection rate; intervals are widened for all pairs of
groups together (Bonferroni), since that group is chosen by its rate.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from services.explain.importance import Attributions
from slipway.quality import fairness
from slipway.quality.fairness import LEAST_ROWS, GroupedRows, Slices, grouping
from slipway.quality.performance import Target, wilson_interval
from slipway.statistics.proportions import Arm, newcombe

FOUR_FIFTHS = 0.8
# The probability of any false alarm among a field's comparisons.
ALPHA = 0.05
BINS = 5


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A group compared with the one that has the highest selection rate."""

    group: str
    rows: int
    ratio: Interval
    """The ratio of the selection rates."""
    opportunity: Interval | None
    """The difference of true positive rates; None with too few positive labels."""

    @property
    def verdict(self) -> str:
        if self.ratio.high < FOUR_FIFTHS:
            return "below four fifths, beyond chance"
        if self.ratio.value < FOUR_FIFTHS:
            return "below four fifths, maybe by chance"
        return "within four fifths"

    @property
    def opportunity_verdict(self) -> str:
        if self.opportunity is None:
            return "too few rows"
        missed = not self.opportunity.low <= 0 <= self.opportunity.high
        return "differs beyond chance" if missed else "no difference shown"


@dataclass(frozen=True)
class CalibrationBin:
    """The rows of one group in one of five bins of the predicted probability."""

    group: str
    mean_probability: float
    positive_share: Interval
    rows: int


@dataclass(frozen=True)
class Bias:
    """The fairness metrics of a field."""

    field: str
    target: Target
    slices: Slices
    baseline: str | None
    """The group with the highest selection rate; None where predictions are not binary."""
    comparisons: list[Comparison]
    calibration: list[CalibrationBin]

    @property
    def found(self) -> bool:
        """True if a group is below four fifths, or differs in opportunity, beyond chance."""
        return any(
            each.ratio.high < FOUR_FIFTHS
            or (each.opportunity is not None and each.opportunity_verdict.startswith("differs"))
            for each in self.comparisons
        )


def bias(rows: Sequence[dict[str, Any]], field: str) -> Bias | None:
    """Return the fairness metrics of a field on rows of `record`, `prediction` and `label`.

    None where no field of the prediction fits the label, so that nothing can be right or wrong.
    """
    target = Target.learn(rows)
    if target is None:
        return None
    group = grouping(row["record"].get(field) for row in rows)
    names = [group(row["record"].get(field)) for row in rows]
    known = [
        row for row in rows if isinstance(row["prediction"], dict) and row["label"] is not None
    ]
    labelled_names = [group(row["record"].get(field)) for row in known]
    pairs = target.pairs(rows)
    grouped = GroupedRows(
        [(name, row["prediction"]) for name, row in zip(names, rows, strict=True)],
        list(zip(labelled_names, pairs, strict=True)),
    )
    slices = fairness.slices(field, grouped, grouped, target)
    flags = [(bool(p[target.field]), bool(t[target.field])) for p, t in pairs]
    if target.kind != "flag":
        return Bias(field, target, slices, None, [], [])
    baseline, comparisons = _compared(labelled_names, flags)
    y_prob = [p.get(target.probability) if target.probability else None for p, _ in pairs]
    y_true = [label for _, label in flags]
    calibration = _calibration(labelled_names, y_prob, y_true)
    return Bias(field, target, slices, baseline, comparisons, calibration)


def _compared(
    names: list[str], flags: list[tuple[bool, bool]]
) -> tuple[str | None, list[Comparison]]:
    by_group: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for name, pair in zip(names, flags, strict=True):
        by_group[name].append(pair)
    large = {
        name: pairs
        for name, pairs in by_group.items()
        if len(pairs) >= LEAST_ROWS and name != fairness.UNKNOWN
    }
    if len(large) < 2:
        return None, []
    coverage = 1 - ALPHA / math.comb(len(large), 2)
    selected: dict[str, Arm] = {
        name: (sum(predicted for predicted, _ in pairs), len(pairs))
        for name, pairs in large.items()
    }
    hits: dict[str, Arm] = {
        name: (
            sum(predicted for predicted, label in pairs if label),
            sum(label for _, label in pairs),
        )
        for name, pairs in large.items()
    }
    best = max(sorted(large), key=lambda name: selected[name][0] / selected[name][1])
    return best, [
        Comparison(
            name,
            len(large[name]),
            ratio(selected[name], selected[best], coverage=coverage),
            _difference(hits[best], hits[name], coverage),
        )
        for name in sorted(large)
        if name != best
    ]


def ratio(one: Arm, other: Arm, *, coverage: float) -> Interval:
    """Return the ratio of two rates, `one` over `other`, with an interval of its logarithm.

    Half a success is added to keep it finite: Walter (1975), "The distribution of Levin's measure
    of attributable risk".
    """
    z = NormalDist().inv_cdf((1 + coverage) / 2)
    rates = [(hits + 0.5) / (size + 0.5) for hits, size in (one, other)]
    inverse = [1 / (hits + 0.5) - 1 / (size + 0.5) for hits, size in (one, other)]
    middle, reach = math.log(rates[0] / rates[1]), z * math.sqrt(sum(inverse))
    plain = (one[0] / one[1]) / (other[0] / other[1]) if other[0] else 1.0
    low, high = math.exp(middle - reach), math.exp(middle + reach)
    return Interval(plain, min(low, plain), max(high, plain))


def _difference(base: Arm, own: Arm, coverage: float) -> Interval | None:
    if min(base[1], own[1]) < LEAST_ROWS:
        return None
    low, high = newcombe(base, own, coverage=coverage)
    return Interval(own[0] / own[1] - base[0] / base[1], low, high)


def _calibration(
    names: list[str], y_prob: list[float | None], y_true: list[bool]
) -> list[CalibrationBin]:
    """Return the calibration of each group in five bins, each a fifth of the rows of all groups.

    The groups are thus compared at the same probabilities.
    """
    if not y_prob or None in y_prob:
        return []
    probabilities = np.array(y_prob, dtype=np.float64)
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins, groups, labels = np.digitize(probabilities, edges), np.array(names), np.array(y_true)
    found = []
    for group in sorted(set(names)):
        for place in range(len(edges) + 1):
            inside = (groups == group) & (bins == place)
            rows = int(inside.sum())
            if rows >= LEAST_ROWS:
                share = int(labels[inside].sum()) / rows
                low, high = wilson_interval(share, rows)
                positive = Interval(share, min(low, share), max(high, share))
                mean = float(probabilities[inside].mean())
                found.append(CalibrationBin(group, mean, positive, rows))
    return found


def drivers(found: Attributions, field: str) -> dict[str, list[tuple[str, float]]]:
    """Return each group's mean SHAP values minus those of all rows, the largest first.

    The sum over the fields is the group's mean prediction minus that of all rows. Fields that cause
    a gap between groups have large values: the protected field, or another that stands in for it.
    """
    group = grouping(getattr(each, field) for each in found.records)
    names = np.array([group(getattr(each, field)) for each in found.records])
    by_group = {}
    for name in sorted(set(names.tolist())):
        excess = found.values[names == name].mean(axis=0) - found.values.mean(axis=0)
        order = np.argsort(-np.abs(excess), kind="stable")
        by_group[name] = [(found.fields[place], float(excess[place])) for place in order]
    return by_group

"""Who is answered how: one protected field, by group, on the test rows of a version.

Beside the monitor's figures (slipway.monitoring.fairness): the ratio of selection rates with the
four-fifths rule (U.S. Uniform Guidelines on Employee Selection Procedures, 1978), the difference of
equal opportunity (Hardt, Price and Srebro 2016), and calibration. Groups are compared with the one
that is selected most; intervals are widened for all pairs of groups together (Bonferroni), since
that one is found by looking.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from services.explain.importance import Attributions
from slipway.monitoring import fairness
from slipway.monitoring.fairness import LEAST_ROWS, Answered, Slices, grouping
from slipway.monitoring.performance import Target
from slipway.statistics.proportions import Arm, newcombe, wilson

FOUR_FIFTHS = 0.8
# The chance that one of a field's comparisons cries out where groups are treated alike.
ALPHA = 0.05
BINS = 5


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A group against the one that is selected most."""

    group: str
    rows: int
    ratio: Interval
    """Of selection rates."""
    opportunity: Interval | None
    """Difference of true positive rates; None where too few truths are positive."""

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
class Calibrated:
    """A fifth of the rows by probability, of one group: how likely it was held, and was."""

    group: str
    held: float
    happened: Interval
    rows: int


@dataclass(frozen=True)
class Bias:
    """What the rows say of a field."""

    field: str
    target: Target
    slices: Slices
    against: str | None
    """The group that is selected most; None where answers are no yes and no."""
    comparisons: list[Comparison]
    calibration: list[Calibrated]

    @property
    def found(self) -> bool:
        """Whether some group falls below four fifths, or short of equal opportunity."""
        return any(
            each.ratio.high < FOUR_FIFTHS
            or (each.opportunity is not None and each.opportunity_verdict.startswith("differs"))
            for each in self.comparisons
        )


def bias(rows: Sequence[dict[str, Any]], field: str) -> Bias | None:
    """Of rows of `record`, `answer` and `truth`; None where no field of the answer is like the
    truth, so that nothing can be right or wrong."""
    target = Target.learn(rows)
    if target is None:
        return None
    group = grouping(row["record"].get(field) for row in rows)
    names = [group(row["record"].get(field)) for row in rows]
    known = [row for row in rows if isinstance(row["answer"], dict) and row["truth"] is not None]
    held = [group(row["record"].get(field)) for row in known]
    pairs = target.pairs(rows)
    answered = Answered(
        [(name, row["answer"]) for name, row in zip(names, rows, strict=True)],
        list(zip(held, pairs, strict=True)),
    )
    found = fairness.slices(field, answered, answered, target)
    told = [(bool(a[target.field]), bool(t[target.field])) for a, t in pairs]
    if target.kind != "flag":
        return Bias(field, target, found, None, [], [])
    against, comparisons = _compared(held, told)
    likely = [a.get(target.probability) if target.probability else None for a, _ in pairs]
    happened = [truth for _, truth in told]
    return Bias(field, target, found, against, comparisons, _calibration(held, likely, happened))


def _compared(
    names: list[str], told: list[tuple[bool, bool]]
) -> tuple[str | None, list[Comparison]]:
    by_group: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for name, pair in zip(names, told, strict=True):
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
        name: (sum(answer for answer, _ in pairs), len(pairs)) for name, pairs in large.items()
    }
    hits: dict[str, Arm] = {
        name: (
            sum(answer for answer, truth in pairs if truth),
            sum(truth for _, truth in pairs),
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
    """Of two rates, with an interval of its logarithm; half a success added keeps it finite.

    Walter (1975), "The distribution of Levin's measure of attributable risk"; one over the other.
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
    names: list[str], likely: list[float | None], happened: list[bool]
) -> list[Calibrated]:
    """Bins hold a fifth of all rows each, so that groups are compared at the same probabilities."""
    if not likely or None in likely:
        return []
    held = np.array(likely, dtype=np.float64)
    edges = np.unique(np.quantile(held, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins, groups, true = np.digitize(held, edges), np.array(names), np.array(happened)
    found = []
    for group in sorted(set(names)):
        for place in range(len(edges) + 1):
            here = (groups == group) & (bins == place)
            rows = int(here.sum())
            if rows >= LEAST_ROWS:
                hits = int(true[here].sum())
                share = hits / rows
                low, high = wilson((hits, rows), coverage=1 - ALPHA)
                told = Interval(share, min(low, share), max(high, share))
                found.append(Calibrated(group, float(held[here].mean()), told, rows))
    return found


def drivers(found: Attributions, field: str) -> dict[str, list[tuple[str, float]]]:
    """By group: what each field adds to its answers beyond what it adds to all, largest first.

    The sum over the fields is the group's mean answer less that of all: fields that carry a gap
    between groups, the protected one itself or another that stands in for it, have large values.
    """
    group = grouping(getattr(each, field) for each in found.records)
    names = np.array([group(getattr(each, field)) for each in found.records])
    told = {}
    for name in sorted(set(names.tolist())):
        beyond = found.values[names == name].mean(axis=0) - found.values.mean(axis=0)
        order = np.argsort(-np.abs(beyond), kind="stable")
        told[name] = [(found.fields[place], float(beyond[place])) for place in order]
    return told

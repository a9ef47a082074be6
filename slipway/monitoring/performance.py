"""How good the answers were, by the truths that came back, each figure with an interval."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from slipway.monitoring.significance import holm
from slipway.monitoring.values import category, number

Kind = Literal["flag", "label", "number"]
Pair = tuple[dict[str, Any], dict[str, Any]]
"""An answer, and the fields of it that are known to be true."""

RESAMPLES = 300
COVERAGE = 0.95
# Fewer of either kind, and a ranking or an error rate among them is luck.
LEAST_OF_EACH = 10
HIGHER_IS_BETTER = {"accuracy", "f1", "macro_f1", "roc_auc", "r2", "score"}
# What an alarm is raised on: one plain figure a kind, and the ranking, which accuracy does not see
# where one answer is rare.
JUDGED = ("accuracy", "roc_auc", "mae")


class Score(BaseModel):
    """A metric on `n` rows; `low` and `high` hold it in 95 of 100 such windows."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    metric: str
    value: float
    low: float
    high: float
    error: float = Field(ge=0, description="Standard error")
    n: int = Field(ge=1)


class Margin(BaseModel):
    """How much worse than on the reference is worth an alarm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(default=0.001, gt=0, lt=1)
    share: float = Field(default=0.05, gt=0, lt=1, description="Of accuracy and ROC AUC")
    error: float = Field(default=0.1, gt=0, description="Of the mean absolute error, relative")
    least_rows: int = Field(default=50, ge=20)


@dataclass(frozen=True)
class Target:
    """The field of the answer that truths are compared with."""

    field: str
    kind: Kind
    probability: str | None = None
    """The field that holds the probability of `true`."""

    @classmethod
    def learn(cls, reference: Sequence[dict[str, Any]]) -> "Target | None":
        """From rows of `answer` and `truth`; None where no field is like the truth.

        A truth that is one value, as `data.py` gave it, belongs to the field of its kind that
        comes nearest to it: `price` and not `low` or `high`.
        """
        rows = [
            row
            for row in reference
            if isinstance(row.get("answer"), dict) and row.get("truth") is not None
        ]
        if not rows:
            return None
        first = rows[0]["answer"]
        names = list(first)
        if isinstance(rows[0]["truth"], dict):
            names = [name for name in names if name in rows[0]["truth"]]
        best: tuple[float, str, Kind] | None = None
        for name in names:
            told = [(row["answer"].get(name), _of(row["truth"], name)) for row in rows]
            kind = _kind(told)
            if kind is None:
                continue
            distance = _distance(told, kind)
            if best is None or distance < best[0]:
                best = distance, name, kind
        if best is None:
            return None
        _, name, kind = best
        return cls(name, kind, _probability(rows, name) if kind == "flag" else None)

    def pairs(self, reference: Sequence[dict[str, Any]]) -> list[Pair]:
        """Of reference rows."""
        return [
            (row["answer"], {self.field: _of(row["truth"], self.field)})
            for row in reference
            if isinstance(row.get("answer"), dict) and row.get("truth") is not None
        ]


def scores(pairs: Sequence[Pair], target: Target, *, seed: int = 0) -> list[Score]:
    """Every metric of the target's kind that the rows allow; rows without its truth do not count.

    Intervals are the percentiles of 300 resamples (Efron 1979).
    """
    told, known, likely = _arrays(pairs, target)
    if not len(told):
        return []
    if target.kind == "number":
        metrics = _of_numbers()
    elif target.kind == "flag":
        metrics = _of_flags(known, likely)
    else:
        metrics = _of_labels()
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(told), size=(RESAMPLES, len(told)))
    return [
        _score(name, measure, (told, known, likely), draws) for name, measure in metrics.items()
    ]


def mean_score(values: Sequence[float], *, seed: int = 0) -> Score | None:
    """Of the rewards or scores that came with the feedback."""
    if not values:
        return None
    array = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng(seed).integers(0, len(array), size=(RESAMPLES, len(array)))
    return _score("score", lambda told, *_: float(told.mean()), (array, array, array), draws)


def worse(now: Sequence[Score], reference: Sequence[Score], margin: Margin) -> list[str]:
    """Judged metrics that fell short of the reference by more than the margin, beyond chance.

    One-sided z tests of the difference over both standard errors, with Holm's rule. Each as a
    sentence: `accuracy 0.61 (0.57 to 0.65), on the test rows 0.82`.
    """
    before = {score.metric: score for score in reference}
    judged = [
        (score, before[score.metric])
        for score in now
        if score.metric in JUDGED and score.metric in before and score.n >= margin.least_rows
    ]
    adjusted = holm([_p_value(*pair) for pair in judged]) if judged else []
    return [
        f"{score.metric} {score.value:.4g} ({score.low:.4g} to {score.high:.4g}), "
        f"on the test rows {was.value:.4g}"
        for (score, was), p_value in zip(judged, adjusted, strict=True)
        if p_value <= margin.alpha and _shortfall(score, was) >= _allowed(was, margin)
    ]


def _shortfall(now: Score, was: Score) -> float:
    difference = was.value - now.value
    return difference if now.metric in HIGHER_IS_BETTER else -difference


def _allowed(was: Score, margin: Margin) -> float:
    return margin.error * was.value if was.metric == "mae" else margin.share


def _p_value(now: Score, was: Score) -> float:
    error = math.hypot(now.error, was.error)
    if error == 0:
        return 0.0 if _shortfall(now, was) > 0 else 1.0
    return 0.5 * math.erfc(_shortfall(now, was) / error / math.sqrt(2))


def _of(truth: Any, name: str) -> Any:
    return truth.get(name) if isinstance(truth, dict) else truth


def _kind(told: Sequence[tuple[Any, Any]]) -> Kind | None:
    answer, truth = next(((a, t) for a, t in told if a is not None and t is not None), (None, None))
    if isinstance(answer, bool):
        return "flag" if isinstance(truth, bool) or truth in (0, 1) else None
    if isinstance(answer, str) or (isinstance(answer, int) and isinstance(truth, int)):
        return "label" if type(truth) is type(answer) else None
    if isinstance(answer, float) and isinstance(truth, int | float):
        return None if isinstance(truth, bool) else "number"
    return None


def _distance(told: Sequence[tuple[Any, Any]], kind: Kind) -> float:
    """Shares of labels that differ lie below 1, so that a label goes before a number."""
    if kind != "number":
        return sum(category(a) != category(t) for a, t in told) / (2 * len(told))
    pairs = [(number(a), number(t)) for a, t in told]
    return 1 + math.fsum(abs(a - t) for a, t in pairs if a is not None and t is not None)


def _probability(rows: Sequence[dict[str, Any]], flag: str) -> str | None:
    """The number within 0 and 1 that is larger where the flag is true than where it is not."""
    for name, value in rows[0]["answer"].items():
        if not isinstance(value, float):
            continue
        sides: dict[bool, list[float]] = {True: [], False: []}
        for row in rows:
            found = number(row["answer"].get(name))
            if found is None or not 0 <= found <= 1:
                break
            sides[bool(row["answer"].get(flag))].append(found)
        else:
            if not all(sides.values()) or min(sides[True]) >= max(sides[False]):
                return str(name)
    return None


def _arrays(pairs: Sequence[Pair], target: Target) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What was told, what is true, and how likely `true` was held, (rows,) each."""
    told: list[Any] = []
    known: list[Any] = []
    likely: list[float] = []
    for answer, truth in pairs:
        value, true = answer.get(target.field), truth.get(target.field)
        if target.kind == "number":
            value, true = number(value), number(true)
        elif target.kind == "flag":
            value, true = _flag(value), _flag(true)
        else:
            value, true = category(value), category(true)
        if value is None or true is None:
            continue
        told.append(value)
        known.append(true)
        chance = number(answer.get(target.probability)) if target.probability else None
        likely.append(math.nan if chance is None else chance)
    if target.kind == "label":
        # As codes: 300 resamples of texts would be sorted anew, each in a millisecond.
        _, codes = np.unique(np.array([*told, *known], dtype=np.str_), return_inverse=True)
        return codes[: len(told)], codes[len(told) :], np.array(likely)
    kind = np.float64 if target.kind == "number" else np.bool_
    return np.array(told, dtype=kind), np.array(known, dtype=kind), np.array(likely)


def _flag(value: Any) -> bool | None:
    return bool(value) if isinstance(value, bool) or value in (0, 1) else None


Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def _of_numbers() -> dict[str, Measure]:
    return {
        "mae": lambda told, known, _: float(np.abs(told - known).mean()),
        "rmse": lambda told, known, _: float(np.sqrt(((told - known) ** 2).mean())),
        "bias": lambda told, known, _: float((told - known).mean()),
        "r2": _r2,
    }


def _of_flags(known: np.ndarray, likely: np.ndarray) -> dict[str, Measure]:
    found: dict[str, Measure] = {"accuracy": _accuracy}
    positive = int(known.sum())
    if min(positive, len(known) - positive) >= LEAST_OF_EACH:
        found["f1"] = lambda told, known, _: _f1(told, known)
    if np.isnan(likely).any():
        return found
    if min(positive, len(known) - positive) >= LEAST_OF_EACH:
        found["roc_auc"] = lambda _, known, likely: roc_auc(known, likely)
    found["brier"] = lambda _, known, likely: float(((likely - known) ** 2).mean())
    return found


def _of_labels() -> dict[str, Measure]:
    return {"accuracy": _accuracy, "macro_f1": _macro_f1}


def _accuracy(told: np.ndarray, known: np.ndarray, _: np.ndarray) -> float:
    return float((told == known).mean())


def _f1(told: np.ndarray, known: np.ndarray) -> float:
    hit = float((told & known).sum())
    both = float(told.sum() + known.sum())
    return 2 * hit / both if both else 0.0


def _macro_f1(told: np.ndarray, known: np.ndarray, _: np.ndarray) -> float:
    labels = np.unique(known)
    return float(np.mean([_f1(told == label, known == label) for label in labels]))


def _r2(told: np.ndarray, known: np.ndarray, _: np.ndarray) -> float:
    spread = float(((known - known.mean()) ** 2).sum())
    return 1 - float(((told - known) ** 2).sum()) / spread if spread else 0.0


def roc_auc(known: np.ndarray, likely: np.ndarray) -> float:
    """Mann and Whitney's share of pairs in the right order, ties by half; 0.5 of one kind only."""
    from scipy.stats import rankdata

    positive = int(known.sum())
    negative = len(known) - positive
    if not positive or not negative:
        return 0.5
    ranks = rankdata(likely)
    return float((ranks[known].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _score(
    name: str,
    measure: Measure,
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
    draws: np.ndarray,
) -> Score:
    value = measure(*arrays)
    again = np.array([measure(*(array[draw] for array in arrays)) for draw in draws])
    low, high = np.percentile(again, [100 * (1 - COVERAGE) / 2, 100 * (1 + COVERAGE) / 2])
    error, n = float(again.std()), len(arrays[0])
    if name == "accuracy":
        # All right, or all wrong, has no spread in resamples; Wilson's interval has.
        low, high = wilson(value, n)
        error = max(error, (high - low) / (2 * 1.96))
    return Score(
        metric=name,
        value=value,
        low=min(float(low), value),
        high=max(float(high), value),
        error=error,
        n=n,
    )


def wilson(share: float, n: int, *, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)

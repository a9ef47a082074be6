"""Metrics of predictions against the ground truth that came back, each with an interval."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from slipway.quality.significance import holm_adjusted
from slipway.quality.values import category, number

Kind = Literal["flag", "label", "number"]
Pair = tuple[dict[str, Any], dict[str, Any]]
"""A prediction, and the fields of it whose ground truth is known."""

RESAMPLES = 300
COVERAGE = 0.95
# With fewer positives or fewer negatives, F1 and ROC AUC are mostly chance.
LEAST_OF_EACH = 10
HIGHER_IS_BETTER = {"accuracy", "f1", "macro_f1", "roc_auc", "r2", "score"}
# The metrics that can raise an alarm: one plain metric for each kind of target, and ROC AUC, since
# accuracy does not see a bad ranking where one class is rare.
JUDGED = ("accuracy", "roc_auc", "mae")


class Score(BaseModel):
    """A metric on `n` rows; the interval `low` to `high` covers it in 95 of 100 such windows."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    metric: str
    value: float
    low: float
    high: float
    error: float = Field(ge=0, description="Standard error")
    n: int = Field(ge=1)


class Margin(BaseModel):
    """The loss against the reference at which a metric raises an alarm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(default=0.001, gt=0, lt=1)
    share: float = Field(default=0.05, gt=0, lt=1, description="Of accuracy and ROC AUC")
    error: float = Field(default=0.1, gt=0, description="Of the mean absolute error, relative")
    least_rows: int = Field(default=50, ge=20)


@dataclass(frozen=True)
class Target:
    """The field of the prediction that is compared with the ground truth."""

    field: str
    kind: Kind
    probability: str | None = None
    """The field that holds the probability of the positive class."""

    @classmethod
    def learn(cls, reference: Sequence[dict[str, Any]]) -> "Target | None":
        """Learn the target from rows of `prediction` and `label`; None where no field fits.

        A label that is a single value, as `data.py` gives it, belongs to the field of its kind
        that comes nearest to it: `price` and not `low` or `high`.
        """
        rows = [
            row
            for row in reference
            if isinstance(row.get("prediction"), dict) and row.get("label") is not None
        ]
        if not rows:
            return None
        first = rows[0]["prediction"]
        names = list(first)
        if isinstance(rows[0]["label"], dict):
            names = [name for name in names if name in rows[0]["label"]]
        best: tuple[float, str, Kind] | None = None
        for name in names:
            values = [(row["prediction"].get(name), _label(row["label"], name)) for row in rows]
            kind = _kind(values)
            if kind is None:
                continue
            distance = _distance(values, kind)
            if best is None or distance < best[0]:
                best = distance, name, kind
        if best is None:
            return None
        _, name, kind = best
        return cls(name, kind, _probability(rows, name) if kind == "flag" else None)

    def pairs(self, reference: Sequence[dict[str, Any]]) -> list[Pair]:
        """Return the predictions of reference rows with their ground truth."""
        return [
            (row["prediction"], {self.field: _label(row["label"], self.field)})
            for row in reference
            if isinstance(row.get("prediction"), dict) and row.get("label") is not None
        ]


def scores(pairs: Sequence[Pair], target: Target, *, seed: int = 0) -> list[Score]:
    """Return every metric of the target's kind that the rows allow.

    Rows without ground truth for the target do not count. Intervals are the percentiles of 300
    bootstrap resamples (Efron 1979).
    """
    y_pred, y_true, y_prob = _arrays(pairs, target)
    if not len(y_pred):
        return []
    if target.kind == "number":
        metrics = _regression_metrics()
    elif target.kind == "flag":
        metrics = _binary_metrics(y_true, y_prob)
    else:
        metrics = _multiclass_metrics()
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(y_pred), size=(RESAMPLES, len(y_pred)))
    return [
        _score(name, measure, (y_pred, y_true, y_prob), draws) for name, measure in metrics.items()
    ]


def mean_score(values: Sequence[float], *, seed: int = 0) -> Score | None:
    """Return the mean of the rewards or scores that came with the feedback."""
    if not values:
        return None
    array = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng(seed).integers(0, len(array), size=(RESAMPLES, len(array)))
    return _score("score", lambda scores, *_: float(scores.mean()), (array, array, array), draws)


def degraded_metrics(now: Sequence[Score], reference: Sequence[Score], margin: Margin) -> list[str]:
    """Return the judged metrics that are worse than on the reference, beyond chance and the margin.

    The tests are one-sided z tests of the difference over both standard errors, adjusted by Holm's
    method. Each metric is one line: `accuracy 0.61 (0.57 to 0.65), on the test rows 0.82`.
    """
    before = {score.metric: score for score in reference}
    judged = [
        (score, before[score.metric])
        for score in now
        if score.metric in JUDGED and score.metric in before and score.n >= margin.least_rows
    ]
    adjusted = holm_adjusted([_p_value(*pair) for pair in judged])
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


def _label(label: Any, name: str) -> Any:
    return label.get(name) if isinstance(label, dict) else label


def _kind(values: Sequence[tuple[Any, Any]]) -> Kind | None:
    known = ((p, t) for p, t in values if p is not None and t is not None)
    prediction, label = next(known, (None, None))
    if isinstance(prediction, bool):
        return "flag" if isinstance(label, bool) or label in (0, 1) else None
    if isinstance(prediction, str) or (isinstance(prediction, int) and isinstance(label, int)):
        return "label" if type(label) is type(prediction) else None
    if isinstance(prediction, float) and isinstance(label, int | float):
        return None if isinstance(label, bool) else "number"
    return None


def _distance(values: Sequence[tuple[Any, Any]], kind: Kind) -> float:
    """Return how far a field is from the label: below 1 for labels, from 1 up for numbers.

    A field of labels is therefore preferred to a field of numbers.
    """
    if kind != "number":
        return sum(category(p) != category(t) for p, t in values) / (2 * len(values))
    pairs = [(number(p), number(t)) for p, t in values]
    return 1 + math.fsum(abs(p - t) for p, t in pairs if p is not None and t is not None)


def _probability(rows: Sequence[dict[str, Any]], flag: str) -> str | None:
    """Return the field within 0 and 1 whose values are larger where the flag is true."""
    for name, value in rows[0]["prediction"].items():
        if not isinstance(value, float):
            continue
        sides: dict[bool, list[float]] = {True: [], False: []}
        for row in rows:
            found = number(row["prediction"].get(name))
            if found is None or not 0 <= found <= 1:
                break
            sides[bool(row["prediction"].get(flag))].append(found)
        else:
            if not all(sides.values()) or min(sides[True]) >= max(sides[False]):
                return str(name)
    return None


def _arrays(pairs: Sequence[Pair], target: Target) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `y_pred`, `y_true` and `y_prob`, the probability of the positive class, (rows,)."""
    predicted: list[Any] = []
    labels: list[Any] = []
    probabilities: list[float] = []
    for prediction, fields in pairs:
        value, label = prediction.get(target.field), fields.get(target.field)
        if target.kind == "number":
            value, label = number(value), number(label)
        elif target.kind == "flag":
            value, label = _flag(value), _flag(label)
        else:
            value, label = category(value), category(label)
        if value is None or label is None:
            continue
        predicted.append(value)
        labels.append(label)
        chance = number(prediction.get(target.probability)) if target.probability else None
        probabilities.append(math.nan if chance is None else chance)
    y_prob = np.array(probabilities)
    if target.kind == "label":
        # Integer codes, since 300 resamples of strings would each be sorted again, 1 ms each.
        _, codes = np.unique(np.array([*predicted, *labels], dtype=np.str_), return_inverse=True)
        return codes[: len(predicted)], codes[len(predicted) :], y_prob
    kind = np.float64 if target.kind == "number" else np.bool_
    return np.array(predicted, dtype=kind), np.array(labels, dtype=kind), y_prob


def _flag(value: Any) -> bool | None:
    return bool(value) if isinstance(value, bool) or value in (0, 1) else None


Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], float]
"""A metric of `y_pred`, `y_true` and `y_prob`, (rows,) each.

The metrics are NumPy and not scikit-learn because each is taken on 301 resamples: on 5,000 rows
scikit-learn 1.9 takes 5 times as long for ROC AUC, 13 times for macro F1 and 200 times for F1
(1.8 ms against 9 microseconds). tests/slipway/quality/test_performance.py compares the values.
"""


def _regression_metrics() -> dict[str, Measure]:
    return {
        "mae": lambda y_pred, y_true, _: float(np.abs(y_pred - y_true).mean()),
        "rmse": lambda y_pred, y_true, _: float(np.sqrt(((y_pred - y_true) ** 2).mean())),
        "bias": lambda y_pred, y_true, _: float((y_pred - y_true).mean()),
        "r2": _r2,
    }


def _binary_metrics(y_true: np.ndarray, y_prob: np.ndarray) -> dict[str, Measure]:
    found: dict[str, Measure] = {"accuracy": _accuracy}
    positive = int(y_true.sum())
    if min(positive, len(y_true) - positive) >= LEAST_OF_EACH:
        found["f1"] = lambda y_pred, y_true, _: _f1(y_pred, y_true)
    if np.isnan(y_prob).any():
        return found
    if min(positive, len(y_true) - positive) >= LEAST_OF_EACH:
        found["roc_auc"] = lambda _, y_true, y_prob: roc_auc(y_true, y_prob)
    found["brier"] = lambda _, y_true, y_prob: float(((y_prob - y_true) ** 2).mean())
    return found


def _multiclass_metrics() -> dict[str, Measure]:
    return {"accuracy": _accuracy, "macro_f1": _macro_f1}


def _accuracy(y_pred: np.ndarray, y_true: np.ndarray, _: np.ndarray) -> float:
    return float((y_pred == y_true).mean())


# F1, macro F1 and the area under the ROC curve are not scikit-learn's, since each is measured on
# hundreds of resamples: on 1,000 rows its F1 takes 1,988 microseconds instead of 3.8, and its area
# 2,154 instead of 118, mostly to validate the arrays. Two tests compare the values, see
# `test_metrics_agree_with_scikit_learn` and `test_numbers_and_labels_have_their_own_metrics` in
# tests/slipway/quality/test_performance.py.
def _f1(y_pred: np.ndarray, y_true: np.ndarray) -> float:
    hits = float((y_pred & y_true).sum())
    both = float(y_pred.sum() + y_true.sum())
    return 2 * hits / both if both else 0.0


def _macro_f1(y_pred: np.ndarray, y_true: np.ndarray, _: np.ndarray) -> float:
    labels = np.unique(y_true)
    return float(np.mean([_f1(y_pred == label, y_true == label) for label in labels]))


def _r2(y_pred: np.ndarray, y_true: np.ndarray, _: np.ndarray) -> float:
    spread = float(((y_true - y_true.mean()) ** 2).sum())
    return 1 - float(((y_pred - y_true) ** 2).sum()) / spread if spread else 0.0


def roc_auc(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """Return the area under the ROC curve by ranks, ties counted half; 0.5 with a single class."""
    from scipy.stats import rankdata

    positive = int(y_true.sum())
    negative = len(y_true) - positive
    if not positive or not negative:
        return 0.5
    ranks = rankdata(y_prob)
    return float((ranks[y_true].sum() - positive * (positive + 1) / 2) / (positive * negative))


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
        # Resamples of rows that are all right, or all wrong, have no spread; Wilson's interval has.
        low, high = wilson_interval(value, n)
        error = max(error, (high - low) / (2 * 1.96))
    return Score(
        metric=name,
        value=value,
        low=min(float(low), value),
        high=max(float(high), value),
        error=error,
        n=n,
    )


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share of `n` rows (Wilson 1927), within 0 and 1."""
    from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

    low, high = proportion_confint(round(share * n), n, alpha=1 - COVERAGE, method="wilson")
    return max(0.0, float(low)), min(1.0, float(high))

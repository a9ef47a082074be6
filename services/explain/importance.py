"""Global explanations: SHAP values over many rows, and partial dependence on one field."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.explain.subject import changed, explaining, mixing, numbers
from slipway.contract import Model, Record
from slipway.explain import Shapley
from slipway.explain.shapley import MAX_ROWS
from slipway.explain.shapley import SECONDS as SERVED_SECONDS

# Rows for each of many explanations: fewer than for a single one, since their mean counts.
MANY_ROWS = 4000
# Time limits for slow models. One explanation has that of the model server.
SECONDS = {MANY_ROWS: 0.3, MAX_ROWS: SERVED_SECONDS}
# Test rows that are explained at first.
ROWS = 60
POINTS = 12
# Rarer values are not used as the alternative in a sentence.
LEAST_SHARE = 0.05


@dataclass(frozen=True)
class Attributions:
    """SHAP values (rows, fields); `base` and the values of a row add up to its prediction."""

    fields: tuple[str, ...]
    records: list[Record]
    values: np.ndarray
    predictions: np.ndarray
    base: float

    def importance(self) -> list[tuple[str, float, float]]:
        """Return field, mean absolute SHAP value and standard error, the largest first."""
        sizes = np.abs(self.values)
        means = sizes.mean(axis=0)
        errors = sizes.std(axis=0, ddof=1) / np.sqrt(len(sizes))
        order = np.argsort(-means, kind="stable")
        return [(self.fields[at], float(means[at]), float(errors[at])) for at in order]

    def data(self) -> np.ndarray:
        """Return the records as numbers (rows, fields) for colours; other values by their rank."""
        return np.column_stack(
            [_as_numbers([getattr(each, name) for each in self.records]) for name in self.fields]
        )


def attributions(
    model: Model, number: str, background: Sequence[Record], records: list[Record]
) -> Attributions:
    """Return the SHAP values of records, computed row by row as in the model server.

    Raises:
        NotExplainable: a prediction has no such number.
    """
    shapley = shapley_of(model, number, background, most=MANY_ROWS)
    fields = tuple(model.input_type().model_fields)
    with mixing(model):
        found = [shapley.explain(record) for record in records]
    return Attributions(
        fields,
        records,
        np.array([[each.contributions[name] for name in fields] for each in found]),
        np.array([each.value for each in found]),
        float(np.mean([each.base for each in found])),
    )


def shapley_of(
    model: Model, number: str, background: Sequence[Record], *, most: int = MAX_ROWS
) -> Shapley:
    """Return an explainer that takes at most `most` rows per explanation, fewer if it is slow.

    With the default it is the model server's: the same reference rows and evaluations.
    """
    return Shapley.within_seconds(
        explaining(model, number), background, max_rows=most, seconds=SECONDS[most]
    )


@dataclass(frozen=True)
class Dependence:
    """Partial dependence: mean and middle 80 % of predictions with one field set to each value.

    Friedman (2001), "Greedy function approximation".
    """

    field: str
    values: list[Any]
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def dependence(model: Model, number: str, records: list[Record], field: str) -> Dependence:
    """Return the partial dependence of `number` on a field.

    Raises:
        NotExplainable: a prediction has no such number.
    """
    values = grid([getattr(each, field) for each in records])
    predicted = _predict_with(model, number, records, field, values)
    low, high = np.percentile(predicted, [10, 90], axis=1)
    return Dependence(field, values, predicted.mean(axis=1), low, high)


@dataclass(frozen=True)
class Contrast:
    """The mean prediction with another value of a field minus that with the usual value."""

    field: str
    usual: Any
    other: Any
    change: float


def contrast(model: Model, number: str, records: list[Record], field: str) -> Contrast | None:
    """Compare the usual value of a field with another one; None if no other value is common.

    For a number it is the median with the upper quartile, or with the lower one where none is
    above. Otherwise it is the most frequent value with one of at least 5 % of the rows, the one
    that changes the prediction most.
    """
    known = [getattr(each, field) for each in records]
    middle = usual(known)
    if is_number(known):
        numeric = np.array([value for value in known if value is not None])
        above = np.quantile(numeric, [0.75, 0.9, 1.0], method="lower").tolist()
        below = np.quantile(numeric, [0.25, 0.1, 0.0], method="higher").tolist()
        others = [value for value in above if value > middle][:1]
        others = others or [value for value in below if value < middle][:1]
    else:
        counts = Counter(map(_hashable, known))
        least = max(2.0, LEAST_SHARE * len(known))
        common = [value for value in grid(known) if counts[_hashable(value)] >= least]
        others = [value for value in common if value != middle] if middle in common else []
    if not others:
        return None
    means = _predict_with(model, number, records, field, [middle, *others]).mean(axis=1)
    best = int(np.argmax(np.abs(means[1:] - means[0])))
    return Contrast(field, middle, others[best], float(means[1 + best] - means[0]))


def _predict_with(
    model: Model, number: str, records: list[Record], field: str, values: list[Any]
) -> np.ndarray:
    """Return predictions (values, rows) with the field set to each value."""
    rows = [changed(each, {field: value}) for value in values for each in records]
    return numbers(model, number, rows).reshape(len(values), len(records))


def is_number(values: Sequence[Any]) -> bool:
    """Return whether all values but None are numbers."""
    known = [value for value in values if value is not None]
    return bool(known) and all(type(value) in (int, float) for value in known)


def usual(values: Sequence[Any]) -> Any:
    """Return the median of numbers, as one of them; else the most frequent value."""
    if is_number(values):
        numeric = np.array([value for value in values if value is not None])
        return np.quantile(numeric, 0.5, method="lower").item()
    first = {_hashable(value): value for value in reversed(values)}
    return first[Counter(map(_hashable, values)).most_common(1)[0][0]]


def grid(values: Sequence[Any]) -> list[Any]:
    """Return at most twelve values: quantiles of numbers that occur; else the most frequent."""
    if is_number(values):
        numeric = np.array([value for value in values if value is not None])
        found = np.unique(np.quantile(numeric, np.linspace(0.02, 0.98, POINTS), method="nearest"))
        return list(found.tolist())
    first = {_hashable(value): value for value in reversed(values)}
    return [first[name] for name, _ in Counter(map(_hashable, values)).most_common(POINTS)]


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bytes | None) else repr(value)


def _as_numbers(values: list[Any]) -> np.ndarray:
    if is_number(values):
        return np.array([np.nan if each is None else each for each in values], dtype=np.float64)
    order = {name: place for place, name in enumerate(sorted(set(map(repr, values))))}
    return np.array([order[repr(each)] for each in values], dtype=np.float64)

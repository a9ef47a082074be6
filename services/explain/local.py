"""One prediction explained by LIME: a linear model fitted to predictions near the record.

Ribeiro, Singh and Guestrin (2016), "Why should I trust you?". The library needs a table; here a
field is one column with the group of its value: a quartile of the reference for numbers, the value
itself otherwise. So any record can be explained, with missing values, texts or lists.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.explain.subject import changed, numbers
from slipway.contract import Model, Record
from slipway.quality.fairness import grouping

SAMPLES = 2000
OWN = "as sent"
# `grouping` pools rare values under this name, so two values of it may differ.
POOLED = "other"


@dataclass(frozen=True)
class Lime:
    """`weights`: how much higher the prediction is with the field as sent, the largest first."""

    weights: dict[str, float]
    fit: float
    """R2 of the linear model, weighted by the distance from the record."""


def lime(
    model: Model,
    number: str,
    background: Sequence[Record],
    record: Record,
    *,
    samples: int | None = None,
    seed: int = 0,
) -> Lime:
    """Explain the prediction of one record; equal records get equal explanations.

    Raises:
        NotExplainable: a prediction has no such number.
    """
    from lime.lime_tabular import LimeTabularExplainer  # type: ignore[import-untyped]

    columns = [_Column.grouped(name, background, record) for name in type(record).model_fields]
    names = [column.field for column in columns]
    rng = np.random.default_rng(seed)

    def predict(codes: np.ndarray) -> np.ndarray:
        rows = []
        for row in codes.astype(int):
            other = [(column, code) for column, code in zip(columns, row, strict=True) if code]
            drawn = {column.field: column.draw(code, rng) for column, code in other}
            rows.append(changed(record, drawn))
        return numbers(model, number, rows)

    codes = np.column_stack([column.codes for column in columns])
    # LIME draws each code by its frequency; these rows keep a rare own value frequent enough.
    own = np.zeros((len(codes) // 4 + 1, len(columns)), dtype=codes.dtype)
    explainer = LimeTabularExplainer(
        np.concatenate([codes, own]),
        mode="regression",
        feature_names=names,
        categorical_features=list(range(len(columns))),
        discretize_continuous=False,
        feature_selection="none",
        random_state=seed,
    )
    found = explainer.explain_instance(
        np.zeros(len(columns)), predict, num_features=len(columns), num_samples=samples or SAMPLES
    )
    weights = {names[place]: float(weight) for place, weight in found.as_map()[1]}
    ordered = sorted(weights, key=lambda name: -abs(weights[name]))
    return Lime({name: weights[name] for name in ordered}, float(found.score))


@dataclass(frozen=True)
class _Column:
    """A field's groups: 0 is the record's own, the others are those of the background."""

    field: str
    codes: np.ndarray
    pools: list[list[Any]]

    @classmethod
    def grouped(cls, field: str, background: Sequence[Record], record: Record) -> "_Column":
        values, own = [getattr(row, field) for row in background], getattr(record, field)
        group = grouping(values)
        label = _labels(group, own)
        labels = [label(value) for value in values]
        order = [OWN, *sorted(set(labels) - {OWN})]
        labelled = list(zip(values, labels, strict=True))
        pools = [[value for value, assigned in labelled if assigned == name] for name in order]
        return cls(field, np.array([order.index(name) for name in labels]), pools)

    def draw(self, code: int, rng: np.random.Generator) -> Any:
        pool = self.pools[code]
        return pool[rng.integers(len(pool))]


def _labels(group: Callable[[Any], str], own: Any) -> Callable[[Any], str]:
    name = group(own)

    def label(value: Any) -> str:
        found = group(value)
        return OWN if value == own or (found == name and name != POOLED) else found

    return label

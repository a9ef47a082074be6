"""Predictions of one class among several."""

import re
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field

from slipway.contract import Record

# Characters with a meaning in JSON schema's regular expressions; `re.escape` escapes more than
# those of ECMAScript's Unicode mode.
SPECIAL = re.compile(r"([\\^$.|?*+()\[\]{}])")


class ClassRecord(Record):
    """The most probable label of one record.

    A subclass names the labels in the order of the network's outputs:
    `class Category(ClassRecord, labels=LABELS)`.
    """

    labels: ClassVar[tuple[str, ...]] = ()

    label: str
    probability: float = Field(ge=0, le=1, description="Probability of `label`")
    probabilities: dict[str, float] = Field(description="Probability of every label; they sum to 1")

    def __init_subclass__(cls, *, labels: tuple[str, ...] = ()) -> None:
        super().__init_subclass__()
        if labels:
            cls.labels = tuple(labels)
            pattern = "|".join(SPECIAL.sub(r"\\\1", label) for label in labels)
            field = Annotated[str, Field(pattern=f"^({pattern})$")]
            cls.__annotations__ = {**cls.__annotations__, "label": field}

    @classmethod
    def from_probabilities(cls, probabilities: np.ndarray) -> list[Self]:
        """Return predictions, given the probabilities of the labels (rows, labels)."""
        best = probabilities.argmax(axis=1).tolist()
        return [
            cls(
                label=cls.labels[place],
                probability=row[place],
                probabilities=dict(zip(cls.labels, row, strict=True)),
            )
            for row, place in zip(probabilities.tolist(), best, strict=True)
        ]

    @classmethod
    def to_probabilities(cls, predictions: list[Self]) -> np.ndarray:
        """Return the probabilities (rows, labels) that the predictions state."""
        rows = [[each.probabilities[label] for label in cls.labels] for each in predictions]
        return np.array(rows, dtype=np.float64).reshape(-1, len(cls.labels))

    @classmethod
    def numbers(cls, labels: list[str]) -> np.ndarray:
        """Return the position of each label (rows,) in `labels`.

        Raises:
            ValueError: a label is unknown.
        """
        places = {label: place for place, label in enumerate(cls.labels)}
        if unknown := sorted(set(labels) - places.keys()):
            raise ValueError(f"{cls.__name__} has no label {unknown[0]!r}")
        return np.array([places[label] for label in labels], dtype=np.int64)

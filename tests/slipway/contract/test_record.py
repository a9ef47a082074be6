"""Records built from columns."""

import numpy as np
import pytest
from pydantic import Field, ValidationError

from slipway.contract import Record


class Prediction(Record):
    probability: float = Field(ge=0, le=1)
    kind: str
    hours: list[float] = Field(default=[])


def test_columns_become_one_record_per_row() -> None:
    probability, kind = np.array([0.25, 1.0]), np.array(["a", "b"])
    hours = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert Prediction.from_columns(probability=probability, kind=kind, hours=hours) == [
        Prediction(probability=0.25, kind="a", hours=[1.0, 2.0]),
        Prediction(probability=1.0, kind="b", hours=[3.0, 4.0]),
    ]


def test_no_rows_are_no_records() -> None:
    assert Prediction.from_columns(probability=np.array([]), kind=np.array([], dtype=str)) == []


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Prediction.from_columns(probability=np.array([0.5, 0.5]), kind=np.array(["a"]))


def test_a_value_out_of_its_range_is_refused_by_its_name() -> None:
    with pytest.raises(ValidationError, match="probability"):
        Prediction.from_columns(probability=np.array([0.5, 1.5]), kind=np.array(["a", "b"]))

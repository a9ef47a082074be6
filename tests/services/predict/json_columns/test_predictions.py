"""Columns that a model predicts become its response only where its records would give the same."""

import json
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, create_model

from services.predict import engine
from services.predict.engine import Engine
from services.predict.json_columns.fields import fields_of
from services.predict.json_columns.writer import RowWriter
from slipway.contract import Model, Record
from tests.services.predict.json_columns.record_types import Columns, echo, record_type

BODY = b'[{"number": 1.5}, {"number": 2.5}]'
Number = record_type(["number"])


@pytest.fixture(autouse=True)
def _small_batches_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "COLUMN_BYTES", 0)


def used(columns: Columns, output: Any = None) -> bool:
    """Return whether batches are predicted by columns, compared on one example."""
    served = Engine(echo(Number, columns, output), batch_rows=10)
    served.use_columns([{"number": 1.5}])
    return served._column_path is not None


def test_a_model_whose_methods_agree_uses_columns() -> None:
    assert used(dict)
    # Rounded to float32 and back is another number than the record's, unless it is exact.
    assert used(lambda sent: {"number": sent["number"].astype(np.float32)})


@pytest.mark.parametrize(
    "columns",
    [
        lambda sent: {"number": sent["number"] + 1},
        lambda sent: {"other": sent["number"]},
        lambda sent: {"number": sent["number"].astype(int)},
        lambda sent: {"number": sent["number"][:, None]},
        lambda sent: {"number": sent["number"].tolist()},
        lambda sent: {"number": sent["number"].astype(np.longdouble)},
        lambda sent: {"number": np.full(len(sent["number"]), np.nan)},
        lambda sent: {"number": sent["missing"]},
        lambda sent: None,
    ],
)
def test_a_model_whose_methods_differ_does_not(columns: Columns) -> None:
    assert not used(columns)


def test_a_model_without_examples_does_not() -> None:
    served = Engine(echo(Number), batch_rows=10)
    served.use_columns([])
    assert served._column_path is None


def test_a_model_with_monitoring_features_does_not() -> None:
    model = echo(Number)

    class Watched(type(model)):  # type: ignore[misc]
        def monitoring_features(
            self, records: list[Any], predictions: list[Any]
        ) -> dict[str, np.ndarray]:
            return {"number": np.array([each.number for each in records])}

    served = Engine(Watched(), batch_rows=10)
    served.use_columns([{"number": 1.5}])
    assert served._column_path is None


def test_a_model_without_columns_does_not() -> None:
    class Plain(Model):
        def predict(self, model_input: list[Number]) -> list[Number]:  # type: ignore[valid-type]
            return model_input

    served = Engine(Plain(), batch_rows=10)
    served.use_columns([{"number": 1.5}])
    assert served._column_path is None


def failing(sent: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if len(sent["number"]) > 1:
        raise ValueError("only one")
    return sent


@pytest.mark.parametrize(
    "columns",
    [
        failing,
        lambda sent: {"number": sent["number"][:1]},
        lambda sent: {"number": np.where(sent["number"] > 2, np.inf, sent["number"])},
    ],
)
def test_a_batch_whose_columns_fail_is_predicted_by_record(
    columns: Columns, caplog: pytest.LogCaptureFixture
) -> None:
    served = Engine(echo(Number, columns), batch_rows=10)
    served.use_columns([{"number": 1.5}])
    assert served._column_path is not None
    for _ in range(2):
        assert json.loads(served.predict(BODY).predictions) == json.loads(BODY)
    assert [each.message for each in caplog.records if "predict_columns" in each.message] == (
        ["predict_columns failed; the batch is predicted by record"] if columns is failing else []
    )


def test_a_prediction_out_of_its_bounds_fails_as_a_record() -> None:
    share = create_model("Share", __base__=Record, number=(Annotated[float, Field(le=2)], ...))
    served = Engine(echo(Number, dict, share), batch_rows=10)
    served.use_columns([{"number": 1.5}])
    assert served._column_path is not None
    with pytest.raises(ValueError, match="less than or equal to 2"):
        served.predict(BODY)


ARRAYS = {
    "number": (float, st.floats(allow_nan=False, allow_infinity=False)),
    "single": (float, st.floats(allow_nan=False, allow_infinity=False, width=32)),
    "whole": (int, st.integers(-(2**63), 2**63 - 1)),
    "flag": (bool, st.booleans()),
    "text": (str, st.text(st.characters(codec="utf-8"))),
}
DTYPES = {"single": np.float32, "text": object}


@settings(max_examples=200, deadline=None)
@given(st.data(), st.lists(st.sampled_from(sorted(ARRAYS)), min_size=1, unique=True))
def test_columns_are_written_like_records(data: st.DataObject, names: list[str]) -> None:
    rows = data.draw(st.integers(1, 5))
    fields: dict[str, Any] = {name: (ARRAYS[name][0], ...) for name in names}
    kind = create_model("Row", __base__=Record, **fields)
    columns: dict[str, np.ndarray] = {
        name: np.array(
            data.draw(st.lists(ARRAYS[name][1], min_size=rows, max_size=rows)),
            dtype=DTYPES.get(name, ARRAYS[name][0]),
        )
        for name in names
    }
    records = kind.from_columns(**columns)
    wanted = Engine(echo(kind), batch_rows=10).serialize(records, rows)
    assert RowWriter(fields_of(kind)).write(columns, rows) == wanted

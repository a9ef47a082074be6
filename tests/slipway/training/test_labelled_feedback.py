"""Labelled rows from feedback, and how they join a project's splits."""

import json
import time
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from slipway.contract import Model, Record
from slipway.predictions.compact import compact
from slipway.predictions.feedback_store import FeedbackStore
from slipway.predictions.record import line
from slipway.predictions.writer import PredictionLog
from slipway.project import find
from slipway.stages.extend import extend
from slipway.training import labelled_rows
from slipway.training.labelled import FeedbackUse, Label, Unsuitable, collect, held_out, write
from slipway.training.workspace import Workspace


class House(Record):
    area: float = Field(gt=0)
    picture: bytes | None = None


class Price(Record):
    price: float = Field(gt=0)
    low: float = Field(gt=0)
    cheap: bool = False


class Prices(Model):
    def predict(self, model_input: list[House]) -> list[Price]:
        return [Price(price=each.area, low=each.area) for each in model_input]


def data_module(kind: Any) -> types.ModuleType:
    """Return a module like a project's data.py, whose labels are of this type."""
    module = types.ModuleType("data")

    def splits(dataset: Any) -> dict[str, Iterable[tuple[House, kind]]]:  # type: ignore[valid-type]
        return {}

    splits.__annotations__["return"] = dict[str, Iterable[tuple[House, kind]]]
    module.splits = splits  # type: ignore[attr-defined]
    return module


def test_the_label_is_the_first_field_of_the_labels_type() -> None:
    label = Label.from_types(Prices(), data_module(float), None)
    assert label.name == "price"
    # Whole numbers are numbers: what is trained on is of the type that data.splits yields.
    assert label.read({"price": 3}) == 3.0
    assert isinstance(label.read({"price": 3}), float)
    for bad in (-1.0, "3", True):
        with pytest.raises(ValidationError):
            label.read({"price": bad})
    assert Label.from_types(Prices(), data_module(float), "low").name == "low"
    assert Label.from_types(Prices(), data_module(bool), None).name == "cheap"
    with pytest.raises(Unsuitable, match="feedback.label: 'cheap' is not a field of type float"):
        Label.from_types(Prices(), data_module(float), "cheap")
    with pytest.raises(Unsuitable, match="the prediction has no field of type str"):
        Label.from_types(Prices(), data_module(str), None)
    with pytest.raises(Unsuitable, match="only bool, int, float, str, records and lists of recor"):
        Label.from_types(Prices(), data_module(dict[str, float]), None)


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    return PredictionLog(tmp_path, segment_bytes=2**20)


def log_prediction(log: PredictionLog, inputs: Any, *, rows: int = 1, **more: Any) -> str:
    id = log.next_id()
    outputs = [{"price": 1.0, "low": 0.5, "cheap": False}] * rows
    defaults = {"project": "houses", "version": "1", "digest": "ab" * 32, "variant": "champion"}
    assert log.append(
        line(
            id=id,
            inputs=json.dumps(inputs).encode(),
            outputs=json.dumps(outputs).encode(),
            seconds=0.001,
            **{**defaults, **more},
        )
    )
    return id


def collect_houses(folder: Path, *, now: float | None = None, **use: Any) -> Any:
    label = Label.from_types(Prices(), data_module(float), None)
    return collect(
        folder, "houses", Prices(), label, FeedbackUse(**use), now=now or time.time() + 60
    )


def test_each_row_is_joined_once_with_its_latest_label(tmp_path: Path, log: PredictionLog) -> None:
    batch = log_prediction(
        log, [{"area": 1.0}, {"area": 2.0, "picture": "aGk="}, {"area": 3.0}], rows=3
    )
    single = log_prediction(log, {"area": 4.0})
    shadow = log_prediction(log, {"area": 4.0}, variant="shadow", of=single)
    other = log_prediction(log, {"area": 5.0}, project="flats")
    long = log_prediction(log, {"area": 6.0, "picture": "x" * 200}, input_bytes=100)
    store = FeedbackStore(tmp_path)
    store.attach(id=batch, row=0, label={"price": 10.0})
    store.attach(id=batch, row=1, label={"price": 20.0})
    store.attach(id=batch, row=1, label={"price": 21.0})
    store.attach(id=batch, row=2, reward=0.5)
    store.attach(id=single, label={"price": 40.0})
    store.attach(id=shadow, label={"price": 40.0})
    store.attach(id=other, label={"price": 50.0})
    store.attach(id=long, label={"price": 60.0})
    log.close()
    found = collect_houses(tmp_path)
    assert [(house.area, price) for house, price in found.train] == [
        *((1.0, 10.0), (2.0, 21.0), (4.0, 40.0))
    ]
    assert found.train[1][0].picture == b"hi"
    counts = {name: count for name, count in vars(found.counts).items() if count}
    expected = {"labels": 6, "used": 3, "revised": 1, "repeated": 1, "no_label": 1, "no_input": 1}
    assert counts == expected
    # The written rows are read back like those of `prepare`.
    assert write(found, tmp_path / "rows")
    back = labelled_rows.read(tmp_path / "rows" / "train.parquet", House)
    assert list(back) == found.train
    first = (tmp_path / "rows" / "train.parquet").read_bytes()
    # After the log moved to Parquet, the same feedback gives the same bytes: the same data version.
    compact(tmp_path)
    assert write(collect_houses(tmp_path), tmp_path / "again")
    assert (tmp_path / "again" / "train.parquet").read_bytes() == first


def test_nothing_is_trained_from_a_demo(tmp_path: Path, log: PredictionLog) -> None:
    """Nor from what the shadow predicted for its requests, whose records have no purpose."""
    own = log_prediction(log, {"area": 1.0})
    demo = log_prediction(log, {"area": 2.0}, purpose="demo")
    shadow = log_prediction(log, {"area": 2.0}, variant="shadow", of=demo)
    alone = log_prediction(log, {"area": 3.0}, purpose="demo")
    store = FeedbackStore(tmp_path)
    for id in (own, demo, shadow, alone):
        store.attach(id=id, label={"price": 10.0})
    log.close()
    for _ in range(2):
        found = collect_houses(tmp_path)
        assert [(house.area, price) for house, price in found.train] == [(1.0, 10.0)]
        assert (found.counts.labels, found.counts.used, found.counts.demo) == (4, 1, 2)
        compact(tmp_path)


def test_of_two_labels_for_one_prediction_the_later_one_counts(
    tmp_path: Path, log: PredictionLog
) -> None:
    """Whichever of the two predictions was logged first."""
    store = FeedbackStore(tmp_path)
    for order in ((0, 1), (1, 0)):
        champion = log_prediction(log, {"area": 1.0})
        both = [champion, log_prediction(log, {"area": 1.0}, variant="shadow", of=champion)]
        for price, place in enumerate(order, start=1):
            store.attach(id=both[place], label={"price": float(price)})
            time.sleep(0.002)
    log.close()
    found = collect_houses(tmp_path)
    assert [price for _, price in found.train] == [2.0, 2.0]
    assert found.counts.conflicting == 2


def test_time_window_row_limit_and_missing_records(tmp_path: Path, log: PredictionLog) -> None:
    ids = [log_prediction(log, {"area": float(n + 1)}) for n in range(10)]
    store = FeedbackStore(tmp_path)
    for id in ids:
        store.attach(id=id, label={"price": 1.0})
    log.close()
    assert len(collect_houses(tmp_path).train) == 10
    newest = collect_houses(tmp_path, rows=3)
    assert [house.area for house, _ in newest.train] == [8.0, 9.0, 10.0]
    assert collect_houses(tmp_path, days=1, now=time.time() + 2 * 86_400).counts.labels == 0
    for file in tmp_path.glob("*"):
        if not file.name.startswith("feedback.db"):
            file.unlink()
    gone = collect_houses(tmp_path)
    assert (gone.counts.labels, gone.counts.used, gone.counts.no_record) == (10, 0, 10)
    assert not write(gone, tmp_path / "rows")
    assert collect_houses(tmp_path / "nowhere").counts.labels == 0


@given(st.uuids(), st.integers(0, 50), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_held_out_row_stays_held_out(id: Any, row: int, less: float, more: float) -> None:
    less, more = sorted((less, more))
    assert not held_out(str(id), row, share=0.0)
    if held_out(str(id), row, share=less):
        assert held_out(str(id), row, share=more)


def test_the_held_out_share_is_the_requested_one() -> None:
    # 10,000 draws at 0.2: five standard deviations are 0.02.
    share = sum(held_out(f"id{n}", 0, share=0.2) for n in range(10_000)) / 10_000
    assert abs(share - 0.2) < 0.02


def test_no_row_is_trained_on_and_tested_on(tmp_path: Path) -> None:
    work = Workspace.tiny(find("titanic"), tmp_path)
    passenger = work.project.model().input_type()

    def rows(*fares: float) -> list[tuple[Any, bool]]:
        fields = {"name": "x", "sex": "male", "passenger_class": 1}
        fields |= {"siblings_spouses": 0, "parents_children": 0}
        return [(passenger(**fields, fare=fare), True) for fare in fares]

    work.data.mkdir(parents=True)
    feedback = tmp_path / "feedback"
    feedback.mkdir()
    labelled_rows.write(rows(1, 2), work.data / "train.parquet")
    labelled_rows.write(rows(3, 4), work.data / "test.parquet")
    labelled_rows.write(rows(2, 3, 5, 6), feedback / "train.parquet")
    labelled_rows.write(rows(1, 4, 6, 7), feedback / "test.parquet")
    counts = extend(work, feedback)

    def fares(name: str) -> list[float]:
        return [each.fare for each in labelled_rows.read(work.data / name, passenger).records]

    assert fares("train.parquet") == [1, 2, 2, 5]
    assert fares("test.parquet") == [3, 4, 6, 7]
    assert vars(counts) == {"train": 2, "test": 2, "in_test": 2, "in_train": 1}
    wrong = [(record, "yes") for record, _ in rows(9)]
    labelled_rows.write(wrong, feedback / "train.parquet")
    with pytest.raises(ValueError, match="labels of the feedback are str, of the training rows bo"):
        extend(work, feedback)

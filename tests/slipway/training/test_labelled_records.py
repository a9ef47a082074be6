"""Ground truth that is a record or a list of records, from feedback to training rows."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from slipway.contract import Model, Record
from slipway.media import Box, Image
from slipway.predictions.feedback_store import FeedbackStore
from slipway.predictions.record import line
from slipway.predictions.writer import PredictionLog
from slipway.training import labelled_rows
from slipway.training.labelled import FeedbackUse, Label, Unsuitable, collect, write
from tests.slipway.training.test_labelled_feedback import data_module


class Note(Record):
    text: str
    image: Annotated[bytes | None, Image()] = None


class Reading(Record):
    boxes: list[Box]
    text: str | None = None
    scores: list[float] = Field(default=[])
    confidence: float = Field(ge=0, le=1)


class Truth(Record):
    """A part of the prediction's fields."""

    text: str
    boxes: list[Box]


class Alien(Record):
    text: int


class Reader(Model):
    def predict(self, model_input: list[Note]) -> list[Reading]:
        return [Reading(boxes=[], confidence=1.0) for _ in model_input]


BOX = {"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0, "label": "cat", "score": 1.0}


def label_of(kind: Any, name: str | None = None) -> Label:
    return Label.from_types(Reader(), data_module(kind), name)


def test_a_record_label_is_one_field_or_all_of_a_feedback() -> None:
    boxes = label_of(list[Box])
    assert boxes.name == "boxes"
    assert boxes.read({"boxes": [BOX]}) == [Box(**BOX)]
    assert boxes.value({"text": "x"}) is None
    whole = label_of(Truth)
    assert whole.name is None
    assert whole.read({"text": "a", "boxes": [BOX]}) == Truth(text="a", boxes=[Box(**BOX)])
    for bad in ({"text": "a"}, {"text": "a", "boxes": [{**BOX, "x1": "left"}]}):
        with pytest.raises(ValidationError):
            whole.read(bad)
    # A list of numbers is not a number.
    assert label_of(float).name == "confidence"


def test_labels_without_a_place_in_the_prediction_are_refused() -> None:
    with pytest.raises(Unsuitable, match="the prediction has no field of type Alien"):
        label_of(Alien)
    with pytest.raises(Unsuitable, match="'text' is not a field of type list"):
        label_of(list[Box], "text")


def log_reading(log: PredictionLog, inputs: Any, **more: Any) -> str:
    id = log.next_id()
    assert log.append(
        line(
            id=id,
            project="notes",
            version="1",
            digest="ab" * 32,
            variant="champion",
            inputs=json.dumps(inputs).encode(),
            outputs=json.dumps([{"boxes": [], "text": "b", "confidence": 0.5}]).encode(),
            seconds=0.001,
            **more,
        )
    )
    return id


def test_record_labels_become_training_rows(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, segment_bytes=2**20)
    id = log_reading(log, {"text": "one"})
    partial = log_reading(log, {"text": "two"})
    # Of a picture only facts are on record, so its label cannot be trained on.
    facts = {"text": "three", "image": {"sha256": "ab" * 32, "bytes": 9}}
    pictured = log_reading(log, facts, inputs_sha256="cd" * 32)
    store = FeedbackStore(tmp_path)
    label = {"text": "a", "boxes": [BOX]}
    assert store.attach(id=id, label=label).score == 0.0
    store.attach(id=pictured, label=label)
    store.attach(id=partial, label={"text": "a"})
    log.close()
    found = collect(
        tmp_path, "notes", Reader(), label_of(Truth), FeedbackUse(), now=time.time() + 60
    )
    assert found.train == [(Note(text="one"), Truth(text="a", boxes=[Box(**BOX)]))]
    counts = {name: count for name, count in vars(found.counts).items() if count}
    assert counts == {"labels": 3, "used": 1, "no_input": 1, "bad_label": 1}
    assert write(found, tmp_path / "rows")
    back = labelled_rows.read(tmp_path / "rows" / "train.parquet", Note)
    assert list(back) == found.train

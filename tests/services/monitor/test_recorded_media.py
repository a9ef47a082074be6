"""Predictions for pictures: what is on record, and how the monitor watches them."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.monitor.rounds import Monitor
from services.predict.engine import Engine
from slipway.contract import Model
from slipway.media import decode_image, encode_png
from slipway.predictions import reader
from slipway.predictions.record import PredictionRecord
from tests.services import monitored_project
from tests.services.fake_models import ModelRegistryFixture, Server
from tests.services.monitor import photo_data
from tests.services.monitor.monitor_fixture import ROWS, fake_models, log_folder, settings

__all__ = ["fake_models"]

NAME = photo_data.NAME


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return photo_data.engine(tmp_path / "model")


def body_of(records: Any) -> bytes:
    return json.dumps(records).encode()


def test_a_summary_holds_facts_and_features(engine: Engine) -> None:
    [sent] = photo_data.photos(1, seed=3, lighter=120)
    state = base64.b64encode(b"turn one").decode()
    body = body_of({**sent, "note": "night", "chat": state})
    summary = engine.predict(body).summary
    assert summary is not None
    [kept], [found] = json.loads(summary.inputs or b""), json.loads(summary.outputs or b"")
    picture = base64.b64decode(sent["image"])
    assert kept["image"]["sha256"] == hashlib.sha256(picture).hexdigest()
    assert kept["image"]["brightness"] == pytest.approx(
        decode_image(picture).mean() / 255, abs=0.01
    )
    assert (
        kept["chat"].items()
        >= {"bytes": 8, "sha256": hashlib.sha256(b"turn one").hexdigest()}.items()
    )
    assert kept["note"] == "night"
    assert summary.inputs_sha256 == hashlib.sha256(body).hexdigest()
    assert (found["boxes"]["count"], len(found["boxes"]["first"])) == (500, 200)
    assert (found["small"]["width"], found["small"]["media_type"]) == (8, "image/png")
    assert json.loads(summary.features or b"")["sharpness"][0] > 10


def test_requests_that_share_a_call_have_their_own_summaries(engine: Engine) -> None:
    bodies = [body_of(photo_data.photos(rows, seed=rows)) for rows in (1, 3)]
    bodies.insert(1, b'{"image": "no picture"}')
    alone = [engine.predict(body) for body in (bodies[0], bodies[2])]
    first, refused, second = engine.predict_together(bodies)
    assert getattr(refused, "status", None) == 422
    for each, expected in zip((first, second), alone, strict=True):
        assert each.summary == expected.summary  # type: ignore[union-attr]


def test_features_that_fail_leave_the_prediction(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Model, *_: Any) -> dict[str, Any]:
        return {"sharpness": np.zeros(7)}

    monkeypatch.setattr(type(engine.model), "monitoring_features", broken)
    response = engine.predict(body_of(photo_data.photos(2, seed=1)))
    assert response.rows == 2
    assert response.summary is not None
    assert response.summary.features is None


def test_large_pictures_are_on_record_and_watched(
    engine: Engine, fake_models: ModelRegistryFixture
) -> None:
    monitored_project.register(
        fake_models,
        photo_data.reference_rows(engine, 600),
        name=NAME,
        code=photo_data.CODE,
        example=photo_data.example(engine),
    )
    monitor = Monitor(settings())
    with fake_models.serving(log_thumbnails=True) as server:
        post(server, photo_data.photos(ROWS - 1, seed=2))
        large = np.random.default_rng(1).normal(100, 30, (1100, 1000, 3)).clip(0, 255)
        picture = encode_png(large.astype(np.uint8))
        assert len(picture) > 3_000_000
        sent = {"image": base64.b64encode(picture).decode()}
        id = post(server, sent)["id"]
        check = monitor.check(NAME)
        assert [(each.rows, each.unreadable) for each in check.windows] == [(ROWS, 0)] * 2
        assert not check.drift_alarm, check.drift_summary()
        fields = {each.field for each in check.windows[0].fields}
        assert fields >= {"image:brightness", "prediction.boxes:count", "feature.sharpness"}
        post(server, photo_data.photos(ROWS, seed=4, lighter=25))
        check = monitor.check(NAME)
    drifted = {each.field for window in check.windows for each in window.drifted}
    assert drifted >= {"image:brightness", "prediction.boxes:count"}
    assert "feature.sharpness" not in drifted
    record = reader.find(log_folder(fake_models), id)
    assert record is not None
    PredictionRecord.model_validate(record)
    assert record["inputs_sha256"] is not None
    image = record["inputs"][0]["image"]
    facts = (image["sha256"], image["bytes"], image["width"], image["height"])
    assert facts == (hashlib.sha256(picture).hexdigest(), len(picture), 1000, 1100)
    assert max(decode_image(base64.b64decode(image["thumbnail"])).shape) == 64
    assert len(json.dumps(record)) < 50_000


def post(server: Server, sent: Any) -> Any:
    response = server.client.post(f"/v1/models/{NAME}/predict", json=sent)
    assert response.status_code == 200, response.text
    return response.json()

"""A served model gets large JSON batches as columns, and its callers see no difference."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from services.predict.engine import COLUMN_BYTES
from tests.services.fake_models import ModelRegistryFixture, Server

ROWS = 2000
# By record it fails where no large batch may come: only a batch by columns is predicted there.
MODEL = '''
"""Is this a price?"""

import numpy as np
from pydantic import Field

from slipway.contract import Model, Record, publish


class Item(Record):
    number: float = Field(ge=0, le=5000)
    kind: str = Field(pattern="^[a-z]+$")
    pieces: int | None = None


class Price(Record):
    price: float
    kind: str


class Prices(Model):
    def predict(self, model_input: list[Item]) -> list[Price]:
        if len(model_input) > 1000 and all(each.pieces for each in model_input):
            raise ValueError("by record")
        return [Price(price=each.number / 3, kind=each.kind) for each in model_input]

    def predict_columns(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"price": columns["number"] / 3, "kind": columns["kind"]}


publish(Prices())
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("prices"))
    item = {"number": 1.0, "kind": "tea", "pieces": 1}
    registry.add(
        "prices", MODEL, example={"input": item, "output": {"price": 0.333, "kind": "tea"}}
    )
    with registry.serving() as running:
        yield running


def items() -> list[dict[str, Any]]:
    return [{"number": n / 7, "kind": "tea", "pieces": 1 + n} for n in range(ROWS)]


def test_a_large_batch_is_predicted_by_columns(server: Server) -> None:
    sent = items()
    assert len(json.dumps(sent)) > COLUMN_BYTES
    response = server.client.post("/v1/models/prices/predict", json=sent)
    assert response.status_code == 200, response.text
    wanted = [{"price": each["number"] / 3, "kind": "tea"} for each in sent]
    assert response.json()["predictions"] == wanted
    record = {"id": response.json()["id"], "row": ROWS - 1, "label": {"price": 1.0}}
    assert server.client.post("/v1/feedback", json=record).status_code == 201


def test_a_batch_with_an_unknown_value_is_predicted_by_record(server: Server) -> None:
    sent = items()
    sent[-1]["pieces"] = None
    response = server.client.post("/v1/models/prices/predict", json=sent)
    assert response.status_code == 200, response.text
    assert len(response.json()["predictions"]) == ROWS


def test_a_refusal_names_the_record_and_the_field(server: Server) -> None:
    sent = items()
    sent[1234]["kind"] = "Tea"
    response = server.client.post("/v1/models/prices/predict", json=sent)
    assert response.status_code == 422
    assert "1234.kind" in response.json()["detail"]

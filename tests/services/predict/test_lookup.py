"""Requests that name an entity and leave its features to the feature store."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.predict.loaded_model import LoadedModel
from services.predict.lookup import WAITS, Lookups
from services.predict.settings import Settings
from services.predict.snapshot import Profile, Version
from services.web.problem import Problem
from slipway import home
from slipway.contract import Lookup
from slipway.features import offline, places
from slipway.features.materialize import materialize
from slipway.predictions import reader
from tests.services.fake_models import ModelRegistryFixture, Server, echo
from tests.slipway.features.feature_repository import FeatureRepository, made_up, served
from tests.slipway.features.test_features import MOMENT, customers
from tests.slipway.features.test_redis import Server as Redis
from tests.waiting import PATIENCE, until

CODE = '''
"""Does this customer come back?"""

from slipway.contract import Lookup, Model, Record, publish


class Customer(Record):
    orders: int
    orders_90d: int
    spent: float
    spent_90d: float
    abroad: bool
    returns: int
    products: int
    days_since_purchase: float
    days_known: float
    days_between_orders: float | None = None
    average_order: float
    items_per_order: float
    lines_per_order: float
    return_share: float
    day_of_year: int


class FeedbackRecord(Record):
    orders: int
    spent: float


class Loyal(Model):
    looked_up = Lookup(entity="customer_id", service="repurchase")

    def predict(self, model_input: list[Customer]) -> list[FeedbackRecord]:
        return [FeedbackRecord(orders=each.orders, spent=each.spent) for each in model_input]


publish(Loyal())
'''


class Store:
    """A filled Redis, the repository that it is filled from, and a model server that reads it."""

    def __init__(
        self,
        server: Server,
        fake_models: ModelRegistryFixture,
        redis: Redis,
        feature_repository: FeatureRepository,
    ) -> None:
        self.server, self.fake_models, self.redis, self.feature_repository = (
            server,
            fake_models,
            redis,
            feature_repository,
        )

    def predict(self, body: object):
        return self.server.client.post("/v1/models/loyal/predict", json=body)

    def features(self, customer: int) -> dict[str, object]:
        features = served(self.feature_repository.lines, customer, MOMENT)
        assert features is not None
        return features

    @property
    def known(self) -> list[int]:
        lines = self.feature_repository.lines
        return [key for key in customers(lines) if served(lines, key, MOMENT)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    patch = pytest.MonkeyPatch()
    redis = Redis(tmp_path_factory.mktemp("redis"))
    redis.start()
    fake_models = ModelRegistryFixture(tmp_path_factory.mktemp("fake_models"))
    feature_repository = FeatureRepository(tmp_path_factory.mktemp("feature_repository"))
    feature_repository.write(made_up())
    try:
        with patch.context() as patched:
            feature_repository.enter(patched)
            patched.setenv(places.REDIS, redis.url)
            offline.build("customer_days")
            materialize(until=MOMENT)
            example = {
                "input": served(feature_repository.lines, 1, MOMENT),
                "output": {"orders": 1, "spent": 1},
            }
        fake_models.add("loyal", CODE, example=example)
        fake_models.add("plain", echo("plain"))
        patch.setenv(places.REDIS, redis.url)
        with fake_models.serving(feature_seconds=1) as server:
            yield Store(server, fake_models, redis, feature_repository)
    finally:
        patch.undo()
        redis.stop()


def test_the_entity_alone_is_enough(store: Store) -> None:
    response = store.predict({"customer_id": store.known[0]})
    assert response.status_code == 200, response.text
    features = store.features(store.known[0])
    (prediction,) = response.json()["predictions"]
    expected = {"orders": features["orders"], "spent": pytest.approx(features["spent"])}
    assert prediction == expected


def test_the_record_holds_the_looked_up_features(store: Store) -> None:
    identifier = store.predict({"customer_id": str(store.known[1])}).json()["id"]
    folder = store.fake_models.home / "predictions"
    until(lambda: reader.find(folder, identifier) is not None)
    record = reader.find(folder, identifier)
    assert record["inputs"][0] == pytest.approx(store.features(store.known[1]), abs=1e-3)


def test_a_batch_may_mix_and_sent_fields_take_precedence(store: Store) -> None:
    one, two = store.known[:2]
    sent = {**store.features(two), "orders": 77}
    body = [{"customer_id": one}, sent, {"customer_id": one, "orders": 78}, {"customer_id": two}]
    response = store.predict(body)
    assert response.status_code == 200, response.text
    orders = [each["orders"] for each in response.json()["predictions"]]
    assert orders == [store.features(one)["orders"], 77, 78, store.features(two)["orders"]]


@pytest.mark.parametrize("key", [99_999, "nobody", -1])
def test_an_unknown_customer_is_refused_by_name(store: Store, key: object) -> None:
    response = store.predict([{"customer_id": store.known[0]}, {"customer_id": key}])
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "customer_id"
    assert "send the record's fields themselves" in response.json()["detail"]


@pytest.mark.parametrize("key", [None, True, [1], {"a": 1}, 1.5])
def test_a_value_that_cannot_be_a_key_is_refused(store: Store, key: object) -> None:
    response = store.predict({"customer_id": key})
    assert response.status_code == 422
    assert "must be a text or a whole number" in response.json()["detail"]


def test_a_body_that_is_no_record_is_refused_as_usual(store: Store) -> None:
    response = store.server.client.post(
        "/v1/models/loyal/predict",
        content=b'{"customer_id": 1,',
        headers={"content-type": "application/json"},
    )
    assert response.status_code == 400
    assert store.predict([[{"customer_id": 1}]]).status_code == 422
    # The model without feature lookups has no such field.
    refused = store.server.client.post("/v1/models/plain/predict", json={"customer_id": 1})
    assert refused.status_code == 422


def test_the_documentation_has_both_kinds_of_records(store: Store) -> None:
    document = store.server.client.get("/openapi.json").json()
    operation = document["paths"]["/v1/models/loyal/predict"]["post"]
    body = operation["requestBody"]["content"]["application/json"]
    entity = body["schema"]["oneOf"][0]["anyOf"][1]["$ref"].rpartition("/")[2]
    assert document["components"]["schemas"][entity]["required"] == ["customer_id"]


def test_an_unavailable_store_fails_only_the_lookups(store: Store) -> None:
    known = {"customer_id": store.known[0]}
    store.redis.stop()
    try:
        response = store.predict(known)
        assert response.status_code == 503
        assert "send the fields themselves" in response.json()["detail"]
        assert int(response.headers["retry-after"]) >= 1
        assert store.predict(store.features(store.known[0])).status_code == 200
        assert store.server.request("plain", 3).status_code == 200
    finally:
        store.redis.start()
    # It came back empty: no customer is known until it is filled again.
    until(lambda: store.predict(known).status_code == 422)
    with pytest.MonkeyPatch.context() as patch:
        store.feature_repository.enter(patch)
        patch.setenv(places.REDIS, store.redis.url)
        materialize(until=MOMENT, anew=True)
    until(lambda: store.predict(known).status_code == 200)
    for outcome in ("found", "unknown", "unavailable"):
        series = f'slipway_feature_lookups_total project="loyal" outcome="{outcome}"'
        until(lambda series=series: store.server.metric(series) > 0)


def loyal(settings: Settings) -> LoadedModel:
    """Return the model as a worker has it, not loaded."""
    profile = Profile(
        **dict.fromkeys(
            ("load_seconds", "validate_seconds", "one_seconds", "batch_seconds"), 0.001
        ),
        bytes=0,
        question="",
        input_name="Customer",
        output_name="FeedbackRecord",
        input_schema={},
        output_schema={},
        explains=False,
        looked_up=Lookup(entity="customer_id", service="repurchase"),
    )
    version = Version(version="1", digest="0", folder=Path(), profile=profile)
    return LoadedModel("loyal", "champion", version, settings, isolated=False)


def test_slow_name_resolution_keeps_no_caller_waiting(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker's resolver takes 10 s to report that a container is gone."""
    away, back, name = threading.Event(), threading.Event(), "redis.somewhere"
    resolve = socket.getaddrinfo

    def resolved(host: str, *rest: Any, **more: Any) -> Any:
        if host == name and away.is_set():
            back.wait(PATIENCE)
            raise socket.gaierror(socket.EAI_AGAIN, "no response")
        return resolve(home.LOOPBACK if host == name else host, *rest, **more)

    store.feature_repository.enter(monkeypatch)
    monkeypatch.setenv(places.REDIS, store.redis.url.replace(home.LOOPBACK, name))
    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    settings = Settings(feature_seconds=0.2)
    lookups, model = Lookups(settings), loyal(settings)
    body = json.dumps({"customer_id": store.known[0]}).encode()

    async def look_up() -> list[tuple[int, float]]:
        """Return the status and the seconds of three callers, one after the other."""
        await lookups.warm(model)
        assert b"orders" in await lookups.fill(model, body)
        away.set()
        store.redis.client.client_kill_filter(skipme=True)
        outcomes = []
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(Problem) as refused:
                await lookups.fill(model, body)
            outcomes.append((refused.value.status, time.monotonic() - began))
        return outcomes

    try:
        outcomes = asyncio.run(look_up())
    finally:
        away.clear()
        back.set()
        lookups.close()
    assert [status for status, _ in outcomes] == [503] * 3
    # A caller that waited for the resolver would wait until it is back.
    assert max(seconds for _, seconds in outcomes) < WAITS * settings.feature_seconds + 4

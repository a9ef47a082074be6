"""Demo traffic to a running model server: rows, drift, labels and marks in the record."""

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.demo import drift, traffic
from infra.demo.rows import Rows, rows_of
from slipway.fault import Fault
from slipway.predictions import reader
from slipway.project import find
from slipway.rest import ServiceClient
from slipway.training.labelled import FeedbackRows, FeedbackUse, Label, collect
from tests.services.fake_models import Server
from tests.small_models import SmallModels, make_repository, project
from tests.waiting import until
from tests.workspaces import linked

NUMBER = {"properties": {"fare": {"type": "number", "minimum": 0, "maximum": 100}}}


@pytest.fixture(scope="module")
def server(small_models: SmallModels) -> Iterator[Server]:
    with small_models.serving() as running:
        yield running


@pytest.fixture
def checkout(small_registry: SmallModels, tmp_path: Path) -> Iterator[Path]:
    """Work in a repository in which only loans was trained."""
    repository = make_repository(tmp_path / "repository")
    (repository / "pipelines").unlink()
    folder = repository / "pipelines" / "small" / "loans"
    shutil.copytree(project("loans").folder, folder)
    linked(small_registry.works["loans"], folder)
    with contextlib.chdir(repository):
        yield repository


def records(home: Path, since: float) -> list[dict[str, Any]]:
    return list(reader.records(home / "predictions", since=since))


def test_rows_are_test_rows_where_trained_and_examples_elsewhere(
    server: Server, checkout: Path
) -> None:
    service = ServiceClient("predict", address=server.address)
    trained, shipped = rows_of(service, "loans"), rows_of(service, "houses")
    assert trained.from_test
    assert len(trained.records) > 20
    assert set(trained.labels[0] or {}) == {"granted"}
    assert not shipped.from_test
    assert shipped.records == [
        each["input"] for each in server.client.get("/v1/models/houses/schema").json()["examples"]
    ]


def test_traffic_is_marked_labelled_and_never_trained_from(
    server: Server, checkout: Path, small_registry: SmallModels
) -> None:
    start = time.time()
    loans = find("loans")
    label = Label.from_types(loans.model(), loans.module("data"), None)

    def collected() -> FeedbackRows:
        folder, now = small_registry.home / "predictions", time.time() + 60
        return collect(folder, "loans", loans.model(), label, FeedbackUse(), now=now)

    before = collected()
    service = ServiceClient("predict", address=server.address)
    rows = [rows_of(service, name) for name in ("loans", "houses")]
    report = traffic.send(service, rows, seconds=10, rate=8, drifting="income")
    sent = report.sent["loans"]
    assert report.drifted == ["loans"]
    assert sent.requests > 4
    assert 0 < sent.labels < sent.requests
    assert sent.refused == report.sent["houses"].refused == 0
    until(lambda: len(records(small_registry.home, start)) >= 2 * sent.requests - 1)
    own = [each for each in records(small_registry.home, start) if each["project"] == "loans"]
    assert {each["purpose"] for each in own} == {"demo"}
    usual = [each["income"] for each in rows[0].records]
    drifted = [each["inputs"][0]["income"] for each in own]
    assert sum(drifted) / len(drifted) > sum(usual) / len(usual) + 10
    found = collected()
    # Other tests of this process may have labelled requests of their own.
    assert (found.train, found.test) == (before.train, before.test)
    assert found.counts.demo == before.counts.demo + sent.labels


def test_only_a_valid_purpose_is_kept(server: Server, small_registry: SmallModels) -> None:
    start = time.time()
    example = server.client.get("/v1/models/loans/schema").json()["examples"][0]["input"]
    purposes = ["demo", "load-test", 'x"y', "UPPER", "a" * 40, "ü".encode(), ""]
    ids = [
        server.client.post(
            "/v1/models/loans/predict", json=example, headers={"Slipway-Purpose": each}
        ).json()["id"]
        for each in purposes
    ]
    folder = small_registry.home / "predictions"
    until(lambda: len(records(small_registry.home, start)) >= len(ids))
    kept = [(reader.find(folder, id) or {}).get("purpose") for id in ids]
    assert kept == ["demo", "load-test", None, None, None, None, None]


def test_a_project_without_the_field_does_not_drift() -> None:
    rows = [
        Rows("one", [{"fare": 1.0}], [None], NUMBER, from_test=True),
        Rows("two", [{"age": 1}], [None], {"properties": {"age": {}}}, from_test=True),
    ]
    assert set(traffic.shifts(rows, "fare")) == {"one"}
    assert traffic.shifts(rows, None) == {}
    with pytest.raises(Fault, match="did you mean fare"):
        traffic.shifts(rows, "fares")


@pytest.mark.parametrize(
    ("values", "value", "expected"),
    [
        ([10.0, 20.0, 30.0], 20.0, 36.33),  # two standard deviations more
        ([80.0, 90.0, 100.0], 90.0, 73.67),  # no larger ones are permitted
        ([10, 20, 30], 20, 36),
        ([10.0, 10.0], 10.0, 12.0),
        ([10.0, 20.0, 30.0], None, None),
    ],
)
def test_numbers_drift_within_their_bounds(values: list, value: Any, expected: Any) -> None:
    moved = drift.shift("fare", [{"fare": each} for each in values], NUMBER)
    found = moved({"fare": value, "sex": "male"})
    assert found["sex"] == "male"
    assert found["fare"] == (expected if expected is None else pytest.approx(expected, abs=0.01))
    assert type(found["fare"]) is type(value)


def test_a_drifting_number_never_leaves_the_schema() -> None:
    values = [{"fare": float(each)} for each in range(0, 101, 10)]
    moved = drift.shift("fare", values, NUMBER)
    assert all(0 <= moved(each)["fare"] <= 100 for each in values)


def test_texts_and_flags_drift_to_the_most_frequent() -> None:
    rows = [{"sex": "male"}, {"sex": "female"}, {"sex": "male"}]
    schema: dict[str, Any] = {"properties": {"sex": {"type": "string"}, "tags": {}}}
    assert drift.shift("sex", rows, schema)({"sex": "female"}) == {"sex": "male"}
    with pytest.raises(Fault, match="neither a number nor a text"):
        drift.shift("tags", [{"tags": ["a"]}], schema)
    with pytest.raises(Fault, match="no values"):
        drift.shift("sex", [{"sex": None}], schema)


def test_a_server_without_rows_is_refused() -> None:
    rows = [Rows("one", [], [], json.loads("{}"), from_test=False)]
    with pytest.raises(Fault, match="neither test rows nor examples"):
        traffic.send(ServiceClient("predict"), rows, seconds=1, rate=1)

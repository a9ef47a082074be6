"""The trainer's API: real `dvc repro` runs of small projects, started, refused and cancelled."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.jobs import process_tree
from services.trainer.run import ID
from slipway.access import keys
from slipway.home import free_port
from slipway.predictions.feedback_store import FeedbackStore
from slipway.predictions.record import line
from slipway.predictions.writer import PredictionLog
from tests.conftest import ROOT
from tests.services.server_fixture import Client, TrainingRepository
from tests.services.trainer.alertmanager_notification import notification
from tests.services.trainer.registered_versions import registered_versions
from tests.waiting import until

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("services/trainer/*", "services/jobs/*", "services/web/*", "slipway/repro.py")

LONG = {"fit": {"seconds": 120.0}}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> TrainingRepository:
    return TrainingRepository(tmp_path_factory.mktemp("trainer"))


@pytest.fixture(scope="module")
def trainer_home(repository: TrainingRepository) -> Path:
    return repository.home("home")


@pytest.fixture(scope="module")
def trainer(repository: TrainingRepository, trainer_home: Path) -> Iterator[Client]:
    settings = {"workers": 2, "queue": 3, "cooldown_seconds": 3600, "runs_per_day": 1}
    with repository.trainer(trainer_home, **settings) as client:
        yield client


def kept_file(
    repository: TrainingRepository, run: dict[str, Any], file: str, project: str = "flowers"
) -> str:
    return repository.git("show", f"{run['kept']}:pipelines/ml/{project}/{file}")


@pytest.fixture(scope="module")
def feedback(trainer_home: Path) -> None:
    """A prediction log, and labels: corrected, invalid, given twice, and of a test row."""
    records = trainer_home / "predictions"
    log, store = PredictionLog(records, segment_bytes=2**20), FeedbackStore(records)

    def log_prediction(inputs: str, *, variant: str = "champion", of: str | None = None) -> str:
        id = log.next_id()
        assert log.append(
            line(
                id=id,
                project="flowers",
                version="1",
                digest="ab" * 32,
                variant=variant,
                inputs=inputs.encode(),
                outputs=b'{"species":"setosa","distance":0.5,"rare":"no"}',
                seconds=0.001,
                of=of,
            )
        )
        return id

    inputs = [json.dumps({"sepal_length": 5.01 + n / 100, "petal_length": 1.51}) for n in range(40)]
    ids = [log_prediction(each) for each in inputs]
    shadow = log_prediction(inputs[0], variant="shadow", of=ids[0])
    outside = log_prediction('{"sepal_length": 99.0, "petal_length": 1.0}')
    # The first flower of iris.csv is a test row.
    held_out = log_prediction('{"sepal_length": 5.1, "petal_length": 1.4}')
    for id in (*ids, outside, held_out):
        store.attach(id=id, label={"species": "setosa"})
    store.attach(id=ids[1], label={"species": "virginica"})
    store.attach(id=ids[2], label={"species": "tulip"})
    store.attach(id=ids[3], label={"rare": "yes"})
    store.attach(id=shadow, label={"species": "versicolor"})
    log.close()
    store.close()


@pytest.fixture(scope="module")
def two_runs(trainer: Client, feedback: None) -> dict[str, dict[str, Any]]:
    """A run of each project, in parallel."""
    fast, spoiled = {"power": 2, "seconds": 0.2}, {"spoiled": True}
    good = trainer.start("flowers", parameters={"fit": fast}, feedback={})
    bad = trainer.start("petals", parameters={"fit": spoiled})
    until(lambda: trainer.run(good)["state"] == trainer.run(bad)["state"] == "running")
    return {"petals": trainer.followed(bad), "flowers": trainer.followed(good)}


def test_a_run_registers_a_version_and_leaves_the_users_files_unchanged(
    repository: TrainingRepository,
    trainer_home: Path,
    trainer: Client,
    two_runs: dict[str, dict[str, Any]],
) -> None:
    run = two_runs["flowers"]
    assert ID.fullmatch(run["id"])
    assert run["state"] == "succeeded", trainer.log(run["id"])
    assert run["stages_done"] == ["prepare", "fit", "evaluate", "register"]
    assert run["progress"] == 1
    assert (run["version"], run["new_version"]) == ("1", True)
    assert run["promotion"]["promoted"] is True
    assert run["outcome"] == "registered v1, promoted: first champion"
    [version] = registered_versions(trainer_home, "flowers")
    assert run["mlflow_run"] == version["run"]
    assert version["params"]["power"] == "2"
    # The registry's commit holds what was trained, and is in the user's repository.
    assert version["tags"]["git_commit"] == run["commit"]
    assert version["tags"]["trainer_run"] == run["id"]
    params = repository.git("show", f"{run['commit']}:pipelines/ml/flowers/params.yaml")
    assert "power: 2" in params
    assert "power: 2" in kept_file(repository, run, "dvc.lock")
    assert repository.dirt == ""
    assert "power: 1" in (repository.folder / "pipelines/ml/flowers/params.yaml").read_text()
    assert not (trainer_home / "trainer" / "runs" / run["id"] / "tree").exists()
    assert trainer.metric('slipway_trainer_runs_total{outcome="succeeded",project="flowers"}') == 1


def test_an_unmet_gate_fails_the_run_with_its_reason(
    trainer_home: Path, trainer: Client, two_runs: dict[str, dict[str, Any]]
) -> None:
    run = two_runs["petals"]
    assert run["state"] == "failed"
    assert run["outcome"] == "gate not met: accuracy >= 0.8, got 0.3333"
    assert run["mlflow_run"]
    assert run["version"] is None
    assert "gate not met" in trainer.log(run["id"])
    assert registered_versions(trainer_home, "petals") == []
    assert trainer.metric('slipway_trainer_runs_total{outcome="failed",project="petals"}') == 1


def test_feedback_becomes_a_data_version(
    repository: TrainingRepository,
    trainer_home: Path,
    trainer: Client,
    two_runs: dict[str, dict[str, Any]],
) -> None:
    first = two_runs["flowers"]
    about = first["feedback"]
    expected = {"labels": 43, "used": 39, "revised": 1, "conflicting": 1, "no_label": 1}
    expected |= {"bad_label": 1, "bad_input": 1, "no_record": 0, "repeated": 0, "held_out": 0}
    assert {name: about["counts"][name] for name in expected} == expected
    assert (about["label"], about["test_share"]) == ("species", 0.0)
    # 38 rows joined, without the test row. The test rows stay the project's own.
    assert json.loads(kept_file(repository, first, "metrics.json"))["rows"] == {
        "train": 158,
        "test": 30,
    }
    assert about["md5"] in kept_file(repository, first, "dvc.lock")
    assert about["md5"] in repository.git(
        "show", f"{first['commit']}:pipelines/ml/flowers/feedback.dvc"
    )
    [version] = registered_versions(trainer_home, "flowers")
    assert version["tags"]["feedback_md5"] == about["md5"]
    assert version["tags"]["feedback_rows"] == "39"
    assert trainer.metric('slipway_trainer_feedback_rows{project="flowers"}') == 39

    # The same feedback is the same data version, so nothing is trained again. Only the metrics,
    # which git keeps instead of DVC, are measured again.
    again = trainer.followed(trainer.start(parameters=first["parameters"], feedback={}))
    assert again["feedback"]["md5"] == about["md5"]
    assert again["stages_cached"] == ["prepare", "fit", "register"]
    assert (again["version"], again["new_version"]) == (first["version"], False)
    assert again["outcome"] == "v1 holds exactly this already: nothing new was trained"
    assert repository.dirt == ""


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"project": "roses"}, "project", "no project 'roses'; known: flowers, petals"),
        ({"parameters": {"fit": {"folds": 3}}}, "parameters.fit.folds", "no such parameter"),
        ({"parameters": {"fit": {"power": "big"}}}, "parameters.fit.power", "must be a whole num"),
        ({"parameters": {"fit": {"spoiled": 1}}}, "parameters.fit.spoiled", "must be true or fal"),
        ({"parameters": {"gate": {"accuracy": 0}}}, "parameters.gate", "Extra inputs"),
        ({"reason": ""}, "reason", "at least 1 character"),
        ({"reason": "a\x00b"}, "reason", "match pattern"),
        ({"project": "../flowers"}, "project", "match pattern"),
        ({"feedback": {"test_share": 0.9}}, "feedback.test_share", "less than or equal to 0.5"),
        ({"speed": 3}, "speed", "Extra inputs"),
    ],
)
def test_an_invalid_request_is_refused_with_the_name_of_the_field(
    trainer: Client, body: dict[str, Any], field: str, message: str
) -> None:
    before = trainer.http.get("/v1/runs").json()["found"]
    response = trainer.http.post("/v1/runs", json={"project": "flowers", "reason": "x", **body})
    assert response.status_code == 422, response.text
    [fault] = response.json()["errors"]
    assert fault["field"] == field
    assert message in fault["message"]
    assert trainer.http.get("/v1/runs").json()["found"] == before


def test_a_long_body_and_an_unknown_run_are_refused(trainer: Client) -> None:
    long = b"x" * 2_000_000
    assert trainer.http.post("/v1/runs", content=long).status_code == 413
    response = trainer.http.post("/v1/runs", content=(long[:1000] for _ in range(2000)))
    assert response.status_code == 413
    for method in ("GET", "DELETE"):
        assert trainer.http.request(method, "/v1/runs/../x").status_code == 404
        assert trainer.http.request(method, "/v1/runs/20260101T000000-000000").status_code == 404
    assert trainer.http.get("/v1/ready").headers["x-content-type-options"] == "nosniff"
    assert trainer.http.get("/", follow_redirects=True).url.path == "/v1/runs"


def test_the_queue_is_bounded_and_alerts_start_one_run(trainer: Client, trainer_home: Path) -> None:
    trainer.http.delete(f"/v1/runs/{trainer.start('flowers')}")
    running = [trainer.start("petals", parameters=LONG)]
    until(lambda: trainer.run(running[0])["state"] == "running")

    def post_alerts(*alerts: dict[str, Any]) -> list[dict[str, Any]]:
        response = trainer.http.post("/v1/alerts", json=notification(*alerts))
        assert response.status_code == 200, response.text
        return response.json()["decisions"]

    petals, flowers = {"labels": {"project": "petals"}}, {"labels": {"project": "flowers"}}
    decisions = post_alerts(
        petals,
        flowers,
        {"labels": {"project": "roses"}},
        {"labels": {"project": "petals", "action": "page"}},
        {**petals, "status": "resolved"},
        {"labels": {"service": "predict"}},
    )
    assert [each["outcome"] for each in decisions] == [
        *("duplicate", "cooldown", "unknown_project", "no_action", "resolved")
    ]
    assert decisions[0]["run"] == running[0]
    assert "an alert may start the next in" in decisions[1]["reason"]

    # Two runs of one project never run at the same time: these wait although a worker is free.
    waiting = [trainer.start("petals", parameters=LONG) for _ in range(3)]
    refused = trainer.http.post("/v1/runs", json={"project": "flowers", "reason": "more"})
    assert refused.status_code == 503
    assert refused.json()["detail"] == "3 runs are already queued"
    assert "retry-after" in refused.headers
    assert {trainer.run(each)["state"] for each in waiting} == {"queued"}
    assert trainer.metric("slipway_trainer_queued") == 3
    for id in waiting:
        cancelled = trainer.http.delete(f"/v1/runs/{id}").json()
        assert (cancelled["state"], cancelled["attempt"]) == ("cancelled", 0)

    until(lambda: trainer.run(running[0])["stage"] == "fit")
    assert len(process_tree.members(running[0])) >= 3
    assert trainer.metric('slipway_trainer_running_seconds{project="petals"}') > 0
    ended = trainer.http.delete(f"/v1/runs/{running[0]}")
    assert ended.status_code == 200
    assert ended.json()["outcome"] == "cancelled by anybody on loopback in fit"
    assert process_tree.members(running[0]) == []
    assert not (trainer_home / "trainer" / "runs" / running[0] / "tree").exists()
    assert trainer.http.delete(f"/v1/runs/{running[0]}").status_code == 409
    assert [each["outcome"] for each in post_alerts(petals)] == ["cooldown"]
    assert trainer.metric('slipway_trainer_decisions_total{outcome="cooldown",project="petals"}')
    assert trainer.metric('slipway_trainer_decisions_total{outcome="unknown_project",project=""}')
    listed = trainer.http.get("/v1/decisions", params={"project": "petals"}).json()
    assert [each["outcome"] for each in listed["decisions"]] == [
        *("cooldown", "resolved", "no_action", "duplicate")
    ]
    bad = trainer.http.post("/v1/alerts", json={**notification(), "version": "5"})
    assert bad.status_code == 422
    assert bad.json()["errors"][0]["field"] == "version"


def test_callers_need_a_key_where_keys_are_required(
    repository: TrainingRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded_home = repository.home("guarded")
    refused = repository.command(guarded_home, free_port(), host="0.0.0.0")
    assert refused.returncode == 1
    assert "0.0.0.0 can be reached from other machines and there is no API key" in refused.stderr
    wrong = repository.command(guarded_home, free_port(), workers="many")
    assert wrong.returncode == 1
    assert "SLIPWAY_TRAINER_WORKERS" in wrong.stderr
    monkeypatch.setenv("SLIPWAY_HOME", str(guarded_home))
    _, trains = keys.create("shop", ["train"])
    _, predicts = keys.create("app", ["predict"])
    with repository.trainer(guarded_home, require_keys="true") as guarded:
        path = "/v1/runs"
        assert guarded.http.get(path).status_code == 401
        assert guarded.http.post("/v1/alerts", json=notification()).status_code == 401
        assert guarded.http.get(path, headers={"X-API-Key": predicts}).status_code == 403
        bearer = {"Authorization": f"Bearer {trains}"}
        assert guarded.http.get(path, headers=bearer).status_code == 200
        assert guarded.http.get("/metrics", headers=bearer).status_code == 403


def test_the_commands(trainer: Client) -> None:
    def slipway(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "slipway", "runs", *words],
            cwd=ROOT,
            env={**os.environ, "SLIPWAY_TRAINER_ADDRESS": str(trainer.http.base_url).rstrip("/")},
            capture_output=True,
            text=True,
        )

    wrong = slipway("start", "flowers", "--reason", "x", "--set", "fit.power=high")
    assert wrong.returncode == 1
    assert "Bad parameters: fit.power: must be a whole number like 1, got 'high'" in wrong.stderr
    begun = slipway("start", "flowers", "--reason", "from a shell", "--set", "fit.seconds=90.0")
    id = begun.stdout.strip()
    assert ID.fullmatch(id), begun.stderr
    assert trainer.run(id)["parameters"]["fit"] == {"seconds": 90.0}
    assert f"{id}: cancelled by anybody on loopback" in slipway("cancel", id).stdout
    assert f"{id}  flowers              cancelled" in slipway("list", "--limit", "1").stdout
    assert json.loads(slipway("show", id).stdout)["reason"] == "from a shell"
    trainer.http.post("/v1/alerts", json=notification({"labels": {"project": "daisies"}}))
    assert "there is no project 'daisies'" in slipway("decisions", "--limit", "1").stdout

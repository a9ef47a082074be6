"""The trainer: real `dvc repro` runs of small projects, cancelled, killed, adopted, refused."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.trainer import family
from services.trainer.decision import Alarm, Answer, budget_left, cooldown, decide
from services.trainer.journal import Journal
from services.trainer.run import ID, Outcome, Run, State
from services.trainer.settings import Settings
from slipway.access import keys
from slipway.home import free_port
from slipway.predictions.feedback import FeedbackStore
from slipway.predictions.record import line
from slipway.predictions.writer import PredictionLog
from slipway.registry.chain import ChainBroken
from tests.services.yard import Client, Yard
from tests.waiting import until

LONG = {"fit": {"seconds": 120.0}}


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    return Yard(tmp_path_factory.mktemp("yard"))


@pytest.fixture(scope="module")
def shared(yard: Yard) -> Path:
    return yard.home("shared")


@pytest.fixture(scope="module")
def trainer(yard: Yard, shared: Path) -> Iterator[Client]:
    settings = {"workers": 2, "queue": 3, "cooldown_seconds": 3600, "runs_per_day": 1}
    with yard.trainer(shared, **settings) as client:
        yield client


def versions(own_home: Path, project: str) -> list[dict[str, Any]]:
    """Straight from the registry's tables."""
    with sqlite3.connect(own_home / "mlflow.db") as database:
        rows = database.execute(
            "SELECT version, run_id FROM model_versions WHERE name = ? ORDER BY version", (project,)
        ).fetchall()
        found = []
        for version, run in rows:
            tags = dict(
                database.execute(
                    "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?",
                    (project, version),
                ).fetchall()
            )
            params = dict(
                database.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run,))
            )
            found.append({"version": str(version), "run": run, "tags": tags, "params": params})
    return found


def lives(process: psutil.Process) -> bool:
    """Not so of one that was killed and whose parent has not asked after it."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def kept(yard: Yard, run: dict[str, Any], file: str, project: str = "flowers") -> str:
    return yard.git("show", f"{run['kept']}:pipelines/ml/{project}/{file}")


@pytest.fixture(scope="module")
def told(shared: Path) -> None:
    """A prediction log, and truths: corrected, wrong, late, twice, of a test row."""
    records = shared / "predictions"
    log, store = PredictionLog(records, segment_bytes=2**20), FeedbackStore(records)

    def answered(inputs: str, *, variant: str = "champion", of: str | None = None) -> str:
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

    sent = [json.dumps({"sepal_length": 5.01 + n / 100, "petal_length": 1.51}) for n in range(40)]
    ids = [answered(each) for each in sent]
    shadow = answered(sent[0], variant="shadow", of=ids[0])
    outside = answered('{"sepal_length": 99.0, "petal_length": 1.0}')
    # The first flower of iris.csv.
    peeked = answered('{"sepal_length": 5.1, "petal_length": 1.4}')
    for id in (*ids, outside, peeked):
        store.attach(id=id, truth={"species": "setosa"})
    store.attach(id=ids[1], truth={"species": "virginica"})
    store.attach(id=ids[2], truth={"species": "tulip"})
    store.attach(id=ids[3], truth={"rare": "yes"})
    store.attach(id=shadow, truth={"species": "versicolor"})
    log.close()
    store.close()


@pytest.fixture(scope="module")
def pair(trainer: Client, told: None) -> dict[str, dict[str, Any]]:
    """A run of each project, side by side."""
    fast, spoiled = {"power": 2, "seconds": 0.2}, {"spoiled": True}
    good = trainer.start("flowers", parameters={"fit": fast}, feedback={})
    bad = trainer.start("petals", parameters={"fit": spoiled})
    until(lambda: trainer.run(good)["state"] == trainer.run(bad)["state"] == "running")
    return {"petals": trainer.followed(bad), "flowers": trainer.followed(good)}


def test_a_run_registers_what_it_says_and_leaves_the_users_files_alone(
    yard: Yard, shared: Path, trainer: Client, pair: dict[str, dict[str, Any]]
) -> None:
    run = pair["flowers"]
    assert ID.fullmatch(run["id"])
    assert run["state"] == "succeeded", trainer.log(run["id"])
    assert run["stages_done"] == ["prepare", "fit", "evaluate", "register"]
    assert run["progress"] == 1
    assert (run["version"], run["new_version"]) == ("1", True)
    assert run["promotion"]["promoted"] is True
    assert run["outcome"] == "registered v1, promoted: first champion"
    [version] = versions(shared, "flowers")
    assert run["mlflow_run"] == version["run"]
    assert version["params"]["power"] == "2"
    # The commit that the registry names holds what was trained, and is in the user's repository.
    assert version["tags"]["git_commit"] == run["commit"]
    assert version["tags"]["trainer_run"] == run["id"]
    params = yard.git("show", f"{run['commit']}:pipelines/ml/flowers/params.yaml")
    assert "power: 2" in params
    assert "power: 2" in kept(yard, run, "dvc.lock")
    assert yard.dirt == ""
    assert "power: 1" in (yard.folder / "pipelines/ml/flowers/params.yaml").read_text()
    assert not (shared / "trainer" / "runs" / run["id"] / "tree").exists()
    assert trainer.metric('slipway_trainer_runs_total{outcome="succeeded",project="flowers"}') == 1


def test_a_gate_that_is_not_met_is_told(
    shared: Path, trainer: Client, pair: dict[str, dict[str, Any]]
) -> None:
    run = pair["petals"]
    assert run["state"] == "failed"
    assert run["outcome"] == "gate not met: accuracy >= 0.8, got 0.3333"
    assert run["mlflow_run"]
    assert run["version"] is None
    assert "gate not met" in trainer.log(run["id"])
    assert versions(shared, "petals") == []
    assert trainer.metric('slipway_trainer_runs_total{outcome="failed",project="petals"}') == 1


def test_feedback_becomes_a_data_version(
    yard: Yard, shared: Path, trainer: Client, pair: dict[str, dict[str, Any]]
) -> None:
    first = pair["flowers"]
    about = first["feedback"]
    wanted = {"told": 43, "used": 39, "revised": 1, "conflicting": 1, "no_truth": 1}
    wanted |= {"bad_truth": 1, "bad_input": 1, "no_record": 0, "repeated": 0, "held_out": 0}
    assert {name: about["counts"][name] for name in wanted} == wanted
    assert (about["truth"], about["test_share"]) == ("species", 0.0)
    # 38 joined: what is a test row may not be trained on. The test rows stay the project's own.
    assert json.loads(kept(yard, first, "metrics.json"))["rows"] == {"train": 158, "test": 30}
    assert about["md5"] in kept(yard, first, "dvc.lock")
    assert about["md5"] in yard.git("show", f"{first['commit']}:pipelines/ml/flowers/feedback.dvc")
    [version] = versions(shared, "flowers")
    assert version["tags"]["feedback_md5"] == about["md5"]
    assert version["tags"]["feedback_rows"] == "39"
    assert trainer.metric('slipway_trainer_feedback_rows{project="flowers"}') == 39

    # The same feedback is the same data version: nothing is trained twice. What git keeps instead
    # of DVC, the metrics, is measured again.
    again = trainer.followed(trainer.start(parameters=first["parameters"], feedback={}))
    assert again["feedback"]["md5"] == about["md5"]
    assert again["stages_cached"] == ["prepare", "fit", "register"]
    assert (again["version"], again["new_version"]) == (first["version"], False)
    assert again["outcome"] == "v1 holds exactly this already: nothing new was trained"
    assert yard.dirt == ""


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
def test_what_cannot_be_trained_is_refused_by_name(
    trainer: Client, body: dict[str, Any], field: str, message: str
) -> None:
    before = trainer.http.get("/v1/runs").json()["found"]
    answer = trainer.http.post("/v1/runs", json={"project": "flowers", "reason": "x", **body})
    assert answer.status_code == 422, answer.text
    [fault] = answer.json()["errors"]
    assert fault["field"] == field
    assert message in fault["message"]
    assert trainer.http.get("/v1/runs").json()["found"] == before


def test_a_long_body_and_an_unknown_run_are_refused(trainer: Client) -> None:
    long = b"x" * 2_000_000
    assert trainer.http.post("/v1/runs", content=long).status_code == 413
    told = trainer.http.post("/v1/runs", content=(long[:1000] for _ in range(2000)))
    assert told.status_code == 413
    for method in ("GET", "DELETE"):
        assert trainer.http.request(method, "/v1/runs/../x").status_code == 404
        assert trainer.http.request(method, "/v1/runs/20260101T000000-000000").status_code == 404
    assert trainer.http.get("/v1/ready").headers["x-content-type-options"] == "nosniff"


def notification(*alerts: dict[str, Any]) -> dict[str, Any]:
    """As Alertmanager 0.25 sends it."""
    return {
        "receiver": "trainer",
        "status": "firing",
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "InputDrift", "action": "retrain", **each["labels"]},
                "annotations": {"summary": "three fields drifted"},
                "startsAt": "2026-11-21T12:00:00.000Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "",
                "fingerprint": "00af",
                **{name: value for name, value in each.items() if name != "labels"},
            }
            for each in alerts
        ],
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "",
        "version": "4",
        "groupKey": "{}",
        "truncatedAlerts": 0,
    }


def test_the_queue_is_bounded_and_alerts_start_one_run(trainer: Client, shared: Path) -> None:
    trainer.http.delete(f"/v1/runs/{trainer.start('flowers')}")
    running = [trainer.start("petals", parameters=LONG)]
    until(lambda: trainer.run(running[0])["state"] == "running")

    def told(*alerts: dict[str, Any]) -> list[dict[str, Any]]:
        answer = trainer.http.post("/v1/alerts", json=notification(*alerts))
        assert answer.status_code == 200, answer.text
        return answer.json()["decisions"]

    petals, flowers = {"labels": {"project": "petals"}}, {"labels": {"project": "flowers"}}
    answers = told(
        petals,
        flowers,
        {"labels": {"project": "roses"}},
        {"labels": {"project": "petals", "action": "page"}},
        {**petals, "status": "resolved"},
        {"labels": {"service": "predict"}},
    )
    assert [each["answer"] for each in answers] == [
        *("duplicate", "cooldown", "unknown_project", "no_action", "resolved")
    ]
    assert answers[0]["run"] == running[0]
    assert "an alert may start the next in" in answers[1]["reason"]

    # One project never trains twice at once: these wait though a worker is free.
    waiting = [trainer.start("petals", parameters=LONG) for _ in range(3)]
    refused = trainer.http.post("/v1/runs", json={"project": "flowers", "reason": "more"})
    assert refused.status_code == 503
    assert refused.json()["detail"] == "3 runs wait already"
    assert "retry-after" in refused.headers
    assert {trainer.run(each)["state"] for each in waiting} == {"queued"}
    assert trainer.metric("slipway_trainer_queued") == 3
    for id in waiting:
        cancelled = trainer.http.delete(f"/v1/runs/{id}").json()
        assert (cancelled["state"], cancelled["attempt"]) == ("cancelled", 0)

    until(lambda: trainer.run(running[0])["stage"] == "fit")
    assert len(family.members(running[0])) >= 3
    assert trainer.metric('slipway_trainer_running_seconds{project="petals"}') > 0
    ended = trainer.http.delete(f"/v1/runs/{running[0]}")
    assert ended.status_code == 200
    assert ended.json()["outcome"] == "cancelled by anybody on loopback in fit"
    assert family.members(running[0]) == []
    assert not (shared / "trainer" / "runs" / running[0] / "tree").exists()
    assert trainer.http.delete(f"/v1/runs/{running[0]}").status_code == 409
    assert [each["answer"] for each in told(petals)] == ["cooldown"]
    assert trainer.metric('slipway_trainer_decisions_total{outcome="cooldown",project="petals"}')
    assert trainer.metric('slipway_trainer_decisions_total{outcome="unknown_project",project=""}')
    listed = trainer.http.get("/v1/decisions", params={"project": "petals"}).json()
    assert [each["answer"] for each in listed["decisions"]] == [
        *("cooldown", "resolved", "no_action", "duplicate")
    ]
    bad = trainer.http.post("/v1/alerts", json={**notification(), "version": "5"})
    assert bad.status_code == 422
    assert bad.json()["errors"][0]["field"] == "version"


def test_killed_with_kill_9_runs_go_on_and_are_found(yard: Yard) -> None:
    """First the trainer alone: the run goes on. Then its first process too: it begins again."""
    own = yard.home("killed")
    with yard.trainer(own, cooldown_seconds=0, runs_per_day=1) as first:
        told = first.http.post("/v1/alerts", json=notification({"labels": {"project": "flowers"}}))
        [decision] = told.json()["decisions"]
        assert decision["answer"] == "started"
        id = decision["run"]
        until(lambda: first.run(id)["stage"] not in (None, "begin"))
        second = yard.command(own, free_port())
        assert second.returncode == 1
        assert f"another trainer (process {first.process.pid}) has the queue" in second.stderr
        first.kill()
    assert family.members(id)
    with yard.trainer(own, cooldown_seconds=0, runs_per_day=1) as next_one:
        run = next_one.followed(id)
        assert (run["state"], run["attempt"]) == ("succeeded", 1), next_one.log(id)
        assert [each["version"] for each in versions(own, "flowers")] == ["1"]
        assert run["trigger"] == "alert"
        again = next_one.http.post(
            "/v1/alerts", json=notification({"labels": {"project": "flowers"}})
        )
        assert [each["answer"] for each in again.json()["decisions"]] == ["budget"]

        held = next_one.start("flowers", parameters={"prepare": {"every": 4}, **LONG})
        until(lambda: next_one.run(held)["stage"] == "fit")
        before = {process.pid for process in family.members(held)}
        driver = min(before, key=lambda pid: psutil.Process(pid).create_time())
        next_one.kill()
    psutil.Process(driver).kill()
    orphans = family.members(held)
    assert orphans
    with yard.trainer(own) as last:
        until(lambda: last.run(held)["attempt"] == 2)
        assert not any(map(lives, orphans))
        until(lambda: last.run(held)["stage"] == "fit" and last.run(held)["attempt"] == 2)
        run = last.run(held)
        # Prepared once: the second attempt began at the stage that was interrupted.
        assert run["stages_cached"] == ["prepare"]
        assert last.log(held).count("Running stage 'pipelines/ml/flowers/dvc.yaml:prepare'") == 1
    # Told to stop, it ends what runs, and leaves it to the next one.
    assert family.members(held) == []
    assert Journal(own / "trainer").runs[held].state is State.QUEUED


@contextmanager
def monitor(alarms: list[dict[str, str]]) -> Iterator[str]:
    """What the monitor service answers to GET /v1/projects, and its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            project = {"name": "flowers", "version": "1", "state": "drifts", "alarms": alarms}
            body = json.dumps({"projects": [project, {"name": "petals", "alarms": []}]}).encode()
            self.send_response(200 if self.path == "/v1/projects" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_its_own_schedule_and_the_limits_of_a_run(yard: Yard) -> None:
    own = yard.home("scheduled")
    alarm = {"name": "ModelDrift", "since": "2026-11-21T12:00:00.000Z", "action": "retrain"}
    alarms = [{**alarm, "told": "3 of 4 fields"}]
    with monitor(alarms) as address:
        settings = {"monitor": address, "monitor_seconds": 0.1, "run_seconds": 1, "keep_runs": 1}
        with yard.trainer(own, **settings) as trainer:

            def answers() -> list[str]:
                listed = trainer.http.get("/v1/decisions").json()["decisions"]
                return [each["answer"] for each in reversed(listed)]

            until(lambda: "cooldown" in answers())
            # Asked ten times a second, each answer is kept once, whatever the summary says.
            alarms[0]["told"] = "4 of 4 fields"
            asked = 'slipway_trainer_decisions_total{outcome="cooldown",project="flowers"}'
            until(lambda: trainer.metric(asked) >= 5)
            assert answers() == ["started", "duplicate", "cooldown"]
            [run] = trainer.http.get("/v1/runs").json()["runs"]
            assert (run["trigger"], run["actor"]) == ("schedule", "ModelDrift")
            assert run["reason"] == "alert ModelDrift: 3 of 4 fields"
            assert run["state"] == "failed"
            assert run["outcome"] == "took longer than 1 s (SLIPWAY_TRAINER_RUN_SECONDS)"
            assert family.members(run["id"]) == []

            # Of the older run its log goes, and what is known of it stays.
            assert trainer.log(run["id"]).endswith(f"{run['outcome']}\n")
            trainer.http.delete(f"/v1/runs/{trainer.start('petals')}")
            until(lambda: trainer.log(run["id"]) == "")
            assert trainer.run(run["id"])["outcome"] == run["outcome"]
            assert run["id"] not in yard.git("for-each-ref", "refs/slipway/runs")
    failures = "slipway_trainer_monitor_failures_total"
    with yard.trainer(own, **settings) as alone:
        until(lambda: alone.metric(failures) >= 2)


def test_keys_are_asked_for_where_they_are_required(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = yard.home("guarded")
    refused = yard.command(own, free_port(), host="0.0.0.0")
    assert refused.returncode == 1
    assert "0.0.0.0 can be reached from other machines and there is no API key" in refused.stderr
    wrong = yard.command(own, free_port(), workers="many")
    assert wrong.returncode == 1
    assert "SLIPWAY_TRAINER_WORKERS" in wrong.stderr
    monkeypatch.setenv("SLIPWAY_HOME", str(own))
    _, trains = keys.create("shop", ["train"])
    _, predicts = keys.create("app", ["predict"])
    with yard.trainer(own, require_keys="true") as guarded:
        place = "/v1/runs"
        assert guarded.http.get(place).status_code == 401
        assert guarded.http.post("/v1/alerts", json=notification()).status_code == 401
        assert guarded.http.get(place, headers={"X-API-Key": predicts}).status_code == 403
        bearer = {"Authorization": f"Bearer {trains}"}
        assert guarded.http.get(place, headers=bearer).status_code == 200
        assert guarded.http.get("/metrics", headers=bearer).status_code == 403


def test_the_commands(yard: Yard, trainer: Client) -> None:
    def slipway(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "slipway", "runs", *words],
            cwd=yard.folder,
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


def run(project: str = "flowers", **given: Any) -> Run:
    values = {
        "id": "20260101T000000-000000",
        "request": {"project": project, "reason": "x"},
        "trigger": "alert",
        "actor": "x",
        "requested": 1000.0,
    }
    return Run.model_validate({**values, **given})


SETTINGS = Settings(cooldown_seconds=100, runs_per_day=2, queue=1)


@pytest.mark.parametrize(
    ("runs", "now", "answer"),
    [
        ([], 2000, Answer.STARTED),
        ([run(state="running")], 2000, Answer.DUPLICATE),
        ([run(state="queued")], 2000, Answer.DUPLICATE),
        ([run(state="failed", ended=1950)], 2000, Answer.COOLDOWN),
        ([run(state="cancelled", ended=1950, trigger="request")], 2000, Answer.COOLDOWN),
        ([run(state="failed", ended=1900)], 2000, Answer.STARTED),
        ([run("other", state="failed", ended=1990)], 2000, Answer.STARTED),
        ([run("other", state="failed", ended=1000)] * 2, 2000, Answer.BUDGET),
        ([run("other", state="failed", ended=1000, trigger="request")] * 2, 2000, Answer.STARTED),
        ([run("other", state="failed", ended=1000)] * 2, 1000 + 86_400, Answer.STARTED),
        ([run("other", state="queued")], 2000, Answer.QUEUE_FULL),
    ],
)
def test_the_rule(runs: list[Run], now: float, answer: Answer) -> None:
    alarm = Alarm(project="flowers", name="Drift")
    decision = decide(alarm, known=True, runs=runs, settings=SETTINGS, now=now)
    assert decision.answer is answer, decision.reason


def test_nothing_is_trained_while_what_was_trained_is_rolled_out() -> None:
    alarm = Alarm(project="flowers", name="Drift")
    told = decide(alarm, known=True, runs=[], settings=SETTINGS, now=0.0, rolling_out=True)
    assert told.answer is Answer.ROLLOUT


def test_automatic_training_can_be_off() -> None:
    alarm, off = Alarm(project="flowers", name="Drift"), Settings(automatic=False)
    assert decide(alarm, known=True, runs=[], settings=off, now=0.0).answer is Answer.OFF
    assert cooldown([], off, 0.0) == (0.0, None)
    assert budget_left([run()], Settings(runs_per_day=0), 1000.0) == 0


def test_the_journal_survives_a_torn_line_and_tells_of_a_changed_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    made = journal.queued(run())
    journal.change(made.id, "started", state=State.RUNNING, attempt=1, started=5.0)
    outcome = Outcome(state=State.SUCCEEDED, reason="registered v1", version="1")
    journal.change(made.id, "succeeded", state=State.SUCCEEDED, ended=9.0, outcome=outcome)
    file = tmp_path / "journal.jsonl"
    with file.open("a") as stream:
        stream.write('{"event": "queued", "ru')
    again = Journal(tmp_path)
    assert again.runs == journal.runs
    assert again.runs[made.id].outcome == outcome
    assert again.runs[made.id].state is State.SUCCEEDED
    again.decided(
        decide(Alarm(project="x", name="y"), known=False, runs=[], settings=SETTINGS, now=1.0)
    )
    assert len(Journal(tmp_path).decisions) == 1
    file.write_text(file.read_text().replace('"attempt": 1', '"attempt": 9'))
    with pytest.raises(ChainBroken, match="line 3 does not follow line 2"):
        Journal(tmp_path)

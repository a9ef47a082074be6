"""The decision whether an alert starts a run, and the trainer's journal."""

from pathlib import Path
from typing import Any

import pytest

from services.trainer import journal as journal_module
from services.trainer.decision import (
    Alarm,
    AlertDecision,
    AlertOutcome,
    budget_left,
    cooldown,
    decide,
)
from services.trainer.journal import Journal
from services.trainer.run import Request, Run, RunOutcome, RunState
from services.trainer.settings import Settings
from services.trainer.trainer import Trainer
from services.trainer.webhook import Notification
from slipway.predictions.feedback_store import FeedbackStore
from slipway.registry.chain import ChainBroken
from slipway.training.labelled import FeedbackUse
from tests.conftest import ROOT
from tests.services.trainer.alertmanager_notification import notification
from tests.slipway.predictions.test_feedback import SURVIVAL, logged


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
    ("runs", "now", "outcome"),
    [
        ([], 2000, AlertOutcome.STARTED),
        ([run(state="running")], 2000, AlertOutcome.DUPLICATE),
        ([run(state="queued")], 2000, AlertOutcome.DUPLICATE),
        ([run(state="failed", ended=1950)], 2000, AlertOutcome.COOLDOWN),
        ([run(state="cancelled", ended=1950, trigger="request")], 2000, AlertOutcome.COOLDOWN),
        ([run(state="failed", ended=1900)], 2000, AlertOutcome.STARTED),
        ([run("other", state="failed", ended=1990)], 2000, AlertOutcome.STARTED),
        ([run("other", state="failed", ended=1000)] * 2, 2000, AlertOutcome.BUDGET),
        (
            [run("other", state="failed", ended=1000, trigger="request")] * 2,
            2000,
            AlertOutcome.STARTED,
        ),
        ([run("other", state="failed", ended=1000)] * 2, 1000 + 86_400, AlertOutcome.STARTED),
        ([run("other", state="queued")], 2000, AlertOutcome.QUEUE_FULL),
    ],
)
def test_an_alert_starts_a_run_unless_there_is_a_reason_not_to(
    runs: list[Run], now: float, outcome: AlertOutcome
) -> None:
    alarm = Alarm(project="flowers", name="Drift")
    decision = decide(alarm, known=True, runs=runs, settings=SETTINGS, now=now)
    assert decision.outcome is outcome, decision.reason


def test_no_run_starts_during_a_rollout_of_the_project() -> None:
    alarm = Alarm(project="flowers", name="Drift")
    decision = decide(alarm, known=True, runs=[], settings=SETTINGS, now=0.0, rolling_out=True)
    assert decision.outcome is AlertOutcome.ROLLOUT


def test_no_run_starts_without_new_labels() -> None:
    alarm = Alarm(project="flowers", name="Drift")
    decision = decide(alarm, known=True, runs=[], settings=SETTINGS, now=0.0, labels_came=False)
    assert decision.outcome is AlertOutcome.NO_LABELS
    # A run that is under way is the better reason.
    runs = [run(state="running")]
    decision = decide(alarm, known=True, runs=runs, settings=SETTINGS, now=0.0, labels_came=False)
    assert decision.outcome is AlertOutcome.DUPLICATE


def test_retraining_waits_for_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    settings = Settings()
    trainer = Trainer(settings, ROOT)
    alarm = Alarm(project="titanic", name="Drift")
    waiting = trainer.consider(alarm)
    assert waiting.outcome is AlertOutcome.NO_LABELS
    assert waiting.reason.startswith("retraining waits for labels")
    [id] = logged(settings.records, SURVIVAL)
    FeedbackStore(settings.records).attach(id=id, label={"survived": True})
    assert trainer.consider(alarm).outcome is AlertOutcome.STARTED


def test_automatic_training_can_be_off() -> None:
    alarm, off = Alarm(project="flowers", name="Drift"), Settings(automatic=False)
    assert decide(alarm, known=True, runs=[], settings=off, now=0.0).outcome is AlertOutcome.OFF
    assert cooldown([], off, 0.0) == (0.0, None)
    assert budget_left([run()], Settings(runs_per_day=0), 1000.0) == 0


def test_the_journal_ignores_a_torn_line_and_refuses_a_changed_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    queued = journal.queued(run())
    journal.change(queued.id, "started", state=RunState.RUNNING, attempt=1, started=5.0)
    outcome = RunOutcome(state=RunState.SUCCEEDED, reason="registered v1", version="1")
    journal.change(queued.id, "succeeded", state=RunState.SUCCEEDED, ended=9.0, outcome=outcome)
    file = tmp_path / "journal.jsonl"
    with file.open("a") as stream:
        stream.write('{"event": "queued", "ru')
    again = Journal(tmp_path)
    assert again.runs == journal.runs
    assert again.runs[queued.id].outcome == outcome
    assert again.runs[queued.id].state is RunState.SUCCEEDED
    again.decided(
        decide(Alarm(project="x", name="y"), known=False, runs=[], settings=SETTINGS, now=1.0)
    )
    assert len(Journal(tmp_path).decisions) == 1
    file.write_text(file.read_text().replace('"attempt": 1', '"attempt": 9'))
    with pytest.raises(ChainBroken, match="line 3 does not follow line 2"):
        Journal(tmp_path)


def test_an_alert_that_is_sent_again_is_kept_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    alarm = Alarm(project="x", name="y")
    for now in (1.0, 2.0, 3.0):
        journal.decided(decide(alarm, known=False, runs=[], settings=SETTINGS, now=now))
    assert [each.time for each in Journal(tmp_path).decisions] == [1.0]
    resolved = alarm.model_copy(update={"firing": False})
    for each in (resolved, alarm):
        journal.decided(decide(each, known=True, runs=[], settings=SETTINGS, now=4.0))
    outcomes = [each.outcome for each in journal.decisions]
    assert len(outcomes) == 3
    assert len(set(outcomes)) == 3


def test_alerts_about_unknown_projects_cannot_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "MOST_UNKNOWN", 2)
    journal = Journal(tmp_path)
    for name in ("a", "b", "c", "d"):
        alarm = Alarm(project=name, name="y")
        found = decide(alarm, known=False, runs=[], settings=SETTINGS, now=1.0)
        assert journal.decided(found) == found
    again = Journal(tmp_path)
    assert [each.alarm.project for each in again.decisions] == ["a", "b"]


def test_a_notification_gives_an_alarm_for_each_alert_about_a_project() -> None:
    sent = notification(
        {"labels": {"project": "flowers"}},
        {"labels": {"service": "predict"}},
        {"labels": {"project": "petals", "action": "page"}, "status": "resolved"},
    )
    alarms = Notification.model_validate(sent).alarms()
    assert [(each.project, each.firing, each.action) for each in alarms] == [
        ("flowers", True, "retrain"),
        ("petals", False, "page"),
    ]
    assert alarms[0].summary == "three fields drifted"


def test_the_journal_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """Earlier versions wrote `source`, and recorded runs with the trigger `schedule`."""
    alarm = {"project": "flowers", "name": "ModelDrift", "summary": "3 of 4 fields"}
    entry = {"time": 1.0, "alarm": {**alarm, "source": "schedule"}, "outcome": "off", "reason": "x"}
    decision = AlertDecision.model_validate(entry)
    assert (decision.outcome, decision.alarm.summary) == (AlertOutcome.OFF, "3 of 4 fields")
    written = decision.model_dump(mode="json")
    assert written["outcome"] == "off"
    assert written["alarm"]["summary"] == "3 of 4 fields"
    journal = Journal(tmp_path)
    journal.decided(decision)
    request = {"project": "flowers", "reason": "x", "feedback": {"truth": "species"}}
    assert Request.model_validate(request).feedback == FeedbackUse(label="species")
    journal.queued(run(trigger="schedule"))
    again = Journal(tmp_path)
    assert (list(again.decisions), again.runs) == ([decision], journal.runs)

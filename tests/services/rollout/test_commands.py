"""Promotion and rollback by people, the history, and the commands."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services import rollout
from services.rollout import by_hand, served
from services.rollout.decision import Stage
from slipway import cli
from slipway.access import audit
from slipway.registry import promotions
from tests.conftest import ROOT
from tests.services.fake_models import echo
from tests.services.rollout.rollout_scenario import (
    RolloutScenario,
    rollout_scenario,
)


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RolloutScenario]:
    with rollout_scenario(tmp_path, monkeypatch) as scenario:
        yield scenario


def test_promotion_and_rollback_by_people_are_recorded(scenario: RolloutScenario) -> None:
    scenario.registry.add("model", echo("right"), alias=None)
    with pytest.raises(by_hand.NoReason):
        by_hand.promote("model", "2", actor="me", reason=" ")
    with pytest.raises(served.NoPreviousChampion):
        by_hand.rollback("model", to=None, actor="me", reason="bad")
    by_hand.rollback("model", to="1", actor="me", reason="to begin with")
    for version in ("2", "3"):
        by_hand.promote("model", version, actor="me", reason="because")
    assert scenario.split()[0] == {"champion": "3"}
    # A second rollback leads to the champion before that, not forward again.
    assert by_hand.rollback("model", to=None, actor="me", reason="bad") == "2"
    assert by_hand.rollback("model", to=None, actor="me", reason="bad too") == "1"
    assert scenario.split()[0] == {"champion": "1"}
    with pytest.raises(served.NoPreviousChampion):
        by_hand.rollback("model", to=None, actor="me", reason="bad")
    last = promotions.history("model")[-1]
    assert (last["version"], last["promoted"], last["reason"]) == ("1", True, "bad too")
    assert last["evidence"]["approver"] == "me"
    assert [each["action"] for each in audit.entries()][-1] == "rollback"


def test_the_history_names_what_served_at_any_time(scenario: RolloutScenario) -> None:
    by_hand.promote("model", "1", actor="me", reason="to begin with")
    scenario.start()
    scenario.until(Stage.CANARY)
    scenario.until(Stage.PROMOTED)
    entries = promotions.history("model")
    times = [served.parse_time(entry["time"]) for entry in entries]

    def at(place: int) -> served.ServedVersions:
        return served.at("model", times[place], entries)

    assert [at(place).version for place in range(len(entries))] == ["1", "1", "1", "1", "2"]
    trials = [at(place).trial for place in range(len(entries))]
    assert [trial and trial["evidence"]["percent"] for trial in trials] == [None, 50, 5, 50, None]
    with pytest.raises(served.NothingServed):
        served.at("model", served.parse_time("2000-01-01"), entries)
    with pytest.raises(served.BadTime, match="must be a time like"):
        served.parse_time("yesterday")
    tags = {"dataset": "titanic", "data_sha256": '{"train.csv": "ab"}', "git_commit": "c0ffee"}
    described = "\n".join(served.lines(at(4), tags))
    assert "titanic (train.csv sha256 ab)" in described
    assert "commit    c0ffee" in described
    assert "tester" in described
    assert "failed 0 of" in described


def slipway(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "slipway", *words], cwd=ROOT, capture_output=True, text=True
    )


def test_the_commands(scenario: RolloutScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_ROLLOUT_SERVERS", scenario.address)
    refused = slipway("promote", "model", "2", "--now")
    assert refused.returncode == 1
    assert "use --reason" in refused.stderr
    done = slipway("promote", "model", "2", "--detach")
    assert done.returncode == 0, done.stderr
    assert rollout.active() == ["model"]
    ended = slipway("rollout", "abort", "model", "--reason", "second thoughts")
    assert ended.returncode == 0, ended.stderr
    assert "second thoughts" in ended.stdout
    runner = CliRunner()
    shown = runner.invoke(cli.app, ["rollout", "status"]).stdout
    assert "model v2 rolled back: aborted by command line" in shown
    history = runner.invoke(cli.app, ["history", "model"]).stdout
    assert "model v2 rolled back: aborted by command line" in history

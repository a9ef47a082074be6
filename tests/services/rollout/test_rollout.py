"""A rollout over a real registry: promoted, rolled back, delayed, aborted and refused."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services import rollout
from services.rollout import interference, traffic
from services.rollout import state as states
from services.rollout.decision import Stage
from services.rollout.running import RolloutRefused
from services.rollout.state import RolloutState
from slipway.home import free_port
from slipway.policy import Policy
from slipway.registry import promotions
from tests.conftest import ROOT
from tests.services.fake_models import echo
from tests.services.rollout.metrics_exporter import MetricsExporter
from tests.services.rollout.rollout_scenario import (
    PLAN,
    RolloutScenario,
    add_two_versions,
    rollout_scenario,
    write_policy,
)


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RolloutScenario]:
    with rollout_scenario(tmp_path, monkeypatch) as scenario:
        yield scenario


def test_a_good_version_is_promoted(scenario: RolloutScenario) -> None:
    scenario.registry.client.set_registered_model_tag(
        "model", "slipway.policy", '{"timeout_seconds": 3, "key": "who"}'
    )
    scenario.start()
    shares = set()
    with scenario.controller() as controller:
        while not (state := controller.step()).over:
            aliases, policy = scenario.split()
            assert policy
            shares.add((state.stage, aliases.get("challenger"), policy.challenger, policy.shadow))
            scenario.traffic(state)
    assert shares == {
        ("shadow", None, 0, 50),
        ("canary", "2", 5, 0),
        ("canary", "2", 50, 0),
    }
    assert scenario.split() == ({"champion": "2"}, scenario.split()[1])
    policy = scenario.split()[1]
    assert policy
    assert policy.model_dump(exclude={"since"}) == Policy(timeout_seconds=3, key="who").model_dump(
        exclude={"since"}
    )
    entries = promotions.history("model")
    assert scenario.events() == ["shadow", "canary", "canary", "promoted"]
    assert [each["promoted"] for each in entries] == [False, False, False, True]
    last = entries[-1]["evidence"]
    assert last["champion_version"] == "1"
    assert last["candidate"]["requests"] >= 20
    assert last["digest"] == scenario.registry.client.get_model_version("model", "2").tags["digest"]
    assert "failed 0 of" in last["rules"]["errors"]


def test_a_bad_version_is_rolled_back(scenario: RolloutScenario) -> None:
    scenario.start()
    scenario.until(Stage.CANARY)
    scenario.bad = True
    state = scenario.until(Stage.ROLLED_BACK)
    assert "rolled back (errors): failed" in state.note
    aliases, policy = scenario.split()
    assert aliases == {"champion": "1"}
    assert policy
    assert (policy.challenger, policy.shadow) == (0, 0)
    assert scenario.events() == ["shadow", "canary", "rolled back"]


def test_a_failing_shadow_never_serves_a_caller(scenario: RolloutScenario) -> None:
    scenario.bad = True
    scenario.start()
    scenario.until(Stage.ROLLED_BACK)
    assert scenario.events() == ["shadow", "rolled back"]


def test_an_isolated_challenger_is_rolled_back(scenario: RolloutScenario) -> None:
    """A shadow always runs in a process of its own: that is no fault."""
    isolated = scenario.exporter.isolated.labels("model", "2")
    isolated.set(1)
    scenario.start(PLAN.model_copy(update={"requests": 10_000}))
    scenario.until(Stage.CANARY)
    with scenario.controller() as controller:
        for flag, stage in ((1, Stage.CANARY), (0, Stage.CANARY), (1, Stage.ROLLED_BACK)):
            isolated.set(flag)
            scenario.traffic(controller.state)
            assert controller.step().stage == stage
    assert "isolation" in promotions.history("model")[-1]["reason"]


def test_an_unavailable_registry_delays_the_rollout(
    scenario: RolloutScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.start()
    scenario.until(Stage.CANARY)
    with scenario.controller() as controller:
        scenario.traffic(controller.state)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
        # The step has enough requests, but does not advance without the registry.
        for _ in range(3):
            scenario.exporter.count("2", "challenger", times=30)
            scenario.clock.now += 2
            state = controller.step()
            assert (state.stage, state.step) == (Stage.CANARY, 0)
            assert "registry unavailable" in state.note
        # The decision to roll back is taken now, and made as soon as the registry responds.
        scenario.exporter.requests.labels("model", "2", "challenger", "500").inc(200)
        state = controller.step()
        assert state.intended
        assert state.intended.to == Stage.ROLLED_BACK
        assert scenario.registry.client.get_registered_model("model").aliases["challenger"] == 2
    with scenario.controller() as controller:
        assert "registry unavailable" in controller.step().note
        monkeypatch.setenv("MLFLOW_TRACKING_URI", scenario.registry.uri)
        assert controller.step().stage == Stage.ROLLED_BACK
    assert scenario.split()[0] == {"champion": "1"}
    assert scenario.events() == ["shadow", "canary", "rolled back"]


def test_an_unavailable_server_delays_the_rollout_and_then_rolls_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = add_two_versions(tmp_path, monkeypatch)
    exporter, port = MetricsExporter(), free_port()
    with ExitStack() as up:
        address = up.enter_context(exporter.listening(port))
        scenario = RolloutScenario(registry, exporter, address)
        scenario.start(PLAN.model_copy(update={"blind_seconds": 60}))
        scenario.until(Stage.CANARY)
        with scenario.controller() as controller:
            scenario.traffic(controller.state)
            controller.step()
            up.close()
            scenario.clock.now += 50
            state = controller.step()
            assert state.stage == Stage.CANARY
            assert address in state.note
            with exporter.listening(port):
                scenario.clock.now += 5
                assert address not in controller.step().note
            scenario.clock.now += 61
            assert controller.step().stage == Stage.ROLLED_BACK
    assert "(blind): no metrics for 61 s" in promotions.history("model")[-1]["reason"]


def test_a_version_that_is_never_served_is_rolled_back(scenario: RolloutScenario) -> None:
    scenario.start()
    with scenario.controller() as controller:
        controller.step()
        scenario.clock.now += 100
        assert controller.step().stage == Stage.SHADOW
        scenario.clock.now += 30
        assert controller.step().stage == Stage.ROLLED_BACK
    assert "(serving): not served by every server" in promotions.history("model")[-1]["reason"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda registry: registry.client.set_registered_model_alias("model", "challenger", "3"),
            "made v3",
        ),
        (
            lambda registry: registry.client.set_registered_model_alias("model", "champion", "3"),
            "made v3",
        ),
        (
            lambda registry: registry.client.delete_registered_model_alias("model", "challenger"),
            "nobody",
        ),
        (lambda registry: write_policy(registry, '{"challenger": 90}'), "gave the challenger 90 %"),
        (lambda registry: write_policy(registry, '{"challenger": 900}'), "cannot be read"),
    ],
    ids=["challenger", "champion", "nobody", "share", "damaged"],
)
def test_a_change_by_others_rolls_back(scenario: RolloutScenario, change, message: str) -> None:
    scenario.registry.add("model", echo("right"), alias=None)
    scenario.start()
    scenario.until(Stage.CANARY)
    change(scenario.registry)
    with scenario.controller() as controller:
        state = controller.step()
    assert state.stage == Stage.ROLLED_BACK
    assert message in state.note
    aliases, policy = scenario.split()
    assert policy
    assert policy.challenger == 0
    # The aliases that others set stay.
    if message == "made v3":
        assert "3" in aliases.values()
    assert "2" not in aliases.values()


def test_a_rollout_is_aborted(scenario: RolloutScenario) -> None:
    state = scenario.start()
    scenario.until(Stage.CANARY)
    states.request_abort(state.model_copy(update={"id": "of another"}), actor="me", reason="old")
    with scenario.controller() as controller:
        assert controller.step().stage == Stage.CANARY
        states.request_abort(state, actor="me", reason="wrong data")
        assert controller.step().stage == Stage.ROLLED_BACK
    last = promotions.history("model")[-1]
    assert last["reason"] == "aborted by me: wrong data"
    assert scenario.split()[0] == {"champion": "1"}


def test_a_locked_registry_does_not_delay_a_rollback(scenario: RolloutScenario) -> None:
    """A registration holds for a minute the lock that the log's writers share."""
    scenario.start()
    scenario.until(Stage.CANARY)
    holding = (
        "from slipway.registry import tracking\n"
        "with tracking.writing():\n"
        "    print('in', flush=True)\n"
        "    input()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", holding],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout
        assert other.stdout.readline() == "in\n"
        scenario.bad = True
        with scenario.controller() as controller:
            scenario.traffic(controller.state)
            state = controller.step()
            assert state.stage == Stage.CANARY
            assert "a version is being registered" in state.note
            aliases, policy = scenario.split()
            assert aliases == {"champion": "1"}
            assert policy
            assert policy.challenger == 0
            other.communicate("go\n", timeout=600)
            assert controller.step().stage == Stage.ROLLED_BACK
    finally:
        other.kill()
        other.wait(60)
    assert scenario.events() == ["shadow", "canary", "rolled back"]


def test_an_impossible_rollout_is_refused(scenario: RolloutScenario) -> None:
    with pytest.raises(traffic.NoVersion, match="no version '9'"):
        rollout.start("model", "9", actor="tester")
    with pytest.raises(traffic.NoVersion):
        rollout.start("nobody", "1", actor="tester")
    with pytest.raises(ValueError, match="project: must match"):
        rollout.start("../model", "1", actor="tester")
    with pytest.raises(RolloutRefused, match="champion already"):
        rollout.start("model", "1", actor="tester")
    scenario.registry.client.set_registered_model_alias("model", "challenger", "1")
    write_policy(scenario.registry, '{"challenger": 10}')
    with pytest.raises(RolloutRefused, match="v1 is challenger of 10 %"):
        scenario.start()
    write_policy(scenario.registry, "{}")
    scenario.start()
    with pytest.raises(RolloutRefused, match="v2 is being rolled out"):
        rollout.start("model", "1", actor="tester")
    assert rollout.active() == ["model"]


def test_a_damaged_state_affects_only_its_own_project(scenario: RolloutScenario) -> None:
    scenario.start()
    (states.folder() / "other.json").write_text('{"id": "1"')
    assert rollout.active() == ["model"]
    (states.folder() / "model.json").write_text('{"id": "1"}')
    with pytest.raises(states.StateDamaged, match=r"model\.json holds no rollout"):
        scenario.start()


def test_a_first_champion_is_promoted_without_comparison(scenario: RolloutScenario) -> None:
    scenario.registry.client.delete_registered_model_alias("model", "champion")
    scenario.start()
    with scenario.controller() as controller:
        assert controller.step().stage == Stage.PROMOTED
    assert scenario.split()[0] == {"champion": "2"}


def test_an_intended_transition_is_no_interference() -> None:
    """The intended transition may already have been made, by the controller itself."""
    intended = states.Transition(to=Stage.PROMOTED, rule="canary", reason="-", at=0)
    state = RolloutState(
        id="1", project="model", version="2", champion="1", plan=PLAN, actor="t", started=0,
        entered=0, stage=Stage.CANARY, intended=intended,
    )  # fmt: skip
    split = traffic.TrafficSplit({"champion": "2", "challenger": "2"}, Policy(challenger=50))
    assert interference.detect(state, split) == ""
    elsewhere = traffic.TrafficSplit({"champion": "3", "challenger": "2"}, Policy(challenger=50))
    assert "made v3 the champion" in interference.detect(state, elsewhere)


def test_a_tampered_log_does_not_prevent_a_rollback(scenario: RolloutScenario) -> None:
    scenario.start()
    scenario.until(Stage.CANARY)
    file = promotions.log_file()
    lines = file.read_text().splitlines()
    changed = {**json.loads(lines[0]), "reason": "another"}
    file.write_text("\n".join([json.dumps(changed), *lines[1:]]) + "\n")
    scenario.bad = True
    with scenario.controller() as controller:
        scenario.traffic(controller.state)
        state = controller.step()
    assert "ChainBroken" in state.note
    assert scenario.split()[0] == {"champion": "1"}
    assert file.read_text().splitlines()[1:] == lines[1:]

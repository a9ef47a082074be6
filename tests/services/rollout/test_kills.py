"""A rollout whose controller is killed at any moment, and what takes over."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.rollout import state as states
from services.rollout.controller import AlreadyControlled
from services.rollout.decision import Stage
from services.rollout.state import RolloutState
from slipway.registry import promotions
from tests.conftest import ROOT
from tests.services.rollout.rollout_scenario import PLAN, RolloutScenario, rollout_scenario


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RolloutScenario]:
    with rollout_scenario(tmp_path, monkeypatch) as scenario:
        yield scenario


class Killed(BaseException):
    """Stands for kill -9: no code of Slipway catches it."""


CHANGES = (
    "set_registered_model_alias",
    "set_registered_model_tag",
    "delete_registered_model_alias",
)


class KillSwitch:
    """Raises Killed before the change with this number: of a file, the log or the registry."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int) -> None:
        self.left, self.fired = number, False
        from mlflow import MlflowClient

        places = [(states, "save"), (promotions, "append")]
        for owner, name in [*places, *((MlflowClient, name) for name in CHANGES)]:
            self._wrap(patch, owner, name)

    def _wrap(self, patch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        real = getattr(owner, name)

        def wrapped(*arguments: object, **more: object) -> object:
            self.left -= 1
            if self.left < 0 and not self.fired:
                self.fired = True
                raise Killed
            return real(*arguments, **more)

        patch.setattr(owner, name, wrapped)


@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
def test_after_a_kill_at_any_moment_another_controller_finishes(
    scenario: RolloutScenario, bad: bool
) -> None:
    # As few steps as possible, because each moment of them is a rollout of its own.
    hasty = {"requests": 10, "shadow_requests": 10, "seconds": 0, "shadow_seconds": 0}
    plan = PLAN.model_copy(update={"shadow": 0.0 if bad else 50.0, "canary": (50.0,), **hasty})
    expected = ["canary", "rolled back"] if bad else ["shadow", "canary", "promoted"]
    scenario.bad = bad
    number = 0
    while True:
        before = len(promotions.history("model"))
        scenario.start(plan)
        with pytest.MonkeyPatch.context() as patch:
            switch = KillSwitch(patch, number)
            state = _run_to_end(scenario, before)
        assert expected == scenario.events()[before:], number
        assert state.stage == (Stage.ROLLED_BACK if bad else Stage.PROMOTED)
        aliases, policy = scenario.split()
        assert aliases == {"champion": "1" if bad else "2"}
        assert policy
        assert (policy.challenger, policy.shadow) == (0, 0)
        if not switch.fired:
            break
        number += 1
        scenario.registry.client.set_registered_model_alias("model", "champion", "1")
    # A rollout has at least so many changes.
    assert number > 3 * len(expected)


def _run_to_end(scenario: RolloutScenario, before: int) -> RolloutState:
    """Run controllers until the rollout is over; the log must name whatever serves."""
    for _ in range(3):
        try:
            with scenario.controller() as controller:
                for _ in range(40):
                    state = controller.step()
                    if state.over:
                        return state
                    scenario.traffic(state)
        except Killed:
            _, policy = scenario.split()
            assert policy
            for variant, event in (("challenger", "canary"), ("shadow", "shadow")):
                if percent := getattr(policy, variant):
                    logged = [
                        each["evidence"]["percent"]
                        for each in promotions.history("model")[before:]
                        if each["evidence"]["event"] == event
                    ]
                    assert percent in logged
    raise AssertionError("the rollout did not end")


def test_a_killed_controller_releases_its_lock(scenario: RolloutScenario) -> None:
    scenario.start()
    code = (
        "import os, signal\n"
        "from services.rollout import Controller\n"
        "with Controller('model', servers=('http://127.0.0.1:1',)):\n"
        "    print('in', flush=True)\n"
        "    signal.pause()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout
        assert other.stdout.readline() == "in\n"
        with pytest.raises(AlreadyControlled, match="another process"), scenario.controller():
            pass
        with pytest.raises(AlreadyControlled):
            scenario.start()
    finally:
        other.kill()
        other.wait(60)
    with scenario.controller() as controller:
        assert controller.step().stage == Stage.SHADOW

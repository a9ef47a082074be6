"""A rollout over a real registry: carried on, killed, taken over, held up, interfered with."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slipway import cli, rollout
from slipway.access import audit
from slipway.home import free_port
from slipway.policy import Policy
from slipway.registry import promotions
from slipway.rollout import by_hand, checks, interference, served, traffic
from slipway.rollout import state as states
from slipway.rollout.controller import Controlled, Controller
from slipway.rollout.decision import Stage
from slipway.rollout.plan import Plan
from slipway.rollout.running import Refused
from slipway.rollout.state import State
from tests.conftest import ROOT
from tests.services.zoo import Zoo, echo
from tests.slipway.exporter import Exporter
from tests.small_models import SmallModels
from tests.workspaces import linked

PLAN = Plan(
    checks=(),
    shadow=50,
    shadow_requests=20,
    shadow_seconds=1,
    disagreement=None,
    canary=(5, 50),
    requests=20,
    seconds=1,
    baseline_requests=20,
)


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Scene:
    """A project with champion v1 and candidate v2, and one server's figures."""

    def __init__(self, zoo: Zoo, exporter: Exporter, address: str) -> None:
        self.zoo, self.exporter, self.address = zoo, exporter, address
        self.clock = Clock()
        self.bad = False
        exporter.answer("1", "champion", times=200)
        exporter.serve("1", "champion")

    def start(self, plan: Plan = PLAN) -> State:
        return rollout.start("model", "2", plan=plan, actor="tester")

    def controller(self) -> Controller:
        return Controller("model", servers=(self.address,), clock=self.clock)

    def traffic(self, state: State) -> None:
        """What the server would do by the registry's wish, and two seconds of it."""
        self.clock.now += 2
        self.exporter.answer("1", "champion", times=30)
        standing = traffic.standing("model")
        for variant in ("shadow", "challenger"):
            bears = standing.aliases.get(variant) == "2"
            self.exporter.serve("2", variant, int(bears))
            if bears and getattr(standing.policy, variant):
                self.exporter.answer("2", variant, times=15)
                if self.bad:
                    self.exporter.requests.labels("model", "2", variant, "500").inc(15)

    def until(self, stage: Stage, *, looks: int = 40) -> State:
        """Look and serve in turns until the rollout is there."""
        with self.controller() as controller:
            for _ in range(looks):
                state = controller.step()
                if state.stage == stage:
                    return state
                self.traffic(state)
        raise AssertionError(f"never {stage}: {state.stage}, {state.note}")

    def events(self) -> list[str]:
        return [each["evidence"]["event"] for each in promotions.history("model")]

    def standing(self) -> tuple[dict[str, str], Policy | None]:
        found = traffic.standing("model")
        return found.aliases, found.policy


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    zoo = Zoo(tmp_path)
    monkeypatch.setenv("SLIPWAY_HOME", str(zoo.home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", zoo.uri)
    zoo.add("model", echo("right"))
    zoo.add("model", echo("right"), alias=None)
    return zoo


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> SmallModels:
    """A registry of small models; the second version of `loans` learned from wrong labels."""
    from slipway.registry.register import register
    from slipway.stages.evaluate import evaluate
    from slipway.stages.fit import fit
    from slipway.training import examples
    from slipway.training.splits import read_split

    models = SmallModels(tmp_path_factory.mktemp("two_versions"), names=("loans",))
    first = models.works["loans"]
    with models.active():
        # The gate is open: the registry holds what a rollout is to refuse.
        work = replace(linked(first, models.folder / "second"), params=first.params.shrunk())
        train = read_split(work, "train")
        (work.data / "train.parquet").unlink()  # a link
        upside_down = [(record, not truth) for record, truth in train]
        examples.write(upside_down, work.data / "train.parquet")
        for file in (work.candidates, work.parity, work.receipt):
            file.unlink()
        shutil.rmtree(work.volatile)
        for stage in (fit, evaluate, register):
            stage(work)
    return models


@pytest.fixture
def scene(zoo: Zoo) -> Iterator[Scene]:
    exporter = Exporter()
    with exporter.listening() as address:
        yield Scene(zoo, exporter, address)


def test_a_good_version_goes_all_the_way(scene: Scene) -> None:
    scene.zoo.client.set_registered_model_tag(
        "model", "slipway.policy", '{"timeout_seconds": 3, "key": "who"}'
    )
    scene.start()
    shares = set()
    with scene.controller() as controller:
        while not (state := controller.step()).over:
            aliases, policy = scene.standing()
            assert policy
            shares.add((state.stage, aliases.get("challenger"), policy.challenger, policy.shadow))
            scene.traffic(state)
    assert shares == {
        ("shadow", None, 0, 50),
        ("canary", "2", 5, 0),
        ("canary", "2", 50, 0),
    }
    assert scene.standing() == ({"champion": "2"}, scene.standing()[1])
    policy = scene.standing()[1]
    assert policy
    assert policy.model_dump(exclude={"since"}) == Policy(timeout_seconds=3, key="who").model_dump(
        exclude={"since"}
    )
    story = promotions.history("model")
    assert scene.events() == ["shadow", "canary", "canary", "promoted"]
    assert [each["promoted"] for each in story] == [False, False, False, True]
    last = story[-1]["evidence"]
    assert last["champion_version"] == "1"
    assert last["candidate"]["requests"] >= 20
    assert last["digest"] == scene.zoo.client.get_model_version("model", "2").tags["digest"]
    assert "failed 0 of" in last["rules"]["errors"]


def test_a_bad_version_goes_back(scene: Scene) -> None:
    scene.start()
    scene.until(Stage.CANARY)
    scene.bad = True
    state = scene.until(Stage.ROLLED_BACK)
    assert "rolled back (errors): failed" in state.note
    aliases, policy = scene.standing()
    assert aliases == {"champion": "1"}
    assert policy
    assert (policy.challenger, policy.shadow) == (0, 0)
    assert scene.events() == ["shadow", "canary", "rolled back"]


def test_a_shadow_that_fails_never_meets_a_caller(scene: Scene) -> None:
    scene.bad = True
    scene.start()
    scene.until(Stage.ROLLED_BACK)
    assert scene.events() == ["shadow", "rolled back"]


def test_an_isolated_challenger_goes_back(scene: Scene) -> None:
    """The shadow runs in a process of its own always: that is no fault."""
    apart = scene.exporter.isolated.labels("model", "2")
    apart.set(1)
    scene.start(PLAN.model_copy(update={"requests": 10_000}))
    scene.until(Stage.CANARY)
    with scene.controller() as controller:
        for flag, stage in ((1, Stage.CANARY), (0, Stage.CANARY), (1, Stage.ROLLED_BACK)):
            apart.set(flag)
            scene.traffic(controller.state)
            assert controller.step().stage == stage
    assert "isolation" in promotions.history("model")[-1]["reason"]


class Killed(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


CHANGES = (
    "set_registered_model_alias",
    "set_registered_model_tag",
    "delete_registered_model_alias",
)


class Bomb:
    """Kills before the change with this number: of a file, the log or the registry."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int) -> None:
        self.left, self.went_off = number, False
        from mlflow import MlflowClient

        places = [(states, "save"), (promotions, "append")]
        for owner, name in [*places, *((MlflowClient, name) for name in CHANGES)]:
            self._wire(patch, owner, name)

    def _wire(self, patch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        real = getattr(owner, name)

        def wired(*arguments: object, **more: object) -> object:
            self.left -= 1
            if self.left < 0 and not self.went_off:
                self.went_off = True
                raise Killed
            return real(*arguments, **more)

        patch.setattr(owner, name, wired)


@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
def test_killed_at_any_moment_another_goes_on(scene: Scene, bad: bool) -> None:
    # As few looks as can be: each moment of them is a rollout of its own.
    hasty = {"requests": 10, "shadow_requests": 10, "seconds": 0, "shadow_seconds": 0}
    plan = PLAN.model_copy(update={"shadow": 0.0 if bad else 50.0, "canary": (50.0,), **hasty})
    story = ["canary", "rolled back"] if bad else ["shadow", "canary", "promoted"]
    scene.bad = bad
    number = 0
    while True:
        before = len(promotions.history("model"))
        scene.start(plan)
        with pytest.MonkeyPatch.context() as patch:
            bomb = Bomb(patch, number)
            state = _carried_on(scene, before)
        assert [*story] == scene.events()[before:], number
        assert state.stage == (Stage.ROLLED_BACK if bad else Stage.PROMOTED)
        aliases, policy = scene.standing()
        assert aliases == {"champion": "1" if bad else "2"}
        assert policy
        assert (policy.challenger, policy.shadow) == (0, 0)
        if not bomb.went_off:
            break
        number += 1
        scene.zoo.client.set_registered_model_alias("model", "champion", "1")
    # As many changes as there are in the way of one rollout, at the least.
    assert number > 3 * len(story)


def _carried_on(scene: Scene, before: int) -> State:
    """By as many controllers as it takes; nothing serves that the log does not tell of."""
    for _ in range(3):
        try:
            with scene.controller() as controller:
                for _ in range(40):
                    state = controller.step()
                    if state.over:
                        return state
                    scene.traffic(state)
        except Killed:
            _, policy = scene.standing()
            assert policy
            for variant, event in (("challenger", "canary"), ("shadow", "shadow")):
                if percent := getattr(policy, variant):
                    told = [
                        each["evidence"]["percent"]
                        for each in promotions.history("model")[before:]
                        if each["evidence"]["event"] == event
                    ]
                    assert percent in told
    raise AssertionError("never over")


def test_a_controller_that_was_killed_lets_go(scene: Scene) -> None:
    scene.start()
    code = (
        "import os, signal\n"
        "from slipway.rollout import Controller\n"
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
        with pytest.raises(Controlled, match="another process"), scene.controller():
            pass
        with pytest.raises(Controlled):
            scene.start()
    finally:
        other.kill()
        other.wait(60)
    with scene.controller() as controller:
        assert controller.step().stage == Stage.SHADOW


def test_a_registry_that_is_away_is_waited_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.start()
    scene.until(Stage.CANARY)
    with scene.controller() as controller:
        scene.traffic(controller.state)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
        # Proven meanwhile, but nothing goes on without the registry.
        for _ in range(3):
            scene.exporter.answer("2", "challenger", times=30)
            scene.clock.now += 2
            state = controller.step()
            assert (state.stage, state.step) == (Stage.CANARY, 0)
            assert "registry away" in state.note
        # Nor is it waited with the decision: it is made as soon as it can be.
        scene.exporter.requests.labels("model", "2", "challenger", "500").inc(200)
        state = controller.step()
        assert state.intended
        assert state.intended.to == Stage.ROLLED_BACK
        assert scene.zoo.client.get_registered_model("model").aliases["challenger"] == 2
    with scene.controller() as controller:
        assert "registry away" in controller.step().note
        monkeypatch.setenv("MLFLOW_TRACKING_URI", scene.zoo.uri)
        assert controller.step().stage == Stage.ROLLED_BACK
    assert scene.standing()[0] == {"champion": "1"}
    assert scene.events() == ["shadow", "canary", "rolled back"]


def test_a_server_that_is_away_holds_it_up_and_then_ends_it(zoo: Zoo) -> None:
    exporter, port = Exporter(), free_port()
    with ExitStack() as up:
        address = up.enter_context(exporter.listening(port))
        scene = Scene(zoo, exporter, address)
        scene.start(PLAN.model_copy(update={"blind_seconds": 60}))
        scene.until(Stage.CANARY)
        with scene.controller() as controller:
            scene.traffic(controller.state)
            controller.step()
            up.close()
            scene.clock.now += 50
            state = controller.step()
            assert state.stage == Stage.CANARY
            assert address in state.note
            with exporter.listening(port):
                scene.clock.now += 5
                assert address not in controller.step().note
            scene.clock.now += 61
            assert controller.step().stage == Stage.ROLLED_BACK
    assert "(blind): no figures for 61 s" in promotions.history("model")[-1]["reason"]


def test_a_version_that_is_never_served_goes_back(scene: Scene) -> None:
    scene.start()
    with scene.controller() as controller:
        controller.step()
        scene.clock.now += 100
        assert controller.step().stage == Stage.SHADOW
        scene.clock.now += 30
        assert controller.step().stage == Stage.ROLLED_BACK
    assert "(serving): not served by every server" in promotions.history("model")[-1]["reason"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda zoo: zoo.client.set_registered_model_alias("model", "challenger", "3"), "made v3"),
        (lambda zoo: zoo.client.set_registered_model_alias("model", "champion", "3"), "made v3"),
        (lambda zoo: zoo.client.delete_registered_model_alias("model", "challenger"), "nobody"),
        (lambda zoo: _policy(zoo, '{"challenger": 90}'), "gave the challenger 90 %"),
        (lambda zoo: _policy(zoo, '{"challenger": 900}'), "cannot be read"),
    ],
    ids=["challenger", "champion", "nobody", "share", "damaged"],
)
def test_what_others_change_ends_it(scene: Scene, change, told: str) -> None:
    scene.zoo.add("model", echo("right"), alias=None)
    scene.start()
    scene.until(Stage.CANARY)
    change(scene.zoo)
    with scene.controller() as controller:
        state = controller.step()
    assert state.stage == Stage.ROLLED_BACK
    assert told in state.note
    aliases, policy = scene.standing()
    assert policy
    assert policy.challenger == 0
    # What was changed by others stays theirs.
    if told == "made v3":
        assert "3" in aliases.values()
    assert "2" not in aliases.values()


def _policy(zoo: Zoo, text: str) -> None:
    zoo.client.set_registered_model_tag("model", "slipway.policy", text)


def test_a_rollout_is_aborted(scene: Scene) -> None:
    state = scene.start()
    scene.until(Stage.CANARY)
    states.ask_abort(state.model_copy(update={"id": "of another"}), actor="me", reason="old")
    with scene.controller() as controller:
        assert controller.step().stage == Stage.CANARY
        states.ask_abort(state, actor="me", reason="wrong data")
        assert controller.step().stage == Stage.ROLLED_BACK
    last = promotions.history("model")[-1]
    assert last["reason"] == "aborted by me: wrong data"
    assert scene.standing()[0] == {"champion": "1"}


def test_a_held_registry_does_not_hold_up_the_way_back(scene: Scene) -> None:
    """A registration holds the lock that the log's writers share, for a minute."""
    scene.start()
    scene.until(Stage.CANARY)
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
        scene.bad = True
        with scene.controller() as controller:
            scene.traffic(controller.state)
            state = controller.step()
            assert state.stage == Stage.CANARY
            assert "somebody registers" in state.note
            aliases, policy = scene.standing()
            assert aliases == {"champion": "1"}
            assert policy
            assert policy.challenger == 0
            other.communicate("go\n", timeout=600)
            assert controller.step().stage == Stage.ROLLED_BACK
    finally:
        other.kill()
        other.wait(60)
    assert scene.events() == ["shadow", "canary", "rolled back"]


def test_what_cannot_begin_is_refused(scene: Scene) -> None:
    with pytest.raises(traffic.NoVersion, match="no version '9'"):
        rollout.start("model", "9", actor="tester")
    with pytest.raises(traffic.NoVersion):
        rollout.start("nobody", "1", actor="tester")
    with pytest.raises(ValueError, match="project: must match"):
        rollout.start("../model", "1", actor="tester")
    with pytest.raises(Refused, match="champion already"):
        rollout.start("model", "1", actor="tester")
    scene.zoo.client.set_registered_model_alias("model", "challenger", "1")
    _policy(scene.zoo, '{"challenger": 10}')
    with pytest.raises(Refused, match="v1 is challenger of 10 %"):
        scene.start()
    _policy(scene.zoo, "{}")
    scene.start()
    with pytest.raises(Refused, match="v2 is being rolled out"):
        rollout.start("model", "1", actor="tester")
    assert rollout.active() == ["model"]


def test_a_damaged_state_holds_up_its_own_project_alone(scene: Scene) -> None:
    scene.start()
    (states.folder() / "other.json").write_text('{"id": "1"')
    assert rollout.active() == ["model"]
    (states.folder() / "model.json").write_text('{"id": "1"}')
    with pytest.raises(states.StateDamaged, match=r"model\.json holds no rollout"):
        scene.start()


def test_a_first_champion_has_nobody_to_compare_with(scene: Scene) -> None:
    scene.zoo.client.delete_registered_model_alias("model", "champion")
    scene.start()
    with scene.controller() as controller:
        assert controller.step().stage == Stage.PROMOTED
    assert scene.standing()[0] == {"champion": "2"}


def with_run(zoo: Zoo, *, gate: str | None, **metrics: float) -> str:
    """A version with a run that tells this."""
    run = zoo.client.create_run("0")
    if gate:
        zoo.client.set_tag(run.info.run_id, "gate", gate)
    for name, value in metrics.items():
        zoo.client.log_metric(run.info.run_id, name, value)
    source = zoo.client.get_model_version("model", "2").source
    made = zoo.client.create_model_version("model", source, run_id=run.info.run_id)
    return str(made.version)


PARITY = {"parity_error": 1e-6, "parity_agreement": 1.0}


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ({"gate": "not met", **PARITY}, "gate not met: must be met, got 'not met'"),
        ({"gate": None, **PARITY}, "gate not met"),
        (
            {"gate": "met", "parity_error": 0.5, "parity_agreement": 1.0},
            "parity not met: parity_error <= 0.001, got 0.5",
        ),
        (
            {"gate": "met", "parity_error": 1e-6, "parity_agreement": 0.9},
            "parity not met: parity_agreement >= 0.999, got 0.9",
        ),
        ({"gate": "met"}, "parity_error <= 0.001, got no such metric"),
        ({"gate": "met", **PARITY}, ""),
    ],
)
def test_gate_and_parity_come_first(scene: Scene, run: dict, told: str) -> None:
    version = with_run(scene.zoo, **run)
    rollout.start(
        "model", version, plan=PLAN.model_copy(update={"checks": ("gate", "parity")}), actor="t"
    )
    with scene.controller() as controller:
        state = controller.step()
    if told:
        assert state.stage == Stage.REFUSED
        assert told in state.note
        assert scene.events() == ["refused"]
        assert scene.standing()[0] == {"champion": "1"}
    else:
        assert state.stage == Stage.SHADOW
        evidence = promotions.history("model")[0]["evidence"]
        assert evidence["gate"]["metrics"]["parity_error"] == 1e-6
        assert evidence["comparison"] == "left out by the plan"


def test_what_cannot_be_checked_is_refused(scene: Scene) -> None:
    """The defaults ask for everything: a version without run or project has nothing to show."""
    rollout.start("model", "2", actor="tester")
    with scene.controller() as controller:
        state = controller.step()
    assert state.stage == Stage.REFUSED
    assert "v2 has no run that tells its metrics" in state.note


@pytest.mark.parametrize(("version", "champion"), [("1", "2"), ("2", "1")])
def test_a_version_is_compared_on_the_same_rows(
    version: str, champion: str, two_versions: SmallModels
) -> None:
    """A project with test rows and a score, and the checks that the defaults ask for."""
    with two_versions.active():
        compare_on_the_same_rows(version, champion)


def compare_on_the_same_rows(version: str, champion: str) -> None:
    traffic.stop("loans", version)
    traffic.assign("loans", "champion", champion)
    rollout.start("loans", version, actor="tester")
    with Controller("loans", servers=("http://127.0.0.1:1",)) as controller:
        state = controller.step()
    last = promotions.history("loans")[-1]
    evidence = last["evidence"]
    assert evidence["dataset"] == "small_loans"
    assert "git_commit" in evidence
    if version == "2":
        assert state.stage == Stage.REFUSED
        assert "comparison not met: worse: accuracy" in last["reason"]
        return
    assert state.stage == Stage.SHADOW, state.note
    compared = evidence["comparison"]
    assert compared["rows"] > 50
    scores = [
        traffic.registry().get_run(traffic.version("loans", each).run_id).data.metrics
        for each in ("1", "2")
    ]
    # As they were scored when they were registered: the same rows, the same answers.
    assert compared["score"] == scores[0]["accuracy"]
    assert compared["champion_score"] == scores[1]["accuracy"]
    states.ask_abort(state, actor="tester", reason="done")
    with Controller("loans", servers=("http://127.0.0.1:1",)) as controller:
        assert controller.step().stage == Stage.ROLLED_BACK


def test_people_promote_and_roll_back_on_record(scene: Scene) -> None:
    scene.zoo.add("model", echo("right"), alias=None)
    with pytest.raises(by_hand.NoReason):
        by_hand.promote("model", "2", actor="me", reason=" ")
    with pytest.raises(served.NoneBefore):
        by_hand.rollback("model", to=None, actor="me", reason="bad")
    by_hand.rollback("model", to="1", actor="me", reason="to begin with")
    for version in ("2", "3"):
        by_hand.promote("model", version, actor="me", reason="because")
    assert scene.standing()[0] == {"champion": "3"}
    # Twice back leads to the one before that, not forward to what was left.
    assert by_hand.rollback("model", to=None, actor="me", reason="bad") == "2"
    assert by_hand.rollback("model", to=None, actor="me", reason="bad too") == "1"
    assert scene.standing()[0] == {"champion": "1"}
    with pytest.raises(served.NoneBefore):
        by_hand.rollback("model", to=None, actor="me", reason="bad")
    last = promotions.history("model")[-1]
    assert (last["version"], last["promoted"], last["reason"]) == ("1", True, "bad too")
    assert last["evidence"]["approver"] == "me"
    assert [each["action"] for each in audit.entries()][-1] == "rollback"


def test_what_served_at_any_time(scene: Scene) -> None:
    by_hand.promote("model", "1", actor="me", reason="to begin with")
    scene.start()
    scene.until(Stage.CANARY)
    scene.until(Stage.PROMOTED)
    story = promotions.history("model")
    times = [served.moment(entry["time"]) for entry in story]

    def at(place: int) -> served.Served:
        return served.at("model", times[place], story)

    assert [at(place).version for place in range(len(story))] == ["1", "1", "1", "1", "2"]
    trials = [at(place).trial for place in range(len(story))]
    assert [trial and trial["evidence"]["percent"] for trial in trials] == [None, 50, 5, 50, None]
    with pytest.raises(served.NothingServed):
        served.at("model", served.moment("2000-01-01"), story)
    with pytest.raises(served.BadTime, match="must be a time like"):
        served.moment("yesterday")
    tags = {"dataset": "titanic", "data_sha256": '{"train.csv": "ab"}', "git_commit": "c0ffee"}
    told = "\n".join(served.lines(at(4), tags))
    assert "titanic (train.csv sha256 ab)" in told
    assert "commit    c0ffee" in told
    assert "tester" in told
    assert "failed 0 of" in told


def slipway(zoo: Zoo, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "slipway", *words], cwd=ROOT, capture_output=True, text=True
    )


def test_the_commands(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_ROLLOUT_SERVERS", scene.address)
    refused = slipway(scene.zoo, "promote", "model", "2", "--now")
    assert refused.returncode == 1
    assert "give --reason" in refused.stderr
    done = slipway(scene.zoo, "promote", "model", "2", "--detach")
    assert done.returncode == 0, done.stderr
    assert rollout.active() == ["model"]
    ended = slipway(scene.zoo, "rollout", "abort", "model", "--reason", "second thoughts")
    assert ended.returncode == 0, ended.stderr
    assert "second thoughts" in ended.stdout
    runner = CliRunner()
    shown = runner.invoke(cli.app, ["rollout", "status"]).stdout
    assert "model v2 rolled back: aborted by command line" in shown
    told = runner.invoke(cli.app, ["history", "model"]).stdout
    assert "model v2 rolled back: aborted by command line" in told


def test_interference_knows_what_is_under_way(zoo: Zoo) -> None:
    """What was written down may have been made: that is not somebody else's doing."""
    made = states.Transition(to=Stage.PROMOTED, rule="canary", reason="-", at=0)
    state = State(
        id="1", project="model", version="2", champion="1", plan=PLAN, actor="t", started=0,
        entered=0, stage=Stage.CANARY, intended=made,
    )  # fmt: skip
    standing = traffic.Standing({"champion": "2", "challenger": "2"}, Policy(challenger=50))
    assert interference.found(state, standing) == ""
    elsewhere = traffic.Standing({"champion": "3", "challenger": "2"}, Policy(challenger=50))
    assert "made v3 the champion" in interference.found(state, elsewhere)


def test_a_tampered_log_is_not_written_to_but_callers_are_safe(scene: Scene) -> None:
    scene.start()
    scene.until(Stage.CANARY)
    file = promotions.log_file()
    lines = file.read_text().splitlines()
    changed = {**json.loads(lines[0]), "reason": "another"}
    file.write_text("\n".join([json.dumps(changed), *lines[1:]]) + "\n")
    scene.bad = True
    with scene.controller() as controller:
        scene.traffic(controller.state)
        state = controller.step()
    assert "ChainBroken" in state.note
    assert scene.standing()[0] == {"champion": "1"}
    assert file.read_text().splitlines()[1:] == lines[1:]


def test_a_comparison_that_is_ended_from_outside_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make down` ends every process of the tree; the next controller compares again."""
    ends_itself = tmp_path / "python"
    ends_itself.write_text("#!/bin/sh\nkill -TERM $$\n")
    ends_itself.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(ends_itself))
    with pytest.raises(RuntimeError, match="ended by signal 15"):
        checks._comparison("flowers", "2", "1", Plan())
    ends_itself.write_text("#!/bin/sh\necho it broke >&2\nexit 3\n")
    with pytest.raises(checks.NotMet, match="comparison not met: it broke"):
        checks._comparison("flowers", "2", "1", Plan())

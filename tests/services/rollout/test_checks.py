"""The checks that come before a version gets a request: gate, parity, comparison."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services import rollout
from services.rollout import checks, traffic
from services.rollout import state as states
from services.rollout.controller import Controller
from services.rollout.decision import Stage
from services.rollout.plan import RolloutPlan
from slipway.registry import promotions
from tests.services.fake_models import ModelRegistryFixture
from tests.services.rollout.rollout_scenario import (
    PLAN,
    RolloutScenario,
    rollout_scenario,
)
from tests.small_models import SmallModels
from tests.workspaces import linked


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RolloutScenario]:
    with rollout_scenario(tmp_path, monkeypatch) as scenario:
        yield scenario


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> SmallModels:
    """A registry of small models; version 2 of `loans` was trained on inverted labels."""
    from slipway.registry.signed import register
    from slipway.stages.evaluate import evaluate
    from slipway.stages.fit import fit
    from slipway.training import labelled_rows
    from slipway.training.splits import read_split

    models = SmallModels(tmp_path_factory.mktemp("two_versions"), names=("loans",))
    first = models.works["loans"]
    with models.active():
        # The gate is lowered, so that the registry has a version for the rollout to refuse.
        work = replace(linked(first, models.folder / "second"), params=first.params.shrunk())
        train = read_split(work, "train")
        (work.data / "train.parquet").unlink()  # a link
        inverted = [(record, not label) for record, label in train]
        labelled_rows.write(inverted, work.data / "train.parquet")
        for file in (work.candidates, work.parity, work.receipt):
            file.unlink()
        shutil.rmtree(work.volatile)
        for stage in (fit, evaluate, register):
            stage(work)
    return models


def version_with_run(registry: ModelRegistryFixture, *, gate: str | None, **metrics: float) -> str:
    """Register a version whose MLflow run has this gate tag and these metrics."""
    run = registry.client.create_run("0")
    if gate:
        registry.client.set_tag(run.info.run_id, "gate", gate)
    for name, value in metrics.items():
        registry.client.log_metric(run.info.run_id, name, value)
    source = registry.client.get_model_version("model", "2").source
    version = registry.client.create_model_version("model", source, run_id=run.info.run_id)
    return str(version.version)


PARITY = {"parity_error": 1e-6, "parity_agreement": 1.0}


@pytest.mark.parametrize(
    ("run", "message"),
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
def test_gate_and_parity_come_first(scenario: RolloutScenario, run: dict, message: str) -> None:
    version = version_with_run(scenario.registry, **run)
    rollout.start(
        "model", version, plan=PLAN.model_copy(update={"checks": ("gate", "parity")}), actor="t"
    )
    with scenario.controller() as controller:
        state = controller.step()
    if message:
        assert state.stage == Stage.REFUSED
        assert message in state.note
        assert scenario.events() == ["refused"]
        assert scenario.split()[0] == {"champion": "1"}
    else:
        assert state.stage == Stage.SHADOW
        evidence = promotions.history("model")[0]["evidence"]
        assert evidence["gate"]["metrics"]["parity_error"] == 1e-6
        assert evidence["comparison"] == "left out by the plan"


def test_a_version_that_cannot_be_checked_is_refused(scenario: RolloutScenario) -> None:
    """By default all checks run, and a version without an MLflow run cannot pass them."""
    rollout.start("model", "2", actor="tester")
    with scenario.controller() as controller:
        state = controller.step()
    assert state.stage == Stage.REFUSED
    assert "v2 has no MLflow run with metrics" in state.note


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
    # The scores are those of the registration: same rows, same predictions.
    assert compared["score"] == scores[0]["accuracy"]
    assert compared["champion_score"] == scores[1]["accuracy"]
    states.request_abort(state, actor="tester", reason="done")
    with Controller("loans", servers=("http://127.0.0.1:1",)) as controller:
        assert controller.step().stage == Stage.ROLLED_BACK


def test_a_comparison_that_is_ended_from_outside_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make down` ends every process of the tree; the next controller repeats the comparison."""
    ends_itself = tmp_path / "python"
    ends_itself.write_text("#!/bin/sh\nkill -TERM $$\n")
    ends_itself.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(ends_itself))
    with pytest.raises(RuntimeError, match="ended by signal 15"):
        checks._comparison("flowers", "2", "1", RolloutPlan())
    ends_itself.write_text("#!/bin/sh\necho it broke >&2\nexit 3\n")
    with pytest.raises(checks.NotMet, match="comparison not met: it broke"):
        checks._comparison("flowers", "2", "1", RolloutPlan())

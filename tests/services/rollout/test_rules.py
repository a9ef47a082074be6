"""The rules by which a rollout advances or rolls back: no false alarms, no misses, no gaps."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.rollout.arms import Arm
from services.rollout.decision import (
    Advance,
    Agreement,
    Hold,
    Observation,
    RollBack,
    Stage,
    decide,
)
from services.rollout.plan import BadPlan, RolloutPlan, read
from services.rollout.state import RolloutState
from slipway.statistics.ab import Sample

PLAN = RolloutPlan(requests=100, seconds=10, shadow_requests=100, shadow_seconds=10)


def observation(**more: object) -> Observation:
    """Return a complete observation of a canary without any fault."""
    values: dict = {
        "stage": Stage.CANARY,
        "seconds": 20.0,
        "waited": 21.0,
        "serving": True,
        "champion": Arm(requests=1000, timed=1000),
        "candidate": Arm(requests=200, timed=200),
        "slow_bound": 0.02,
    }
    return Observation(**{**values, **more})


def binary(successes: int, n: int) -> Sample:
    return Sample.from_values(np.arange(n) < successes)


def test_a_proven_version_advances() -> None:
    verdict = decide(PLAN, observation())
    assert isinstance(verdict, Advance)
    assert {each.rule for each in verdict.findings} == {
        "errors",
        "latency",
        "quality",
        "isolation",
    }
    assert "failed 0 of 200 requests, the champion 0 of 1000" in verdict.reason


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ({"candidate": Arm(requests=99, timed=99)}, "99 of 100 requests"),
        ({"seconds": 9.0}, "9 of 10 s"),
        ({"unavailable": "server away"}, "server away"),
        ({"serving": False}, "not every server"),
        ({"slow_bound": None, "champion": Arm(requests=50)}, "no request of both versions timed"),
    ],
)
def test_an_unproven_version_waits(missing: dict, message: str) -> None:
    verdict = decide(PLAN, observation(**missing))
    assert isinstance(verdict, Hold)
    assert message in verdict.reason


def test_a_step_waits_for_the_labels_that_the_plan_requires() -> None:
    plan = PLAN.model_copy(update={"labels": 30})
    few = ((binary(40, 50), binary(20, 29)),)
    assert isinstance(decide(plan, observation(scores=())), Hold)
    assert isinstance(decide(plan, observation(scores=few)), Hold)
    enough = ((binary(40, 50), binary(25, 30)),)
    assert isinstance(decide(plan, observation(scores=enough)), Advance)
    # Labels of an earlier step do not count for this one.
    assert isinstance(decide(plan, observation(scores=(*enough, *few))), Hold)


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        ("errors", {"candidate": Arm(requests=20, failed=20)}),
        ("errors", {"candidate": Arm(requests=200, failed=20, timed=180)}),
        ("latency", {"candidate": Arm(requests=20, timed=20, slow=20)}),
        ("latency", {"candidate": Arm(requests=200, timed=200, slow=50)}),
        ("quality", {"scores": ((binary(190, 200), binary(60, 100)),)}),
        ("quality", {"scores": ((binary(190, 200), binary(60, 100)), (Sample(0), Sample(0)))}),
        ("isolation", {"isolated": True}),
        ("blind", {"blind": 301.0, "unavailable": "server away"}),
        ("serving", {"serving": False, "waited": 121.0, "unavailable": "v2: digest"}),
        ("patience", {"candidate": Arm(requests=1), "waited": 86401.0}),
        (
            "disagreement",
            {"stage": Stage.SHADOW, "agreement": Agreement(pairs=100, different=60)},
        ),
    ],
)
def test_a_bad_version_is_rolled_back(rule: str, bad: dict) -> None:
    verdict = decide(PLAN, observation(**bad))
    assert isinstance(verdict, RollBack), verdict
    assert verdict.rule == rule


@pytest.mark.parametrize(
    "as_bad",
    [
        {"champion": Arm(requests=1000, failed=100, timed=900), "candidate": Arm(
            requests=200, failed=20, timed=180)},
        {"champion": Arm(requests=1000, timed=1000, slow=250), "candidate": Arm(
            requests=200, timed=200, slow=50)},
        {"scores": ((binary(120, 200), binary(60, 100)),)},
    ],
)  # fmt: skip
def test_a_version_as_bad_as_the_champion_advances(as_bad: dict) -> None:
    """A busy machine or a broken disk is not the version's fault."""
    assert isinstance(decide(PLAN, observation(**as_bad)), Advance)


def test_continuous_scores_are_compared_too() -> None:
    draw = np.random.default_rng(3)
    good, worse = draw.normal(-1.0, 0.5, 400), draw.normal(-1.4, 0.5, 200)
    verdict = decide(
        PLAN, observation(scores=((Sample.from_values(good), Sample.from_values(worse)),))
    )
    assert isinstance(verdict, RollBack)
    assert verdict.rule == "quality"
    lenient = PLAN.model_copy(update={"quality_margin": 1.0})
    assert isinstance(
        decide(
            lenient, observation(scores=((Sample.from_values(good), Sample.from_values(worse)),))
        ),
        Advance,
    )


def test_frequent_looks_cause_no_false_alarms() -> None:
    """Versions that are as good as the champion, looked at 15 times in a step."""
    plan = RolloutPlan(alpha=0.1, canary=(20,), shadow=0)
    draw = np.random.default_rng(11)

    def more(size: int) -> Arm:
        failed, slow = draw.binomial(size, 0.02), draw.binomial(size, 0.05)
        return Arm(requests=size, failed=int(failed), timed=size, slow=int(slow))

    alarms, rollouts = 0, 120
    for _ in range(rollouts):
        champion, candidate = Arm(), Arm()
        for _ in range(15):
            champion, candidate = champion + more(80), candidate + more(20)
            if isinstance(
                decide(plan, observation(champion=champion, candidate=candidate)), RollBack
            ):
                alarms += 1
                break
    assert alarms / rollouts <= plan.alpha


counts = st.integers(0, 400)


@settings(max_examples=60, deadline=None)
@given(counts, counts, counts, counts, st.integers(1, 200))
def test_more_failures_never_help(
    champion: int, champion_failed: int, answered: int, failed: int, more: int
) -> None:
    def verdict(failures: int):
        return decide(
            PLAN,
            observation(
                champion=Arm(
                    requests=champion + champion_failed, failed=champion_failed, timed=champion
                ),
                candidate=Arm(requests=answered + failures, failed=failures, timed=answered),
            ),
        )

    if isinstance(verdict(failed), RollBack):
        assert isinstance(verdict(failed + more), RollBack)


@settings(max_examples=60, deadline=None)
@given(
    st.builds(Arm, requests=counts, timed=counts),
    st.floats(0, 30),
    st.booleans(),
    st.sampled_from(["", "registry unavailable"]),
)
def test_no_version_advances_unproven(
    candidate: Arm, seconds: float, serving: bool, unavailable: str
) -> None:
    verdict = decide(
        PLAN,
        observation(candidate=candidate, seconds=seconds, serving=serving, unavailable=unavailable),
    )
    if isinstance(verdict, Advance):
        assert candidate.requests >= PLAN.requests
        assert seconds >= PLAN.seconds
        assert serving
        assert not unavailable


def test_alpha_is_shared_among_all_rules_and_stages() -> None:
    plan = RolloutPlan(alpha=0.01, canary=(5, 25, 50))
    assert plan.tests == 3 * 3 + 2
    assert math.isclose((1 - plan.coverage) * plan.tests, 0.01)


def test_an_invalid_plan_is_refused(tmp_path: Path) -> None:
    for wrong, message in (
        ({"canary": (25, 5)}, "above the one before"),
        ({"canary": (5, 100)}, "less than or equal to 90"),
        ({"canary": ()}, "at least 1"),
        ({"colour": 1}, "Extra inputs"),
        ({"checks": ("smell",)}, "comparison"),
    ):
        with pytest.raises(ValidationError, match=message):
            RolloutPlan(**wrong)
    file = tmp_path / "plan.yaml"
    file.write_text("canary: [5, 25]\nrequests: 0\n")
    with pytest.raises(BadPlan, match=r"plan\.yaml: requests"):
        read(file)
    file.write_text("- 5\n")
    with pytest.raises(BadPlan, match="must be a mapping"):
        read(file)
    file.write_text("canary: [5, 25]\n")
    assert read(file) == RolloutPlan(canary=(5, 25))


def test_the_first_name_of_a_field_is_read(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("truths: 30")
    assert read(file) == RolloutPlan(labels=30)
    assert RolloutPlan(labels=30).model_dump()["labels"] == 30


def test_an_infinite_bound_survives_the_state_file() -> None:
    state = RolloutState(
        id="1", project="model", version="2", champion="1", plan=RolloutPlan(), actor="test",
        started=0, entered=0, slow_bound=math.inf,
    )  # fmt: skip
    assert RolloutState.model_validate_json(state.model_dump_json()) == state

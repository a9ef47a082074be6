"""The rules by which a rollout goes on or back: no false alarms, no misses, nothing unproven."""

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from slipway.predictions.feedback import FeedbackStore
from slipway.predictions.record import line
from slipway.predictions.writer import PredictionLog
from slipway.rollout import arms, scrape
from slipway.rollout.agreement import SETTLE_SECONDS, Compared, agree, further
from slipway.rollout.arms import Arm
from slipway.rollout.decision import (
    Advance,
    Agreement,
    Hold,
    Observed,
    RollBack,
    Stage,
    decide,
)
from slipway.rollout.plan import BadPlan, Plan, read
from slipway.rollout.state import State
from slipway.rollout.truths import by_step
from slipway.statistics.ab import Sample
from tests.slipway.exporter import Exporter

PLAN = Plan(requests=100, seconds=10, shadow_requests=100, shadow_seconds=10)


def seen(**more: object) -> Observed:
    """A canary of which everything is known and nothing is wrong."""
    about: dict = {
        "stage": Stage.CANARY,
        "seconds": 20.0,
        "waited": 21.0,
        "serving": True,
        "champion": Arm(requests=1000, timed=1000),
        "candidate": Arm(requests=200, timed=200),
        "slow_bound": 0.02,
    }
    return Observed(**{**about, **more})


def binary(successes: int, n: int) -> Sample:
    return Sample.of(np.arange(n) < successes)


def test_what_is_proven_goes_on() -> None:
    verdict = decide(PLAN, seen())
    assert isinstance(verdict, Advance)
    assert {each.rule for each in verdict.findings} == {
        "errors",
        "latency",
        "quality",
        "isolation",
    }
    assert "failed 0 of 200 requests, the champion 0 of 1000" in verdict.reason


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ({"candidate": Arm(requests=99, timed=99)}, "99 of 100 requests"),
        ({"seconds": 9.0}, "9 of 10 s"),
        ({"unseen": "server away"}, "server away"),
        ({"serving": False}, "not every server"),
        ({"slow_bound": None, "champion": Arm(requests=50)}, "no request of both timed"),
    ],
)
def test_what_is_not_proven_waits(missing: dict, told: str) -> None:
    verdict = decide(PLAN, seen(**missing))
    assert isinstance(verdict, Hold)
    assert told in verdict.reason


def test_truths_are_waited_for_when_the_plan_asks_for_them() -> None:
    plan = PLAN.model_copy(update={"truths": 30})
    few = ((binary(40, 50), binary(20, 29)),)
    assert isinstance(decide(plan, seen(truths=())), Hold)
    assert isinstance(decide(plan, seen(truths=few)), Hold)
    enough = ((binary(40, 50), binary(25, 30)),)
    assert isinstance(decide(plan, seen(truths=enough)), Advance)
    # Those of an earlier step are no proof of this one.
    assert isinstance(decide(plan, seen(truths=(*enough, *few))), Hold)


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        ("errors", {"candidate": Arm(requests=20, failed=20)}),
        ("errors", {"candidate": Arm(requests=200, failed=20, timed=180)}),
        ("latency", {"candidate": Arm(requests=20, timed=20, slow=20)}),
        ("latency", {"candidate": Arm(requests=200, timed=200, slow=50)}),
        ("quality", {"truths": ((binary(190, 200), binary(60, 100)),)}),
        ("quality", {"truths": ((binary(190, 200), binary(60, 100)), (Sample(0), Sample(0)))}),
        ("isolation", {"isolated": True}),
        ("blind", {"blind": 301.0, "unseen": "server away"}),
        ("serving", {"serving": False, "waited": 121.0, "unseen": "v2: digest"}),
        ("patience", {"candidate": Arm(requests=1), "waited": 86401.0}),
        (
            "disagreement",
            {"stage": Stage.SHADOW, "agreement": Agreement(pairs=100, different=60)},
        ),
    ],
)
def test_what_is_bad_goes_back(rule: str, bad: dict) -> None:
    verdict = decide(PLAN, seen(**bad))
    assert isinstance(verdict, RollBack), verdict
    assert verdict.rule == rule


@pytest.mark.parametrize(
    "as_bad",
    [
        {"champion": Arm(requests=1000, failed=100, timed=900), "candidate": Arm(
            requests=200, failed=20, timed=180)},
        {"champion": Arm(requests=1000, timed=1000, slow=250), "candidate": Arm(
            requests=200, timed=200, slow=50)},
        {"truths": ((binary(120, 200), binary(60, 100)),)},
    ],
)  # fmt: skip
def test_the_champion_fares_no_better(as_bad: dict) -> None:
    """A busy machine, a broken disk or a hard day are not the version's fault."""
    assert isinstance(decide(PLAN, seen(**as_bad)), Advance)


def test_continuous_scores_are_compared_too() -> None:
    draw = np.random.default_rng(3)
    good, worse = draw.normal(-1.0, 0.5, 400), draw.normal(-1.4, 0.5, 200)
    verdict = decide(PLAN, seen(truths=((Sample.of(good), Sample.of(worse)),)))
    assert isinstance(verdict, RollBack)
    assert verdict.rule == "quality"
    lenient = PLAN.model_copy(update={"quality_margin": 1.0})
    assert isinstance(decide(lenient, seen(truths=((Sample.of(good), Sample.of(worse)),))), Advance)


def test_looking_often_makes_no_false_alarms() -> None:
    """Versions that are as good as the champion, looked at 15 times in a step."""
    plan = Plan(alpha=0.1, canary=(20,), shadow=0)
    draw = np.random.default_rng(11)

    def more(size: int) -> Arm:
        failed, slow = draw.binomial(size, 0.02), draw.binomial(size, 0.05)
        return Arm(requests=size, failed=int(failed), timed=size, slow=int(slow))

    alarms, rollouts = 0, 120
    for _ in range(rollouts):
        champion, candidate = Arm(), Arm()
        for _ in range(15):
            champion, candidate = champion + more(80), candidate + more(20)
            if isinstance(decide(plan, seen(champion=champion, candidate=candidate)), RollBack):
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
            seen(
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
    st.sampled_from(["", "registry away"]),
)
def test_nothing_goes_on_unproven(
    candidate: Arm, seconds: float, serving: bool, unseen: str
) -> None:
    verdict = decide(
        PLAN, seen(candidate=candidate, seconds=seconds, serving=serving, unseen=unseen)
    )
    if isinstance(verdict, Advance):
        assert candidate.requests >= PLAN.requests
        assert seconds >= PLAN.seconds
        assert serving
        assert not unseen


def test_alpha_is_shared_among_all_rules_and_stages() -> None:
    plan = Plan(alpha=0.01, canary=(5, 25, 50))
    assert plan.tests == 3 * 3 + 2
    assert math.isclose((1 - plan.coverage) * plan.tests, 0.01)


def test_a_plan_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    for wrong, told in (
        ({"canary": (25, 5)}, "above the one before"),
        ({"canary": (5, 100)}, "less than or equal to 90"),
        ({"canary": ()}, "at least 1"),
        ({"colour": 1}, "Extra inputs"),
        ({"checks": ("smell",)}, "comparison"),
    ):
        with pytest.raises(ValidationError, match=told):
            Plan(**wrong)
    file = tmp_path / "plan.yaml"
    file.write_text("canary: [5, 25]\nrequests: 0\n")
    with pytest.raises(BadPlan, match=r"plan\.yaml: requests"):
        read(file)
    file.write_text("- 5\n")
    with pytest.raises(BadPlan, match="must be a mapping"):
        read(file)
    file.write_text("canary: [5, 25]\n")
    assert read(file) == Plan(canary=(5, 25))


def test_figures_are_of_one_project() -> None:
    exporter = Exporter()
    exporter.answer("1", "champion", times=3)
    exporter.requests.labels("model_two", "1", "champion", "200").inc(9)
    exporter.serving.labels("model", "1", "champion").set(1)
    exporter.serving.labels("model", "2", "challenger").set(0)
    exporter.isolated.labels("model", "2").set(1)
    found = exporter.scraped()
    assert found.counters["slipway_requests_total|1|champion|200"] == 3
    assert found.serving == {("1", "champion")}
    assert found.isolated == {"2"}
    with pytest.raises(scrape.Unreachable):
        scrape.parsed('slipway_requests_total{project="model" 3', "model")


def test_a_restarted_server_loses_nothing_and_adds_nothing() -> None:
    """Counters begin at 0 again, and some buckets may stand higher than before."""
    before, after = Exporter(), Exporter()
    before.answer("1", "champion", times=5, seconds=0.03)
    after.answer("1", "champion", times=4, seconds=0.005)
    risen = arms.increase(before.scraped().counters, after.scraped().counters)
    arm = arms.counted(risen, version="1", variant="champion", slow_bound=0.02, yielding=False)
    assert arm == Arm(requests=4, timed=4, slow=0)
    earlier = after.scraped().counters
    after.answer("1", "champion", times=2, seconds=0.03)
    risen = arms.increase(earlier, after.scraped().counters)
    arm = arms.counted(risen, version="1", variant="champion", slow_bound=0.02, yielding=False)
    assert arm == Arm(requests=2, timed=2, slow=2)


def test_whose_fault_an_answer_is() -> None:
    exporter = Exporter()
    for status, times in (("200", 10), ("422", 5), ("500", 3), ("504", 2), ("503", 1)):
        exporter.requests.labels("model", "2", "challenger", status).inc(times)
    counters = exporter.scraped().counters
    of = {"version": "2", "variant": "challenger", "slow_bound": None}
    assert arms.counted(counters, **of, yielding=False) == Arm(requests=16, failed=6)
    assert arms.counted(counters, **of, yielding=True) == Arm(requests=13, failed=3)


def test_slow_is_measured_by_the_champions_usual() -> None:
    exporter = Exporter()
    exporter.answer("1", "champion", times=97, seconds=0.005)
    exporter.answer("1", "champion", times=3, seconds=0.09)
    counters = exporter.scraped().counters

    def bound(**more: float) -> float | None:
        about = {"quantile": 0.95, "ratio": 2, "floor_seconds": 0.0, "least": 100, **more}
        return arms.slow_bound([counters], champion="1", **about)  # type: ignore[arg-type]

    assert bound() == 0.02  # twice 0.01, the bound that holds 95 %
    assert bound(floor_seconds=0.03) == 0.05
    assert bound(quantile=0.98) == math.inf
    assert bound(least=101) is None
    exporter.answer("2", "challenger", times=4, seconds=0.05)
    exporter.answer("2", "challenger", times=6, seconds=0.01)
    arm = arms.counted(
        exporter.scraped().counters,
        version="2",
        variant="challenger",
        slow_bound=0.02,
        yielding=False,
    )
    assert (arm.timed, arm.slow) == (10, 4)


def test_an_infinite_bound_survives_the_disk() -> None:
    state = State(
        id="1", project="model", version="2", champion="1", plan=Plan(), actor="test",
        started=0, entered=0, slow_bound=math.inf,
    )  # fmt: skip
    assert State.model_validate_json(state.model_dump_json()) == state


def logged(log: PredictionLog, variant: str, label: bool, of: str | None = None) -> str:
    id = log.next_id()
    told = line(
        id=id,
        project="model",
        version="2" if variant == "shadow" else "1",
        digest="ab" * 32,
        variant=variant,
        inputs=b'{"number":1}',
        outputs=json.dumps([{"label": label, "probability": 0.5}]).encode(),
        seconds=0.001,
        of=of,
    )
    assert log.append(told)
    return id


def test_the_shadows_answers_are_found_in_the_log(tmp_path: Path) -> None:
    """Each pair once, whatever was looked at before; not more often than reading is worth."""
    log = PredictionLog(tmp_path, segment_bytes=2**20)
    begun = time.time() - 1

    def answer(count: int) -> None:
        for number in range(count):
            original = logged(log, "champion", True)
            logged(log, "shadow", number % 4 > 0, of=original)

    def look(before: Compared, now: float) -> Compared:
        return further(tmp_path, before, project="model", version="2", now=now, tolerance=0.1)

    answer(40)
    first = look(Compared(until=begun), time.time() + SETTLE_SECONDS + 0.01)
    assert (first.pairs, first.different) == (40, 10)
    assert first.again > first.until
    time.sleep(0.05)
    answer(8)
    assert look(first, first.again - 0.001) is first
    second = look(first, max(first.again, time.time() + SETTLE_SECONDS + 0.01))
    assert (second.pairs, second.different) == (48, 12)
    other = further(
        tmp_path,
        Compared(until=begun),
        project="model",
        version="3",
        now=time.time() + 5,
        tolerance=0.1,
    )
    assert other.pairs == 0
    log.close()


def test_truths_count_for_the_step_of_their_prediction(tmp_path: Path) -> None:
    """Also those that come when the next step has begun long since."""
    log = PredictionLog(tmp_path, segment_bytes=2**20)
    starts, given = [], []
    for _ in range(2):
        time.sleep(0.02)
        starts.append(time.time())
        time.sleep(0.02)
        given += [logged(log, "champion", number % 5 > 0) for number in range(50)]
    log.close()
    assert by_step(tmp_path, "model", starts=starts, champion="1", version="2") == []
    store = FeedbackStore(tmp_path)
    for id in given:
        store.attach(id=id, truth={"label": True})
    store.close()
    steps = by_step(tmp_path, "model", starts=starts, champion="1", version="2")
    expected = Sample.of(np.arange(50) % 5 > 0)
    assert [b.n for _, b in steps] == [0, 0]
    for champion, _ in steps:
        assert champion.n == 50
        assert champion.mean == pytest.approx(expected.mean)
        assert champion.variance == pytest.approx(expected.variance)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"survived": True, "probability": 0.6}, {"survived": True, "probability": 0.9}, True),
        ({"survived": True, "probability": 0.6}, {"survived": False, "probability": 0.4}, False),
        ({"price": 100.0}, {"price": 109.0}, True),
        ({"price": 100.0}, {"price": 112.0}, False),
        ({"price": 0.0}, {"price": 0.0}, True),
        ({"first": [{"name": "shirt", "p": 0.5}]}, {"first": [{"name": "coat", "p": 0.5}]}, False),
        ({"price": 100.0}, {"cost": 100.0}, False),
        ({"price": 100.0}, {"price": None}, False),
    ],
)  # fmt: skip
def test_when_two_answers_come_to_the_same(one: dict, other: dict, same: bool) -> None:
    assert agree(one, other, 0.1) is same
    assert agree(other, one, 0.1) is same

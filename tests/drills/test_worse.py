"""(c) A version that is quietly worse: callers tell what was right, by POST /v1/feedback."""

from tests.drills.field import Callers, Field, right, rolled_back, row
from tests.waiting import until


def test_a_version_that_is_worse_is_rolled_back(field: Field, table: list[str]) -> None:
    field.published("worse", right(0.9), right(0.6))
    callers = Callers(field.server.address, "worse", truths=True)
    with callers.calling():
        until(lambda: callers.versions["1"] > 150)
        # The truths of a step come in while it runs: it must not be over before they tell.
        plan = field.plan("worse", truths=200)
        status, said = field.ended(field.slipway("promote", "worse", "2", "--plan", plan))
        assert status == 1, said
        callers.settled("1")
    story = rolled_back(field, "worse", callers, rule="quality")
    told = story[-1]["evidence"]["truths"][-1]
    assert told["candidate"]["mean"] < told["champion"]["mean"]
    table.append(row("(c) quietly worse: rolled back", callers, story, field.failed("worse")))

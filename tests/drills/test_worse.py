"""(c) A version that is quietly worse: callers send labels by POST /v1/feedback."""

from tests.drills.field import Callers, Field, check_rolled_back, right, row
from tests.waiting import until


def test_a_version_that_is_worse_is_check_rolled_back(field: Field, table: list[str]) -> None:
    field.publish("worse", right(0.9), right(0.6))
    callers = Callers(field.server.address, "worse", labels=True)
    with callers.calling():
        until(lambda: callers.versions["1"] > 150)
        # Labels arrive while a step runs: it must last until there are enough of them.
        plan = field.plan("worse", labels=200)
        status, output = field.ended(field.slipway("promote", "worse", "2", "--plan", plan))
        assert status == 1, output
        callers.settled("1")
    history = check_rolled_back(field, "worse", callers, rule="quality")
    quality = history[-1]["evidence"]["labels"][-1]
    assert quality["candidate"]["mean"] < quality["champion"]["mean"]
    table.append(row("(c) quietly worse: rolled back", callers, history, field.failed("worse")))

"""(b) A version that is 20 times slower than the champion, published under load."""

from tests.drills.field import Callers, Field, right, rolled_back, row
from tests.waiting import until


def test_a_version_that_is_slow_is_rolled_back(field: Field, table: list[str]) -> None:
    field.published("slow", right(0.9, seconds=0.005), right(0.9, seconds=0.1))
    callers = Callers(field.server.address, "slow")
    with callers.calling():
        until(lambda: callers.versions["1"] > 150)
        plan = field.plan("slow")
        status, said = field.ended(field.slipway("promote", "slow", "2", "--plan", plan))
        assert status == 1, said
        callers.settled("1")
    story = rolled_back(field, "slow", callers, rule="latency")
    table.append(row("(b) 20x slower: rolled back", callers, story, field.failed("slow")))

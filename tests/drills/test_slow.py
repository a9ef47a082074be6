"""(b) A version that is 20 times slower than the champion, published under load."""

from tests.drills.field import Callers, Field, check_rolled_back, right, row
from tests.waiting import until


def test_a_version_that_is_slow_is_check_rolled_back(field: Field, table: list[str]) -> None:
    field.publish("slow", right(0.9, seconds=0.005), right(0.9, seconds=0.1))
    callers = Callers(field.server.address, "slow")
    with callers.calling():
        until(lambda: callers.versions["1"] > 150)
        plan = field.plan("slow")
        status, output = field.ended(field.slipway("promote", "slow", "2", "--plan", plan))
        assert status == 1, output
        callers.settled("1")
    history = check_rolled_back(field, "slow", callers, rule="latency")
    table.append(row("(b) 20x slower: rolled back", callers, history, field.failed("slow")))

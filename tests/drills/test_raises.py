"""(a) A version that raises, published under load. The champion answers whom it fails."""

from tests.drills.field import RAISES, Callers, Field, check_rolled_back, right, row
from tests.waiting import until


def test_a_version_that_raises_is_check_rolled_back(field: Field, table: list[str]) -> None:
    field.publish("raises", right(0.9), RAISES)
    callers = Callers(field.server.address, "raises")
    with callers.calling():
        until(lambda: callers.versions["1"] > 150)
        plan = field.plan("raises")
        status, output = field.ended(field.slipway("promote", "raises", "2", "--plan", plan))
        assert status == 1, output
    history = check_rolled_back(field, "raises", callers, rule="errors")
    failed = field.failed("raises")
    assert failed >= history[-1]["evidence"]["candidate"]["failed"] > 0
    table.append(row("(a) raises: rolled back", callers, history, failed))

"""(a) A version that raises, published under load. The champion answers whom it fails."""

from tests.drills.field import RAISES, Callers, Field, right, rolled_back, row
from tests.waiting import until


def test_a_version_that_raises_is_rolled_back(field: Field, table: list[str]) -> None:
    field.published("raises", right(0.9), RAISES)
    callers = Callers(field.server.address, "raises")
    with callers.calling():
        until(lambda: callers.versions["1"] > 150)
        plan = field.plan("raises")
        status, said = field.ended(field.slipway("promote", "raises", "2", "--plan", plan))
        assert status == 1, said
    story = rolled_back(field, "raises", callers, rule="errors")
    failed = field.failed("raises")
    assert failed >= story[-1]["evidence"]["candidate"]["failed"] > 0
    table.append(row("(a) raises: rolled back", callers, story, failed))

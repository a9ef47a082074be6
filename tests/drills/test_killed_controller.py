"""kill -9 of the controller as the canary of a bad version begins: another one goes on."""

from tests.drills.field import RAISES, Callers, Field, check_rolled_back, kill, right, row
from tests.waiting import until


def test_another_controller_goes_on(field: Field, table: list[str]) -> None:
    field.publish("killed", right(0.9), RAISES)
    callers = Callers(field.server.address, "killed")
    with callers.calling():
        until(lambda: callers.versions["1"] > 150)
        plan = field.plan("killed")
        first = field.slipway("promote", "killed", "2", "--plan", plan)
        # The log has the line, the registry may not have the change yet.
        until(lambda: field.history("killed"))
        kill(first)
        status, output = field.ended(field.slipway("rollout", "watch", "killed"))
        assert status == 1, output
    history = check_rolled_back(field, "killed", callers, rule="errors")
    assert [entry["evidence"]["event"] for entry in history] == ["canary", "rolled back"]
    assert len({entry["evidence"]["rollout"] for entry in history}) == 1
    table.append(row("controller killed: rolled back", callers, history, field.failed("killed")))

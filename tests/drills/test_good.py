"""A version that is better is promoted by itself, through shadow and canary, under load."""

from tests.drills.field import Callers, Field, right, row
from tests.waiting import until


def test_a_good_version_is_promoted(field: Field, table: list[str]) -> None:
    field.publish("good", right(0.6), right(0.9))
    callers = Callers(field.server.address, "good", labels=True)
    plan = field.plan(
        "good",
        shadow=50,
        shadow_requests=50,
        shadow_seconds=1,
        disagreement=0.6,
        labels=50,
        seconds=1,
    )
    with callers.calling():
        until(lambda: callers.versions["1"] > 150)
        status, output = field.ended(field.slipway("promote", "good", "2", "--plan", plan))
        assert status == 0, output
        callers.settled("2")
    assert callers.lost == 0, callers.statuses
    history = field.history("good")
    events = [entry["evidence"]["event"] for entry in history]
    assert events == ["shadow", "canary", "canary", "promoted"]
    assert [entry["promoted"] for entry in history] == [False, False, False, True]
    assert history[1]["evidence"]["agreement"]["pairs"] >= 50
    assert history[-1]["evidence"]["labels"][-1]["candidate"]["n"] >= 50
    aliases, policy = field.registry_state("good")
    assert aliases == {"champion": "2"}
    assert '"challenger"' not in policy
    assert '"shadow"' not in policy
    assert {field.server.predict("good", 5.0)["version"] for _ in range(50)} == {"2"}
    table.append(row("good: promoted", callers, history, field.failed("good")))

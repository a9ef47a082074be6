"""Run faults one after the other under load."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from infra.chaos import measure
from infra.chaos.expectations import expected
from infra.chaos.faults import Fill, InjectedFault, Kill, find_records
from infra.chaos.judge import Expectation, FaultOutcome, missed
from infra.chaos.load import PATIENCE_SECONDS, LoadCaller, Response
from infra.compose.running import Failed, Stack, wait_until

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Times:
    """Durations in seconds."""

    steady: float = 5
    """Steady state measured before a fault."""
    hold: float = 10
    """The seconds that a fault lasts."""
    full: float = 30
    """The time that a volume stays full: two segments of the record last for some 15 s."""
    patience: float = 120
    """The longest wait until all is healthy and steady again."""

    def duration(self, fault: InjectedFault) -> float:
        """Return how long the fault lasts."""
        return self.full if isinstance(fault, Fill) else self.hold


def strike(
    fault: InjectedFault, stack: Stack, callers: Sequence[LoadCaller], times: Times
) -> FaultOutcome:
    """Inject the fault, undo it, and return what was seen until all was as before.

    Raises:
        Failed: it could not be injected or undone, or there was no steady state before it.
    """
    steady = _steady(callers, times)
    struck = time.monotonic()
    fault.inflict(stack)
    try:
        time.sleep(times.duration(fault))
    finally:
        lasted = time.monotonic()
        fault.undo(stack)
    # Docker starts to recover from a kill at the moment when it happens.
    undone = struck if isinstance(fault, Kill) else lasted
    well = _well_again(stack, times.patience)
    well_again = None if well is None else well - struck
    end = _settled(callers, steady, max(undone, lasted - times.hold), times.patience)
    return judge(
        fault.name,
        expected(fault),
        stack,
        callers,
        steady,
        moments={"struck": struck, "lasted": lasted, "undone": undone, "end": end},
        well_again=well_again,
    )


def judge(
    fault: str,
    expectation: Expectation,
    stack: Stack,
    callers: Sequence[LoadCaller],
    steady: dict[str, list[Response]],
    *,
    moments: dict[str, float],
    well_again: float | None,
) -> FaultOutcome:
    """Return the outcome with its unmet expectations. Raises Failed: records could not be read."""
    responses = {each.name: each.between(moments["struck"], moments["end"]) for each in callers}
    ids = [each.id for given in responses.values() for each in given if each.good]
    outcome = FaultOutcome(
        fault=fault,
        why=expectation.why,
        seen={
            name: measure.summarize(steady[name], given, **moments)
            for name, given in responses.items()
        },
        records=find_records(stack, ids),
        well_again=well_again,
    )
    return outcome.model_copy(update={"missed": missed(fault, expectation, outcome)})


def _steady(callers: Sequence[LoadCaller], times: Times) -> dict[str, list[Response]]:
    """Return the responses of the last seconds, once all of them are successful."""
    deadline = time.monotonic() + times.patience
    while True:
        since = time.monotonic()
        time.sleep(times.steady)
        found = {each.name: each.between(since, time.monotonic()) for each in callers}
        if all(given and all(one.good for one in given) for given in found.values()):
            return found
        if time.monotonic() > deadline:
            wrong = {name: sorted({one.status for one in given}) for name, given in found.items()}
            raise Failed(f"no {times.steady:g} s without an error before the fault: {wrong}")


def _well_again(stack: Stack, seconds: float) -> float | None:
    """Return when all containers were healthy; None if they were not within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not unhealthy(stack.containers()):
            return time.monotonic()
        time.sleep(POLL_SECONDS)
    return None


def unhealthy(containers: Sequence[dict[str, Any]]) -> list[str]:
    """Return the names of containers that should run and do not, or are not healthy."""
    return [
        each["Name"].lstrip("/")
        for each in containers
        if each["HostConfig"]["RestartPolicy"]["Name"] not in ("no", "")
        and (
            not each["State"]["Running"]
            or each["State"]["Paused"]
            or each["State"].get("Health", {}).get("Status", "healthy") != "healthy"
        )
    ]


def _settled(
    callers: Sequence[LoadCaller], steady: dict[str, list[Response]], since: float, seconds: float
) -> float:
    """Return the time when all callers are calm again, or patience ends.

    All requests due before that time have a response by then.
    """
    deadline = time.monotonic() + seconds

    def calm() -> bool:
        now = time.monotonic()
        return all(
            measure.calm_since(
                each.between(since, now), since, now, measure.limit(steady[each.name])
            )
            is not None
            for each in callers
        )

    while not calm() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    end = time.monotonic()
    _wait_for_responses(callers, end)
    return end


def _wait_for_responses(callers: Sequence[LoadCaller], end: float) -> None:
    """Wait for the responses to all requests due before `end`."""

    def none_pending() -> bool:
        return all(each.oldest_pending >= end for each in callers)

    wait_until(none_pending, PATIENCE_SECONDS + 5, "responses to the last requests")


def run(
    faults: Sequence[InjectedFault],
    stack: Stack,
    callers: Sequence[LoadCaller],
    times: Times,
    say: Callable[[str], None],
) -> list[FaultOutcome]:
    """Run the faults in order. Raises Failed: one could not be injected or undone."""
    found = []
    for fault in faults:
        say(f"{fault.name} ...")
        outcome = strike(fault, stack, callers, times)
        found.append(outcome)
        for line in outcome.missed:
            say(line)
    return found

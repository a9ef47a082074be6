"""Faults one after the other under load."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from infra.chaos import measure
from infra.chaos.expectations import expected
from infra.chaos.faults import Fault, Fill, Kill, on_record
from infra.chaos.judge import Expectation, Outcome, missed
from infra.chaos.load import PATIENCE_SECONDS, Answer, Caller
from slipway.stack.running import Failed, Stack, until

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Times:
    """Seconds."""

    steady: float = 5
    """Before a fault."""
    hold: float = 10
    """A fault lasts."""
    full: float = 30
    """A volume is full: two segments of the record last for some 15 s."""
    patience: float = 120
    """Until all must be well and steady again."""

    def of(self, fault: Fault) -> float:
        return self.full if isinstance(fault, Fill) else self.hold


def strike(fault: Fault, stack: Stack, callers: Sequence[Caller], times: Times) -> Outcome:
    """The fault inflicted, undone, and what was seen until all was as before.

    Raises:
        Failed: it could not be inflicted or undone, or there was no steady state to begin with.
    """
    steady = _steady(callers, times)
    struck = time.monotonic()
    fault.inflict(stack)
    try:
        time.sleep(times.of(fault))
    finally:
        lasted = time.monotonic()
        fault.undo(stack)
    # What Docker puts right it does from the moment that it happens.
    undone = struck if isinstance(fault, Kill) else lasted
    well = _well_again(stack, times.patience)
    well_again = None if well is None else well - struck
    end = _settled(callers, steady, max(undone, lasted - times.hold), times.patience)
    return judged(
        fault.name,
        expected(fault),
        stack,
        callers,
        steady,
        moments={"struck": struck, "lasted": lasted, "undone": undone, "end": end},
        well_again=well_again,
    )


def judged(
    fault: str,
    expectation: Expectation,
    stack: Stack,
    callers: Sequence[Caller],
    steady: dict[str, list[Answer]],
    *,
    moments: dict[str, float],
    well_again: float | None,
) -> Outcome:
    """Raises Failed: the record could not be read."""
    answers = {each.name: each.between(moments["struck"], moments["end"]) for each in callers}
    ids = [each.id for given in answers.values() for each in given if each.good]
    outcome = Outcome(
        fault=fault,
        why=expectation.why,
        seen={
            name: measure.seen(steady[name], given, **moments) for name, given in answers.items()
        },
        records=on_record(stack, ids),
        well_again=well_again,
    )
    return outcome.model_copy(update={"missed": missed(fault, expectation, outcome)})


def _steady(callers: Sequence[Caller], times: Times) -> dict[str, list[Answer]]:
    """Answers of the last seconds, once there were none but good ones in them."""
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
    """The moment when all were; None if they are not within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not unwell(stack.containers()):
            return time.monotonic()
        time.sleep(POLL_SECONDS)
    return None


def unwell(containers: Sequence[dict[str, Any]]) -> list[str]:
    """Names of those that should run and do not, or do not do well."""
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
    callers: Sequence[Caller], steady: dict[str, list[Answer]], since: float, seconds: float
) -> float:
    """The moment when all callers are calm again, or patience ends; all that fell due before it is
    answered then."""
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
    _answered(callers, end)
    return end


def _answered(callers: Sequence[Caller], end: float) -> None:
    """Wait for the answers to all that fell due before `end`."""

    def none_pending() -> bool:
        return all(each.oldest_pending >= end for each in callers)

    until(none_pending, PATIENCE_SECONDS + 5, "answers to the last requests")


def run(
    faults: Sequence[Fault],
    stack: Stack,
    callers: Sequence[Caller],
    times: Times,
    say: Callable[[str], None],
) -> list[Outcome]:
    """Raises Failed: one could not be inflicted or undone."""
    found = []
    for fault in faults:
        say(f"{fault.name} ...")
        outcome = strike(fault, stack, callers, times)
        found.append(outcome)
        for line in outcome.missed:
            say(line)
    return found

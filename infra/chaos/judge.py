"""Compare what callers saw under a fault with what they were promised."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PLAIN, LOOKED_UP = "plain", "looked up"


class CallerPromise(BaseModel):
    """The promise to one kind of caller. The default: no error at all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    errors: frozenset[str] = frozenset()
    """HTTP statuses that may occur; no others may."""
    within_seconds: Annotated[float, Field(ge=0)] = 0
    """The time that errors may go on after the fault was undone, or after a kill."""
    slowest_seconds: Annotated[float, Field(gt=0)] = 15
    """The longest time until a response, successful or not. By default the 10 s that the proxy
    waits for a hanging server, and the time of the next server."""
    must_occur: bool = False
    """Errors must occur: without any, the fault had no effect."""


class Expectation(BaseModel):
    """The expectation under one fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    why: str
    plain: CallerPromise = CallerPromise()
    looked_up: CallerPromise = CallerPromise()
    unpromised: bool = False
    """Some responses' ids must say that there is no record; if false, none may."""

    def __init__(self, why: str, **given: object) -> None:
        super().__init__(why=why, **given)

    @property
    def promises(self) -> dict[str, CallerPromise]:
        return {PLAIN: self.plain, LOOKED_UP: self.looked_up}


class CallerMeasurements(BaseModel):
    """Measurements of one kind of request under a fault: times in s, latencies in ms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    asked: int
    errors: dict[str, int] = {}
    steady_p99: float
    p50: float | None = None
    """The median latency of all responses while the fault lasted, including refusals."""
    p99: float | None = None
    max: float | None = None
    last_error: float | None = None
    """Seconds from the injection of the fault."""
    last_error_undone: float | None = None
    """Seconds from when it was undone."""
    steady_again: float | None = None
    """Seconds from when it was undone, or from a kill; None if never."""


class Records(BaseModel):
    """Counts of ids that promise a record, of records found, and of ids that promise none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    promised: int
    found: int
    unpromised: int


class FaultOutcome(BaseModel):
    """The result of one fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: str
    why: str
    seen: dict[str, CallerMeasurements]
    records: Records
    well_again: float | None
    """Seconds from the fault until every container was well, None if never."""
    missed: list[str] = []


def missed(fault: str, expectation: Expectation, outcome: FaultOutcome) -> list[str]:
    """Return a line for each expectation that was not met."""
    lines = [
        line
        for caller, promise in expectation.promises.items()
        for line in _caller_shortfalls(caller, promise, outcome.seen[caller])
    ]
    lines += _record_shortfalls(expectation, outcome.records)
    if outcome.well_again is None:
        lines.append("every container healthy again, got one that is not")
    return [f"expectation not met: {fault}: {line}" for line in lines]


def _caller_shortfalls(caller: str, promise: CallerPromise, seen: CallerMeasurements) -> list[str]:
    lines = []
    if not seen.asked:
        return [f"{caller} predictions sent, got none"]
    wrong = {status: n for status, n in seen.errors.items() if status not in promise.errors}
    if wrong:
        allowed = f"no error but {_listed(promise.errors)}" if promise.errors else "without error"
        lines.append(
            f"{caller} predictions {allowed}, "
            f"got {sum(wrong.values())} of {seen.asked} ({format_errors(wrong)})"
        )
    if promise.must_occur and not seen.errors:
        lines.append(f"{caller} predictions with {_listed(promise.errors)}, got none")
    late = seen.last_error_undone
    if promise.errors and late is not None and late > promise.within_seconds:
        lines.append(
            f"{caller} predictions without error {promise.within_seconds:g} s after the fault "
            f"was undone, "
            f"got one after {late:.1f} s"
        )
    if seen.max is not None and seen.max > 1000 * promise.slowest_seconds:
        lines.append(
            f"{caller} predictions answered within {promise.slowest_seconds:g} s, "
            f"got {seen.max / 1000:.1f} s"
        )
    if seen.steady_again is None:
        lines.append(f"{caller} predictions as fast as before, got none within the time")
    return lines


def _record_shortfalls(expectation: Expectation, records: Records) -> list[str]:
    lines = []
    if records.found < records.promised:
        lost = records.promised - records.found
        lines.append(f"every promised record found, got {lost} of {records.promised} lost")
    if expectation.unpromised and not records.unpromised:
        lines.append("ids without a record, got none: the fault had no effect")
    if not expectation.unpromised and records.unpromised:
        lines.append(f"a record for every response, got {records.unpromised} ids without one")
    return lines


def format_errors(errors: Mapping[str, int]) -> str:
    """Return counts by status, such as `3 503, 1 timeout`."""
    return ", ".join(f"{count} {status}" for status, count in sorted(errors.items()))


def _listed(statuses: frozenset[str]) -> str:
    return ", ".join(sorted(statuses))

"""Whether what callers saw of a fault is what they were promised."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PLAIN, LOOKED_UP = "plain", "looked up"


class Promise(BaseModel):
    """To one kind of callers. The default: no error at all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    errors: frozenset[str] = frozenset()
    """Statuses that may be seen, and no others."""
    within_seconds: Annotated[float, Field(ge=0)] = 0
    """After the fault was undone, or struck where Docker undoes it, that they may still be seen."""
    slowest_seconds: Annotated[float, Field(gt=0)] = 15
    """In which each is answered, well or not. By default what the proxy needs for one server that
    hangs, 10 s, and for the next one."""
    felt: bool = False
    """Errors must be seen: without any, the fault was not there."""


class Expectation(BaseModel):
    """Of one fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    why: str
    plain: Promise = Promise()
    looked_up: Promise = Promise()
    unpromised: bool = False
    """Some answers' ids say that there is no record; if not, none may."""

    def __init__(self, why: str, **given: object) -> None:
        super().__init__(why=why, **given)

    @property
    def promises(self) -> dict[str, Promise]:
        return {PLAIN: self.plain, LOOKED_UP: self.looked_up}


class Seen(BaseModel):
    """What one kind of callers saw; seconds, and milliseconds for latencies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    asked: int
    errors: dict[str, int] = {}
    steady_p99: float
    p50: float | None = None
    """Of all answers while the fault lasted, also of refusals."""
    p99: float | None = None
    max: float | None = None
    last_error: float | None = None
    """After the fault struck."""
    last_error_undone: float | None = None
    """After it was undone."""
    steady_again: float | None = None
    """After it was undone, or struck where Docker undoes it; None if never."""


class Records(BaseModel):
    """Of the answers that were given: ids that promise a record, those found, and the others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    promised: int
    found: int
    unpromised: int


class Outcome(BaseModel):
    """Of one fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: str
    why: str
    seen: dict[str, Seen]
    records: Records
    well_again: float | None
    """Seconds from the fault until every container was well, None if never."""
    missed: list[str] = []


def missed(fault: str, expectation: Expectation, outcome: Outcome) -> list[str]:
    """A line for each expectation that was not met."""
    lines = [
        line
        for caller, promise in expectation.promises.items()
        for line in _of_caller(caller, promise, outcome.seen[caller])
    ]
    lines += _of_records(expectation, outcome.records)
    if outcome.well_again is None:
        lines.append("every container well again, got one that is not")
    return [f"expectation not met: {fault}: {line}" for line in lines]


def _of_caller(caller: str, promise: Promise, seen: Seen) -> list[str]:
    lines = []
    if not seen.asked:
        return [f"{caller} predictions asked for, got none"]
    wrong = {status: n for status, n in seen.errors.items() if status not in promise.errors}
    if wrong:
        allowed = f"no error but {_listed(promise.errors)}" if promise.errors else "without error"
        lines.append(
            f"{caller} predictions {allowed}, "
            f"got {sum(wrong.values())} of {seen.asked} ({told(wrong)})"
        )
    if promise.felt and not seen.errors:
        lines.append(f"{caller} predictions with {_listed(promise.errors)}, got none")
    late = seen.last_error_undone
    if promise.errors and late is not None and late > promise.within_seconds:
        lines.append(
            f"{caller} predictions without error {promise.within_seconds:g} s after it was undone, "
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


def _of_records(expectation: Expectation, records: Records) -> list[str]:
    lines = []
    if records.found < records.promised:
        lost = records.promised - records.found
        lines.append(f"every promised record found, got {lost} of {records.promised} lost")
    if expectation.unpromised and not records.unpromised:
        lines.append("ids that say there is no record, got none: the fault was not felt")
    if not expectation.unpromised and records.unpromised:
        lines.append(f"every answer on record, got {records.unpromised} whose id says it is not")
    return lines


def told(errors: Mapping[str, int]) -> str:
    """As `3 503, 1 timeout`."""
    return ", ".join(f"{count} {status}" for status, count in sorted(errors.items()))


def _listed(statuses: frozenset[str]) -> str:
    return ", ".join(sorted(statuses))

"""What two versions did since a stage began, counted from the servers' counters."""

import math
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field

from slipway.policy import CHAMPION
from slipway.rollout.scrape import REQUESTS, SECONDS, Series

Counters = dict[str, float]
"""By series; see `Series.key`."""


class Arm(BaseModel):
    """One version's requests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: float = Field(default=0, ge=0, description="Answered or failed; no caller's errors")
    failed: float = Field(default=0, ge=0)
    timed: float = Field(default=0, ge=0, description="Answered while a bound was set")
    slow: float = Field(default=0, ge=0, description="Of these, beyond the bound")

    def __add__(self, other: "Arm") -> "Arm":
        return Arm(
            **{name: getattr(self, name) + getattr(other, name) for name in Arm.model_fields}
        )


def increase(before: Mapping[str, float], after: Mapping[str, float]) -> Counters:
    """How far each counter rose; one that fell began anew with its whole group.

    A server that restarts begins all counters of a version at 0, so a bucket that happens to
    stand higher than before is no rise: what shows it is any other of the group that fell.
    """
    restarted = {
        Series.of(key).group for key, value in before.items() if after.get(key, 0.0) < value
    }
    return {
        key: value - (0.0 if Series.of(key).group in restarted else before.get(key, 0.0))
        for key, value in after.items()
    }


def counted(
    risen: Mapping[str, float],
    *,
    version: str,
    variant: str,
    slow_bound: float | None,
    yielding: bool,
) -> Arm:
    """A version's requests among the increases, answering as `variant`.

    Failures are 5xx. Beside a shadow, `yielding`, only 500 is counted, of both: a shadow runs
    one call at a time in a process that yields to all others, so that waiting too long in it,
    503 and 504, says nothing of the version.
    """
    requests = failed = timed = within = 0.0
    for key, value in risen.items():
        series = Series.of(key)
        if (series.version, series.variant) != (version, variant):
            continue
        if series.metric == REQUESTS:
            fails = series.part == "500" if yielding else series.part.startswith("5")
            if fails:
                failed += value
            if fails or series.part.startswith("2"):
                requests += value
        elif series.metric == SECONDS and slow_bound is not None:
            bound = float(series.part)
            if bound == math.inf:
                timed += value
            elif bound == slow_bound:
                within += value
    return Arm(requests=requests, failed=failed, timed=timed, slow=max(0.0, timed - within))


def slow_bound(
    servers: Iterable[Mapping[str, float]],
    *,
    champion: str,
    quantile: float,
    ratio: float,
    floor_seconds: float,
    least: int,
) -> float | None:
    """Seconds from which a request is slow, one of the histogram's bounds; None while unknown.

    From all that the champion answered since its servers started: the least bound that holds
    `quantile` of it, times `ratio` and at least `floor_seconds` more, rounded up to a bound.
    Infinite, where nothing is slow, beyond the last one: the server's time limit is below it.
    """
    buckets: dict[float, float] = {}
    for counters in servers:
        for key, value in counters.items():
            series = Series.of(key)
            if (series.metric, series.version, series.variant) == (SECONDS, champion, CHAMPION):
                bound = float(series.part)
                buckets[bound] = buckets.get(bound, 0.0) + value
    total = buckets.get(math.inf, 0.0)
    if total < least:
        return None
    usual = min(bound for bound, count in buckets.items() if count >= quantile * total)
    wanted = max(ratio * usual, usual + floor_seconds)
    return min(bound for bound in buckets if bound >= wanted)

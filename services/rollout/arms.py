"""Requests, failures and slow requests of each version in a stage, from the servers' counters."""

import math
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field

from services.rollout.scrape import REQUESTS, SECONDS, Series
from slipway.policy import CHAMPION

Counters = dict[str, float]
"""Values by series; see `Series.key`."""


class Arm(BaseModel):
    """The requests of one version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: float = Field(
        default=0, ge=0, description="Responses 2xx and failures; client errors do not count"
    )
    failed: float = Field(default=0, ge=0, description="Responses 5xx")
    timed: float = Field(default=0, ge=0, description="Responses while a bound of slowness was set")
    slow: float = Field(
        default=0, ge=0, description="Those of them that were slower than the bound"
    )

    def __add__(self, other: "Arm") -> "Arm":
        return Arm(
            **{name: getattr(self, name) + getattr(other, name) for name in Arm.model_fields}
        )


def increase(before: Mapping[str, float], after: Mapping[str, float]) -> Counters:
    """Return the increase of each counter, taking restarts of the server into account.

    A restarted server counts a version from 0 again, and some buckets may already be higher than
    before. If any counter of a group fell, the whole group therefore counts from 0.
    """
    restarted = {
        Series.parse(key).group for key, value in before.items() if after.get(key, 0.0) < value
    }
    return {
        key: value - (0.0 if Series.parse(key).group in restarted else before.get(key, 0.0))
        for key, value in after.items()
    }


def count_requests(
    increases: Mapping[str, float],
    *,
    version: str,
    variant: str,
    slow_bound: float | None,
    only_500: bool,
) -> Arm:
    """Return the requests that the version served as `variant`.

    Failures are 5xx. While a shadow is observed, `only_500` counts no other failure of either
    version: a shadow runs one call at a time at low priority, so its timeouts (503 and 504) are not
    the version's fault.
    """
    requests = failed = timed = within = 0.0
    for key, value in increases.items():
        series = Series.parse(key)
        if (series.version, series.variant) != (version, variant):
            continue
        if series.metric == REQUESTS:
            fails = series.part == "500" if only_500 else series.part.startswith("5")
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
    """Return the bound in seconds above which a request is slow; None while unknown.

    Take the smallest bound of the histogram below which `quantile` of the champion's requests since
    its servers started lie. Multiply it by `ratio`, add at least `floor_seconds`, and round up to
    a bound. It is infinite, so that nothing is slow, if it exceeds the last finite bound: the
    server's time limit is below that.
    """
    buckets: dict[float, float] = {}
    for counters in servers:
        for key, value in counters.items():
            series = Series.parse(key)
            if (series.metric, series.version, series.variant) == (SECONDS, champion, CHAMPION):
                bound = float(series.part)
                buckets[bound] = buckets.get(bound, 0.0) + value
    total = buckets.get(math.inf, 0.0)
    if total < least:
        return None
    usual = min(bound for bound, count in buckets.items() if count >= quantile * total)
    wanted = max(ratio * usual, usual + floor_seconds)
    return min(bound for bound in buckets if bound >= wanted)

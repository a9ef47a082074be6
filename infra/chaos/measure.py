"""Metrics of what callers saw under a fault, from their responses."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from infra.chaos.judge import CallerMeasurements
from infra.chaos.load import Response

# A second is calm without an error and with 95% of its responses within twice the steady p99. The
# limit is at least this: on two cores a p99 of 5 ms is 20 ms in the next second.
FLOOR_SECONDS = 0.05
CALM_SHARE = 0.95
# The number of calm seconds in a row that count as recovered.
ROW = 3


def limit(steady: Sequence[Response]) -> float:
    """Return the latency in seconds up to which a response counts as being as fast as before."""
    return max(2 * _percentile(steady, 99), FLOOR_SECONDS)


def calm_since(
    responses: Sequence[Response], start: float, end: float, limit: float
) -> float | None:
    """Return the first of `ROW` calm seconds in a row, in seconds after `start`.

    Returns None if there are none.
    """
    count = int(end - start)
    calm = [
        _calm([each for each in responses if start + at <= each.due < start + at + 1], limit)
        for at in range(count)
    ]
    for at in range(count - ROW + 1):
        if all(calm[at : at + ROW]):
            return float(at)
    return None


def _calm(responses: Sequence[Response], limit: float) -> bool:
    if not responses or not all(each.good for each in responses):
        return False
    return sum(each.seconds <= limit for each in responses) >= CALM_SHARE * len(responses)


def summarize(
    steady: Sequence[Response],
    responses: Sequence[Response],
    *,
    struck: float,
    lasted: float,
    undone: float,
    end: float,
) -> CallerMeasurements:
    """Summarize responses due from `struck` to `end`, times of the monotonic clock.

    `undone` is when the fault was undone, and latencies count until `lasted`. Where Docker undoes
    the fault itself, `undone` equals `struck`.
    """
    inside = [each for each in responses if each.due < lasted]
    # An error counts at the time when it arrives.
    errors = [each.due + each.seconds for each in responses if not each.good]
    last = max(errors, default=None)
    return CallerMeasurements(
        asked=len(responses),
        errors=dict(Counter(each.status for each in responses if not each.good)),
        steady_p99=1000 * _percentile(steady, 99),
        p50=1000 * _percentile(inside, 50) if inside else None,
        p99=1000 * _percentile(inside, 99) if inside else None,
        max=1000 * max(each.seconds for each in responses) if responses else None,
        last_error=None if last is None else last - struck,
        last_error_undone=None if last is None else max(0.0, last - undone),
        steady_again=calm_since(responses, undone, end, limit(steady)),
    )


def _percentile(responses: Sequence[Response], share: float) -> float:
    """Return seconds; infinite without responses, so that no limit is derived from nothing."""
    if not responses:
        return float("inf")
    return float(np.percentile([each.seconds for each in responses], share))

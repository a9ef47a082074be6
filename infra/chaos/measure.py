"""What callers saw of a fault, from their answers."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from infra.chaos.judge import Seen
from infra.chaos.load import Answer

# A second is calm without an error and with 95% of its answers within twice the steady p99, but
# at least this: on two cores a p99 of 5 ms is 20 ms in the next second.
FLOOR_SECONDS = 0.05
CALM_SHARE = 0.95
# So many calm seconds in a row are calm.
ROW = 3


def limit(steady: Sequence[Answer]) -> float:
    """Seconds under which latency is as it was before."""
    return max(2 * _percentile(steady, 99), FLOOR_SECONDS)


def calm_since(answers: Sequence[Answer], start: float, end: float, limit: float) -> float | None:
    """The first of `ROW` calm seconds in a row from `start` on, as seconds after `start`.

    None as long as there are none.
    """
    count = int(end - start)
    calm = [
        _calm([each for each in answers if start + at <= each.due < start + at + 1], limit)
        for at in range(count)
    ]
    for at in range(count - ROW + 1):
        if all(calm[at : at + ROW]):
            return float(at)
    return None


def _calm(answers: Sequence[Answer], limit: float) -> bool:
    if not answers or not all(each.good for each in answers):
        return False
    return sum(each.seconds <= limit for each in answers) >= CALM_SHARE * len(answers)


def seen(
    steady: Sequence[Answer],
    answers: Sequence[Answer],
    *,
    struck: float,
    lasted: float,
    undone: float,
    end: float,
) -> Seen:
    """Of answers due from `struck` to `end`, moments of the clock.

    `undone` is when it was undone, and `lasted` until when its latencies count; where Docker undoes
    the fault itself, the first is when it struck.
    """
    inside = [each for each in answers if each.due < lasted]
    # An error is seen when it comes.
    errors = [each.due + each.seconds for each in answers if not each.good]
    last = max(errors, default=None)
    return Seen(
        asked=len(answers),
        errors=dict(Counter(each.status for each in answers if not each.good)),
        steady_p99=1000 * _percentile(steady, 99),
        p50=1000 * _percentile(inside, 50) if inside else None,
        p99=1000 * _percentile(inside, 99) if inside else None,
        max=1000 * max(each.seconds for each in answers) if answers else None,
        last_error=None if last is None else last - struck,
        last_error_undone=None if last is None else max(0.0, last - undone),
        steady_again=calm_since(answers, undone, end, limit(steady)),
    )


def _percentile(answers: Sequence[Answer], share: float) -> float:
    """Seconds; infinite for none, so that no limit comes of it by accident."""
    if not answers:
        return float("inf")
    return float(np.percentile([each.seconds for each in answers], share))

"""Scores from feedback, of the champion and the version, by canary step."""

from pathlib import Path

from slipway.policy import CHALLENGER, CHAMPION
from slipway.predictions.feedback import FILE, FeedbackStore, VariantScore
from slipway.statistics.ab import Sample


def by_step(
    folder: Path, project: str, *, starts: list[float], champion: str, version: str
) -> list[tuple[Sample, Sample]]:
    """Champion's and version's scores of predictions made in each step, truths that came late too.

    `starts` are the Unix times at which the steps began. None when no feedback is kept in
    `folder`.

    Raises:
        OSError, sqlite3.Error: its disk is away.
    """
    if not (folder / FILE).exists():
        return []
    store = FeedbackStore(folder)
    try:
        since = [store.summary(project, since=start) for start in starts]
    finally:
        store.close()
    whose = ((champion, CHAMPION), (version, CHALLENGER))
    # The last step has no end yet.
    ends = [*since[1:], []]
    return [
        (_of(from_start, from_end, *whose[0]), _of(from_start, from_end, *whose[1]))
        for from_start, from_end in zip(since, ends, strict=True)
    ]


def _of(
    from_start: list[VariantScore], from_end: list[VariantScore], version: str, variant: str
) -> Sample:
    """Between the two times: the scores from the first on, less those from the second on."""
    whole, later = (_sums(scores, version, variant) for scores in (from_start, from_end))
    n, total, squares = (a - b for a, b in zip(whole, later, strict=True))
    if n < 1:
        return Sample(0)
    mean = total / n
    return Sample(int(n), mean, max(0.0, (squares - n * mean * mean) / (n - 1)) if n > 1 else 0.0)


def _sums(scores: list[VariantScore], version: str, variant: str) -> tuple[float, float, float]:
    """Number, sum and sum of squares."""
    for each in scores:
        if (each.version, each.variant) == (version, variant):
            spread = (each.variance or 0.0) * (each.n - 1)
            return each.n, each.n * each.mean, spread + each.n * each.mean**2
    return 0, 0.0, 0.0

"""Scores of the champion and the new version from feedback, by canary step."""

from pathlib import Path

from slipway.policy import CHALLENGER, CHAMPION
from slipway.predictions.feedback_store import FILE, FeedbackStore, VariantScore
from slipway.statistics.ab import Sample


def scores_by_step(
    folder: Path, project: str, *, starts: list[float], champion: str, version: str
) -> list[tuple[Sample, Sample]]:
    """Return the champion's and the version's scores of the predictions made in each step.

    A late label counts for the step of its prediction. `starts` are the Unix times at which the
    steps began. The result is empty if `folder` holds no feedback.

    Raises:
        OSError, sqlite3.Error: the disk is unavailable.
    """
    if not (folder / FILE).exists():
        return []
    store = FeedbackStore(folder)
    try:
        since = [store.summary(project, since=start) for start in starts]
    finally:
        store.close()
    arms = ((champion, CHAMPION), (version, CHALLENGER))
    # The last step has no end yet.
    ends = [*since[1:], []]
    return [
        (_between(from_start, from_end, *arms[0]), _between(from_start, from_end, *arms[1]))
        for from_start, from_end in zip(since, ends, strict=True)
    ]


def _between(
    from_start: list[VariantScore], from_end: list[VariantScore], version: str, variant: str
) -> Sample:
    """Return the scores between two times: those since the first, minus those since the second."""
    whole, later = (_sums(scores, version, variant) for scores in (from_start, from_end))
    n, total, squares = (a - b for a, b in zip(whole, later, strict=True))
    if n < 1:
        return Sample(0)
    mean = total / n
    return Sample(int(n), mean, max(0.0, (squares - n * mean * mean) / (n - 1)) if n > 1 else 0.0)


def _sums(scores: list[VariantScore], version: str, variant: str) -> tuple[float, float, float]:
    """Return number, sum and sum of squares of the scores."""
    for each in scores:
        if (each.version, each.variant) == (version, variant):
            spread = (each.variance or 0.0) * (each.n - 1)
            return each.n, each.n * each.mean, spread + each.n * each.mean**2
    return 0, 0.0, 0.0

"""Metrics of predicted directions, with intervals that know that neighbouring rows are alike."""

import numpy as np
from sklearn.metrics import brier_score_loss, roc_auc_score

# About a month of days for each resampled block, since neighbouring rows are alike.
BLOCK, DRAWS = 100, 4000


def interval(
    hits: np.ndarray, *, looks: int = 1, block: int = BLOCK, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of hits (rows,), by a bootstrap of blocks of neighbours
    (Politis and Romano 1992); wide enough for the best of so many `looks` (Bonferroni).
    """
    block = min(block, max(1, len(hits) // 4))
    rng = np.random.default_rng(seed)
    # Around the end to the beginning: else the rows there would be drawn too seldom.
    starts = rng.integers(0, len(hits), (DRAWS, -(-len(hits) // block)))
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([hits, hits[:block]]))])
    means = (sums[starts + block] - sums[starts]).mean(axis=1) / block
    low, high = np.quantile(means, [0.025 / looks, 1 - 0.025 / looks])
    return float(low), float(high)


def area(up: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the area under the ROC curve; one half where all days went the same way."""
    return float(roc_auc_score(up, probabilities)) if up.any() and not up.all() else 0.5


def measured(probabilities: np.ndarray, up: np.ndarray, looks: int = 1) -> dict[str, float]:
    """Return the metrics of probabilities (rows,) of a higher close.

    `brier_skill` is the share taken off the Brier score of always predicting one half.
    """
    hits = (probabilities >= 0.5) == up
    low, high = interval(hits.astype(float), looks=looks)
    return {
        "roc_auc": area(up, probabilities),
        "hit_rate": float(hits.mean()),
        "hit_rate_low": low,
        "hit_rate_high": high,
        "brier_skill": 1 - float(brier_score_loss(up, probabilities)) / 0.25,
        "share_up": float(up.mean()),
    }

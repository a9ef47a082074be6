"""Metrics of predicted directions, with intervals for correlated neighbouring rows."""

import numpy as np
from sklearn.metrics import roc_auc_score

from slipway.training.validation import brier_skill

# Rows per resampled block, about a month, since neighbouring rows are correlated.
BLOCK, DRAWS = 100, 4000


def interval(
    hits: np.ndarray, *, looks: int = 1, block: int = BLOCK, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of hits (rows,), by a bootstrap of neighbouring rows.

    Circular block bootstrap: Politis and Romano (1992). The interval holds for the best of `looks`
    candidates (Bonferroni).
    """
    block = min(block, max(1, len(hits) // 4))
    rng = np.random.default_rng(seed)
    # Blocks wrap around; otherwise rows at both ends would be drawn too rarely.
    starts = rng.integers(0, len(hits), (DRAWS, -(-len(hits) // block)))
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([hits, hits[:block]]))])
    means = (sums[starts + block] - sums[starts]).mean(axis=1) / block
    low, high = np.quantile(means, [0.025 / looks, 1 - 0.025 / looks])
    return float(low), float(high)


def area(up: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the area under the ROC curve, or one half where all labels are equal."""
    return float(roc_auc_score(up, probabilities)) if up.any() and not up.all() else 0.5


def direction_metrics(
    probabilities: np.ndarray, up: np.ndarray, looks: int = 1
) -> dict[str, float]:
    """Return the metrics of probabilities (rows,) of a higher close.

    `brier_skill` is the reduction of the Brier score relative to always predicting one half.
    """
    hits = (probabilities >= 0.5) == up
    low, high = interval(hits.astype(float), looks=looks)
    return {
        "roc_auc": area(up, probabilities),
        "hit_rate": float(hits.mean()),
        "hit_rate_low": low,
        "hit_rate_high": high,
        "brier_skill": brier_skill(up, probabilities, 0.5),
        "share_up": float(up.mean()),
    }

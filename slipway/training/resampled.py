"""Metrics of rankings as functions of row numbers, for a bootstrap.

The rows are sorted once for all resamples. A tie counts as scikit-learn counts it.
"""

from collections.abc import Callable

import numpy as np

RowMetric = Callable[[np.ndarray], float]
"""Maps row numbers, with repetitions, to the metric over these rows."""


def roc_auc_by_rows(y_true: np.ndarray, y_score: np.ndarray) -> RowMetric:
    """Return the area under the ROC curve of scores (rows,) for labels (rows,), by row numbers.

    The area is 0 over rows that all have the same label.
    """
    labels = np.asarray(y_true, dtype=bool)
    levels, level = np.unique(y_score, return_inverse=True)

    def roc_auc(rows: np.ndarray) -> float:
        positives, negatives = (
            np.bincount(level[rows[labels[rows] == label]], minlength=len(levels))
            for label in (True, False)
        )
        below = np.cumsum(negatives) - negatives / 2
        return float(positives @ below / max(positives.sum() * negatives.sum(), 1))

    return roc_auc


def average_precision_by_rows(y_true: np.ndarray, y_score: np.ndarray) -> RowMetric:
    """Return the average precision of scores (rows,) for labels (rows,), by row numbers.

    It is 0 over rows without a positive label.
    """
    labels = np.asarray(y_true, dtype=bool)
    levels, level = np.unique(-np.asarray(y_score), return_inverse=True)

    def average_precision(rows: np.ndarray) -> float:
        flagged = np.bincount(level[rows], minlength=len(levels))
        found = np.bincount(level[rows][labels[rows]], minlength=len(levels))
        precision = np.cumsum(found) / np.maximum(np.cumsum(flagged), 1)
        return float(found @ precision / max(found.sum(), 1))

    return average_precision

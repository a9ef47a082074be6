"""Metrics of predicted classes of pixels."""

import numpy as np


def confusion_counts(y_true: np.ndarray, y_pred: np.ndarray, classes: int) -> np.ndarray:
    """Return counts (classes, classes) of pixels by true class (rows) and predicted class.

    Both arrays have the same shape. Pixels whose true class is `classes` or more do not count, such
    as those that nobody labelled.
    """
    known = y_true < classes
    pairs = classes * y_true[known].astype(np.int64) + y_pred[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def mask_metrics(counts: np.ndarray) -> dict[str, float]:
    """Return `miou` and `pixel_accuracy` from the counts of `confusion_counts`.

    `miou` is the mean intersection over union of the classes that occur, as truth or prediction.
    """
    right = np.diag(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - right
    occurs = union > 0
    return {
        "miou": float(np.mean(right[occurs] / union[occurs])),
        "pixel_accuracy": float(right.sum() / counts.sum()),
    }

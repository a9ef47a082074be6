"""ROC and precision-recall curves, computed by scikit-learn.

They are not in `plots`, so that only reports that draw them depend on scikit-learn.
"""

import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from slipway.reporting.plots import ACCENT, PALE, Labels, Numbers


def roc(axes: Axes, y_true: Labels, scores: Numbers) -> None:
    """Draw the ROC curve, with the area under it."""
    fall_out, recall, _ = roc_curve(y_true, scores)
    area = roc_auc_score(y_true, scores)
    axes.plot(fall_out, recall, color=ACCENT, label=f"area {area:.3f}")
    axes.plot([0, 1], [0, 1], color=PALE, linestyle=":")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.legend(loc="lower right")
    axes.set_title("ROC curve (test rows)")


def precision_recall(axes: Axes, y_true: Labels, scores: Numbers) -> None:
    """Draw the precision-recall curve, with the average precision."""
    precision, recall, _ = precision_recall_curve(y_true, scores)
    average = average_precision_score(y_true, scores)
    axes.plot(recall, precision, color=ACCENT, label=f"average precision {average:.3f}")
    axes.axhline(float(np.mean(y_true)), color=PALE, linestyle=":", label="share of positives")
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower left")
    axes.set_title("Precision and recall (test rows)")

"""A linear classifier of few pixels, as the baseline of studies of pictures."""

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from slipway.kits.centered import square_batch
from slipway.kits.classes import ClassRecord
from slipway.kits.metrics.classes import class_metrics, share_error
from slipway.training import Candidate, LabelledRows


def small_pixels(records: list[Any], cells: int) -> np.ndarray:
    """Return the mean brightness from 0 to 1 in `cells` x `cells` parts of each picture.

    The array is (rows, 3 * cells * cells); the side of the records' squares is a multiple of
    `cells`.
    """
    images = square_batch(records)
    part = images.shape[2] // cells
    parts = images.reshape(len(images), 3, cells, part, cells, part)
    return np.asarray(parts.mean(axis=(3, 5)).reshape(len(images), -1) / 255)


def fit_linear(records: list[Any], labels: np.ndarray, cells: int) -> Pipeline:
    """Return a logistic regression of the small pixels, fitted to label numbers (rows,).

    Its coefficients are shrunk strongly (C = 0.001): neighboring pixels are nearly equal.
    """
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.001, max_iter=300))
    return linear.fit(small_pixels(records, cells), labels)


def linear_probabilities(linear: Pipeline, records: list[Any], cells: int) -> np.ndarray:
    """Return the probabilities (rows, labels) of a classifier that `fit_linear` returned."""
    return np.asarray(linear.predict_proba(small_pixels(records, cells)))


def linear_candidate(
    output: type[ClassRecord],
    learned: LabelledRows[Any, str],
    validation: LabelledRows[Any, str],
    cells: int,
) -> Candidate:
    """Return the candidate `baseline`: `fit_linear` on the rows learned, by the others' metrics."""
    y_learned, y_true = (output.numbers(each.labels) for each in (learned, validation))
    linear = fit_linear(learned.records, y_learned, cells)
    metrics = class_metrics(linear_probabilities(linear, validation.records, cells), y_true)
    metrics["accuracy_se"] = share_error(metrics["accuracy"], len(validation))
    return Candidate("baseline", metrics, {"cells": cells, "rows": len(learned)})

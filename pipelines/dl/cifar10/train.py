"""Training of a deep network: first what makes it learn at all, then a training at full length.

Three candidates differ in their first weights and in batch normalization, and learn briefly from
few pictures. The last learns longer from all pictures that do not validate: mirrored and moved by
chance, and first as small copies.
"""

from dataclasses import replace
from pathlib import Path

import torch

from slipway.deep import Plan
from slipway.kits.augmentation import mirrored, shifted
from slipway.kits.metrics.classes import class_metrics, share_error
from slipway.kits.pixel_baseline import fit_linear, linear_probabilities
from slipway.kits.pixel_tensors import LAYOUT
from slipway.training import Candidate, Fitted, LabelledRows

from .model import SmallPhoto, Subject
from .network import Recipe, network
from .study import Length, ServedStudy

# The baseline gets the mean colors of 8 x 8 parts of a picture, so it is fitted in seconds.
CELLS = 8
# A sixteenth of the side.
PIXELS = 2
# From the simplest to the most complex; the first three learn equally long.
RECIPES = {
    "naive": Recipe(he=False, batch_norm=False),
    "he": Recipe(batch_norm=False),
    "batch_norm": Recipe(),
    "full_length": Recipe(vary=True),
}


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return a cycle of the learning rate; the same for every recipe, so that they compare."""
    return Plan(epochs, 0.006, "one_cycle", batch=64, weight_decay=0.05)


def augment(images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    if not recipe.vary:
        return images
    return shifted(mirrored(images), PIXELS).contiguous(memory_format=LAYOUT)


def fit(
    *,
    train: LabelledRows[SmallPhoto, str],
    weights: Path,
    seed: int,
    held_out: int,
    brief: dict[str, int],
    epochs: dict[str, int],
    width: int,
) -> Fitted:
    """Choose a candidate by its accuracy on held-out rows, and export it.

    `brief` has the epochs and the rows of the brief trainings. `epochs` has those of the full
    length with small copies, and with whole pictures.
    """
    study = ServedStudy(Subject, network, weights=weights, seed=seed, augment=augment, plan=plan)
    baseline = linear_candidate(study, train, held_out)
    recipes = {
        name: (replace(recipe, width=width), Length(**brief)) for name, recipe in RECIPES.items()
    }
    rows = len(train) - held_out
    full_length = replace(recipes["full_length"][0], small=epochs["small"] * rows)
    recipes["full_length"] = (full_length, Length(sum(epochs.values())))
    study.compare_lengths(train, recipes, held_out=held_out)
    return study.serve_best(baseline)


def linear_candidate(
    study: ServedStudy, train: LabelledRows[SmallPhoto, str], held_out: int
) -> Candidate:
    """Return the logistic regression of the pixels, validated on the same rows as the networks."""
    learned, validation = study.split(study.tensors(train), held_out)
    y_learned, y_true = (Subject.numbers(each.rows.labels) for each in (learned, validation))
    linear = fit_linear(learned.rows.records, y_learned, CELLS)
    metrics = class_metrics(linear_probabilities(linear, validation.rows.records, CELLS), y_true)
    metrics["accuracy_se"] = share_error(metrics["accuracy"], len(validation))
    return Candidate("baseline", metrics, {"cells": CELLS, "rows": len(learned)})

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
from slipway.kits.pixel_baseline import linear_candidate
from slipway.training import Fitted, LabelledRows

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
    return shifted(mirrored(images), PIXELS) if recipe.vary else images


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
    rows = study.tensors(train)
    learned, validation = study.split(rows, held_out)
    baseline = linear_candidate(Subject, learned.rows, validation.rows, CELLS)
    recipes = {
        name: (replace(recipe, width=width), Length(**brief)) for name, recipe in RECIPES.items()
    }
    full_length = replace(recipes["full_length"][0], small=epochs["small"] * len(learned))
    recipes["full_length"] = (full_length, Length(sum(epochs.values())))
    study.compare_lengths(rows, recipes, held_out=held_out)
    return study.serve_best(rows, baseline)

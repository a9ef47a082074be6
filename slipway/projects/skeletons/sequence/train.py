"""Compare recurrent networks with the mean of all rows, which forgets their order."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from slipway.deep import Plan
from slipway.kits.classifier import ClassifierStudy
from slipway.kits.sequence.steps import step_batch
from slipway.training import Fitted, LabelledRows

from .model import LABELS, STEPS, WIDTH, Digit, Rows


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate."""

    hidden: int


# From the simplest to the most complex.
RECIPES = {"baseline": Recipe(0), "small": Recipe(16), "large": Recipe(64)}


class Recurrent(nn.Module):
    """A network of the state after the last step; steps are (rows, steps, width)."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.reader = nn.GRU(WIDTH, recipe.hidden, batch_first=True) if recipe.hidden else None
        self.last = nn.Linear(recipe.hidden or WIDTH, len(LABELS))

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        state = steps.mean(dim=1) if self.reader is None else self.reader(steps)[0][:, -1]
        logits: torch.Tensor = self.last(state)
        return logits


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return the hyperparameters of the training."""
    return Plan(epochs, 0.01, "one_cycle", batch=64, clip=1.0)


def steps(records: list[Rows]) -> dict[str, np.ndarray]:
    """Return the network's input."""
    return {"steps": step_batch([each.rows for each in records], STEPS)["steps"]}


def fit(
    *, train: LabelledRows[Rows, str], weights: Path, seed: int, held_out: int, epochs: int
) -> Fitted:
    """Choose a recipe by its accuracy on held-out sequences; then train it on all of them."""
    study = ClassifierStudy(Digit, steps, Recurrent, weights=weights, seed=seed, plan=plan)
    study.compare(train, RECIPES, held_out=held_out, epochs=epochs)
    return study.refit_best(train)

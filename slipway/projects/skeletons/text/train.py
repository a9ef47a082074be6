"""Compare the mean of learned directions of words with one that knows pairs of neighbors too."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from slipway.deep import Plan
from slipway.kits.classifier import ClassifierStudy
from slipway.kits.text.vocabulary import PADDING, Vocabulary
from slipway.training import Fitted, LabelledRows

from .model import LABELS, LENGTH, Report, Topic


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate."""

    words: int
    """The number of words that the network knows."""
    pairs: bool = False
    width: int = 32


# From the simplest to the most complex.
RECIPES = {"baseline": Recipe(words=20), "words": Recipe(4000), "pairs": Recipe(4000, pairs=True)}


class MeanOfWords(nn.Module):
    """A network of the mean direction of the words, tokens (rows, length), without padding."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.words, self.pairs = recipe.words, recipe.pairs
        self.directions = nn.Embedding(recipe.words + 2, recipe.width, padding_idx=PADDING)
        self.neighbors = nn.Conv1d(recipe.width, recipe.width, 2, padding=1)
        self.last = nn.Linear(recipe.width, len(LABELS))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        # Words beyond those that this network knows are unknown to it.
        known = torch.where(tokens < self.words + 2, tokens, 1)
        found = self.directions(known)
        if self.pairs:
            both = self.neighbors(found.transpose(1, 2)).relu().transpose(1, 2)
            found = found + both[:, : tokens.shape[1]]
        present = (tokens != PADDING).float()[:, :, None]
        mean = (found * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)
        logits: torch.Tensor = self.last(mean)
        return logits


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return the hyperparameters of the training."""
    return Plan(epochs, 0.02, "one_cycle", batch=64)


def fit(
    *, train: LabelledRows[Report, str], weights: Path, seed: int, held_out: int, epochs: int
) -> Fitted:
    """Choose a recipe by its accuracy on held-out reports; then train it on all of them."""
    most = max(each.words for each in RECIPES.values())
    vocabulary = Vocabulary.from_texts((each.text for each in train.records), most)
    vocabulary.write(weights)

    def tokens(reports: list[Report]) -> dict[str, np.ndarray]:
        return {"tokens": vocabulary.tokens([each.text for each in reports], LENGTH)}

    study = ClassifierStudy(Topic, tokens, MeanOfWords, weights=weights, seed=seed, plan=plan)
    study.compare(train, RECIPES, held_out=held_out, epochs=epochs)
    return study.refit_best(train)

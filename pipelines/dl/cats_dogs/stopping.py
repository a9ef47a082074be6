"""Early stopping: training curves on both kinds of rows, and the weights of the best epoch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from slipway.deep import Checkpoint, Progress
from slipway.kits.image_classification.pooled import PooledStudy
from slipway.kits.study import Arrays, TensorRows, described
from slipway.training import Candidate, LabelledRows

# Rows of the training set on which the curve of learned rows is measured, as many as validate.
MEASURED = 400


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate; each differs from the one before in one step."""

    epochs: int
    augmented: bool = False
    dropout: float = 0.0
    weight_decay: float = 0.0
    falling_rate: bool = False
    stops: bool = False
    """True if the weights of the epoch with the lowest validation loss are a candidate, too."""


class StoppingStudy(PooledStudy[Recipe]):
    """A study that watches each training on held-out rows, and can go back to the best epoch.

    The log loss decides, not the accuracy: overfitting shows there first, as sure mistakes.
    """

    primary = "log_loss"
    best = "lowest"

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        planned = self.plan
        # Each recipe has its own number of epochs.
        self.plan = lambda recipe, _: planned(recipe, recipe.epochs)

    def compare_stopping(
        self, rows: LabelledRows[Any, Any], recipes: Mapping[str, Recipe], *, held_out: int
    ) -> None:
        """Train each recipe, and add a candidate `NAME_stopped` of those that stop early."""
        self._recipes, self._progress = dict(recipes), Progress(epochs=epochs_of(recipes))
        learned, validation = self.split(self.tensors(rows), held_out)
        for name, recipe in recipes.items():
            module, curves = self.train(
                recipe, learned, recipe.epochs, validation=validation, name=name
            )
            self._add(name, recipe, module, validation, curves)
            if recipe.stops:
                place = int(np.argmin(curves["log_loss"]))
                stopped = replace(recipe, epochs=place + 1)
                checkpoint = self._checkpoint(name, recipe, self.plan(recipe, 0), learned)
                kept = torch.load(best_file(checkpoint), weights_only=True)
                module.load_state_dict(kept["weights"])
                self._recipes[f"{name}_stopped"] = stopped
                until = {key: each[: place + 1] for key, each in curves.items()}
                self._add(f"{name}_stopped", stopped, module, validation, until)

    def _add(
        self,
        name: str,
        recipe: Recipe,
        module: nn.Module,
        validation: TensorRows,
        curves: dict[str, list[float]],
    ) -> None:
        metrics = self.validate(module, validation)
        self.tried.append(Candidate(name, metrics, described(recipe), curves))

    def metrics(self, outputs: Arrays, rows: TensorRows) -> dict[str, float]:
        """Return the metrics, and the standard error of the log loss."""
        y_true = rows.targets["labels"].numpy()
        losses = -np.log(outputs["probabilities"][np.arange(len(y_true)), y_true].clip(1e-7))
        error = float(losses.std(ddof=1) / np.sqrt(len(losses)))
        return {**super().metrics(outputs, rows), "log_loss_se": error}

    def watch(
        self,
        module: nn.Module,
        rows: TensorRows,
        validation: TensorRows | None,
        checkpoint: Checkpoint | None,
    ) -> dict[str, float]:
        """Return loss and accuracy on both kinds of rows; keep the best epoch in a file."""
        if validation is None or checkpoint is None:
            return {}
        values = self._measured(module, validation)
        keep_best(best_file(checkpoint), module, values["log_loss"])
        seen = rows.take(torch.arange(min(MEASURED, len(rows))))
        learned = self._measured(module, seen)
        return {**values, **{f"train_{key}": each for key, each in learned.items()}}

    def _measured(self, module: nn.Module, rows: TensorRows) -> dict[str, float]:
        metrics = self.validate(module, rows)
        return {key: metrics[key] for key in ("log_loss", "accuracy")}


def best_file(checkpoint: Checkpoint) -> Path:
    """Return where a training keeps the weights of its best epoch, beside its checkpoint."""
    return checkpoint.folder.with_suffix(".best")


def keep_best(file: Path, module: nn.Module, loss: float) -> None:
    """Write the weights if no epoch before had a lower loss; so they survive a kill, too."""
    if file.exists() and torch.load(file, weights_only=True)["loss"] <= loss:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    torch.save({"loss": loss, "weights": module.state_dict()}, new)
    os.replace(new, file)


def epochs_of(recipes: Mapping[str, Recipe]) -> int:
    """Return the epochs of all recipes together."""
    return sum(each.epochs for each in recipes.values())

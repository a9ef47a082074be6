"""Compare losses, scaling and waves with linear regression, and calibrate the interval."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch import nn

from slipway.deep import export_onnx, predict
from slipway.kits.study import Arrays, TensorRows, Tensors, TorchStudy
from slipway.training import Fitted, LabelledRows
from slipway.training.conformal import conformal_quantile
from slipway.training.selection import bootstrap_error

from .model import FIELDS, INTERVAL, UNIT, BlockGroup, BlockValue, block_values, numbers
from .networks import MISSED, RECIPES, LinearRegression, Recipe, Scale, ValueNetwork, loss_of, plan


class ValueStudy(TorchStudy[Recipe]):
    """A study of networks from eight numbers to a value in 100,000 dollars with its interval.

    Numbers are scaled by the rows that a network trains on.
    """

    primary = "rmse"
    best = "lowest"
    outputs = ("values",)

    def __init__(self, weights: Path, seed: int) -> None:
        super().__init__(self.untrained, weights=weights, seed=seed, plan=plan)
        self._scale = Scale(torch.zeros(len(FIELDS)), torch.ones(len(FIELDS)))
        self._huber = False

    def untrained(self, recipe: Recipe) -> nn.Module:
        """Return an untrained network for the rows of the present training."""
        return ValueNetwork(recipe, self._scale)

    def arrays(self, records: list[Any]) -> Arrays:
        return numbers(records)

    def targets(self, rows: LabelledRows[Any, Any]) -> Tensors:
        return {"values": torch.tensor(rows.labels, dtype=torch.float64).div(UNIT).float()}

    def loss(self, outputs: Any, targets: Tensors) -> torch.Tensor:
        return loss_of(outputs, targets["values"], huber=self._huber)

    def train(
        self,
        recipe: Recipe,
        rows: TensorRows,
        epochs: int,
        *,
        validation: TensorRows | None = None,
        name: str = "",
    ) -> tuple[nn.Module, dict[str, list[float]]]:
        """Train one network; linear regression is solved instead."""
        inputs, values = rows.inputs["numbers"], rows.targets["values"]
        self._scale, self._huber = Scale.from_rows(inputs), recipe.huber
        if recipe.hidden:
            return super().train(recipe, rows, epochs, validation=validation, name=name)
        self.modules[name] = LinearRegression(self._scale).fit(inputs, values)
        return self.modules[name], {}

    def metrics(self, outputs: Arrays, rows: TensorRows) -> dict[str, float]:
        y_pred, low, high = outputs["values"].T
        y_true = rows.targets["values"].numpy()
        squares = (y_pred - y_true) ** 2
        error = bootstrap_error(
            lambda drawn: float(np.sqrt(squares[drawn].mean())), len(squares), seed=self.seed
        )
        return {
            "rmse": float(root_mean_squared_error(y_true, y_pred)),
            "rmse_se": error,
            "mae": float(mean_absolute_error(y_true, y_pred)),
            "r2": float(r2_score(y_true, y_pred)),
            "coverage": float(np.mean((low <= y_true) & (y_true <= high))),
            "width": float(np.median(high - low)),
        }

    def curve(self, outputs: Arrays, rows: TensorRows) -> float:
        return float(
            root_mean_squared_error(rows.targets["values"].numpy(), outputs["values"][:, 0])
        )

    def predictions(self, records: list[Any], outputs: Arrays) -> list[BlockValue]:
        linear = predict(self.modules["linear"], torch.from_numpy(numbers(records)["numbers"]))
        widening = json.loads((self.weights / INTERVAL).read_text())["widening"]
        return block_values(outputs["values"], linear[:, 0].numpy(), widening)


def fit(
    *,
    train: LabelledRows[BlockGroup, float],
    weights: Path,
    seed: int,
    calibration: int,
    held_out: int,
    epochs: int,
) -> Fitted:
    """Choose a recipe by its RMSE on held-out rows, and train it on all but `calibration` rows."""
    study = ValueStudy(weights, seed)
    order = np.random.default_rng(seed).permutation(len(train))
    aside, rest = (take(train, rows) for rows in (order[:calibration], order[calibration:]))
    study.compare(rest, RECIPES, held_out=held_out, epochs=epochs)
    linear, _ = study.train(RECIPES["baseline"], study.tensors(rest), 0, name="linear")
    example = {"numbers": torch.zeros(2, len(FIELDS))}
    export_onnx(linear, example, study.outputs, weights, "linear.onnx")
    fitted = study.refit_best(rest)
    rows = study.tensors(aside)
    _, low, high = (
        predict(study.modules[f"{fitted.chosen} on all"], rows.inputs["numbers"]).double().numpy().T
    )
    y_true = rows.targets["values"].double().numpy()
    widening = conformal_quantile(np.maximum(low - y_true, y_true - high), 2 * MISSED)
    (weights / INTERVAL).write_text(json.dumps({"widening": widening}) + "\n")
    return fitted


def take(rows: LabelledRows[Any, Any], places: np.ndarray) -> LabelledRows[Any, Any]:
    """Return the rows at `places`."""
    chosen = places.tolist()
    return LabelledRows([rows.records[at] for at in chosen], [rows.labels[at] for at in chosen])

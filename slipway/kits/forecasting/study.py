"""A study of networks that forecast the next steps of a series."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from slipway.contract import Record
from slipway.deep import Plan
from slipway.kits.metrics.forecasts import smape
from slipway.kits.study import Arrays, TensorRows, Tensors, TorchStudy
from slipway.training import LabelledRows

Recipe = TypeVar("Recipe")


class ForecastStudy(TorchStudy[Recipe]):
    """A study of networks with one output per step ahead; the label of a row is a list of them.

    `inputs(records)` makes the network's input, and `output(records, outputs)` the predictions, as
    in the project's `model.py`. The least mean absolute error decides. Neighboring windows share
    steps, so the last rows validate, not random ones.
    """

    primary = "mae"
    best = "lowest"
    outputs = ("forecast",)

    def __init__(
        self,
        inputs: Callable[[list[Any]], Arrays],
        output: Callable[[list[Any], Arrays], Sequence[Record]],
        network: Callable[[Recipe], nn.Module],
        *,
        weights: Path,
        seed: int,
        plan: Callable[[Recipe, int], Plan] | None = None,
    ) -> None:
        super().__init__(network, weights=weights, seed=seed, plan=plan)
        self.inputs, self.output = inputs, output

    def arrays(self, records: list[Any]) -> Arrays:
        return self.inputs(records)

    def targets(self, rows: LabelledRows[Any, Any]) -> Tensors:
        return {"ahead": torch.tensor(rows.labels, dtype=torch.float32)}

    def split(
        self, rows: TensorRows, held_out: int, subset: int | None = None
    ) -> tuple[TensorRows, TensorRows]:
        """Return the rows before the last `held_out`, at most `subset` of them, and those."""
        order = torch.arange(len(rows))
        first = 0 if subset is None else max(0, len(rows) - held_out - subset)
        return rows.take(order[first : len(rows) - held_out]), rows.take(order[-held_out:])

    def loss(self, outputs: Any, targets: Tensors) -> torch.Tensor:
        return functional.l1_loss(outputs, targets["ahead"])

    def metrics(self, outputs: Arrays, rows: TensorRows) -> dict[str, float]:
        true = rows.targets["ahead"].numpy()
        errors = np.abs(outputs["forecast"] - true).mean(axis=1)
        return {
            "mae": float(errors.mean()),
            "smape": smape(true, outputs["forecast"]),
            "mae_se": float(errors.std(ddof=1) / np.sqrt(len(errors))),
        }

    def predictions(self, records: list[Any], outputs: Arrays) -> Sequence[Record]:
        return self.output(records, outputs)

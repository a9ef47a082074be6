"""The study of digit networks, with further trainings that resume after a kill like its own."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slipway.contract import Record
from slipway.deep import Plan, Progress, deterministic, export_onnx, predict
from slipway.deep import train as descend
from slipway.kits.drawings import digit_pixels
from slipway.kits.image_classification.study import PictureStudy
from slipway.kits.pixel_tensors import brightness
from slipway.kits.study import Arrays, TensorRows
from slipway.training import LabelledRows

from .model import WrittenDigit, written_digits
from .networks import Recipe, augment, network, plan

Loss = Callable[[nn.Module, torch.Tensor], torch.Tensor]


class DigitStudy(PictureStudy[Recipe]):
    """A study of networks that get digits as the served model centers them.

    It also keeps what is served beside the chosen one.
    """

    def __init__(self, weights: Path, seed: int) -> None:
        super().__init__(
            WrittenDigit, network, weights=weights, seed=seed, augment=augment, plan=plan
        )
        self.others: dict[str, nn.Module] = {}
        self._read: tuple[LabelledRows[Any, Any], TensorRows] | None = None

    def arrays(self, records: list[Any]) -> Arrays:
        return {"images": digit_pixels(records)}

    def tensors(self, rows: LabelledRows[Any, Any]) -> TensorRows:
        """Return the rows with their tensors; the same rows are read once."""
        if self._read is None or self._read[0] is not rows:
            self._read = rows, super().tensors(rows)
        return self._read[1]

    def train_by(
        self, name: str, build: Callable[[], nn.Module], loss: Loss, rows: TensorRows, plan: Plan
    ) -> tuple[nn.Module, dict[str, list[float]]]:
        """Train another kind of network with a loss of its own; `loss` gets the rows of a batch."""
        deterministic(self.seed)
        module = build()
        curves = descend(
            module,
            len(rows),
            lambda batch: loss(module, batch),
            plan,
            seed=self.seed,
            checkpoint=self._checkpoint(name, Recipe(name), plan, rows),
            progress=Progress(name),
        )
        return module, curves

    def serve_beside(self, name: str, module: nn.Module) -> None:
        """Export a network as `NAME.onnx`, so that its answer is part of each prediction."""
        self.others[name] = module
        exported, example = self.exported(module), torch.zeros(2, 1, 28, 28)
        export_onnx(exported, {"images": example}, self.outputs, self.weights, f"{name}.onnx")

    def predictions(self, records: list[Any], outputs: Arrays) -> Sequence[Record]:
        images = brightness(torch.from_numpy(digit_pixels(records)))
        found = {name: predict(each, images).numpy() for name, each in self.others.items()}
        return written_digits(outputs["probabilities"], found)

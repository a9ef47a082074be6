"""A study of networks that predict one class among several."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn
from torch.nn import functional

from slipway.contract import Record
from slipway.deep import Plan
from slipway.kits.classes import ClassRecord
from slipway.kits.metrics.classes import class_metrics, share_error
from slipway.kits.study import Arrays, TensorRows, Tensors, TorchStudy
from slipway.training import LabelledRows

Recipe = TypeVar("Recipe")


class ClassifierStudy(TorchStudy[Recipe]):
    """A study of networks with one output per label of `output`; labels are texts.

    The candidate with the best accuracy decides. The exported graph has the probabilities.
    """

    primary = "accuracy"
    outputs: ClassVar[tuple[str, ...]] = ("probabilities",)

    def __init__(
        self,
        output: type[ClassRecord],
        inputs: Callable[[list[Any]], Arrays],
        network: Callable[[Recipe], nn.Module],
        *,
        weights: Path,
        seed: int,
        augment: Callable[[Any, Recipe], Any] | None = None,
        plan: Callable[[Recipe, int], Plan] | None = None,
    ) -> None:
        super().__init__(network, weights=weights, seed=seed, augment=augment, plan=plan)
        self.output, self.inputs = output, inputs

    def arrays(self, records: list[Any]) -> Arrays:
        return self.inputs(records)

    def targets(self, rows: LabelledRows[Any, Any]) -> Tensors:
        return {"labels": torch.from_numpy(self.output.numbers(rows.labels))}

    def loss(self, outputs: Any, targets: Tensors) -> torch.Tensor:
        return functional.cross_entropy(outputs, targets["labels"])

    def exported(self, module: nn.Module) -> nn.Module:
        return nn.Sequential(module, nn.Softmax(dim=1))

    def metrics(self, outputs: Arrays, rows: TensorRows) -> dict[str, float]:
        metrics = class_metrics(outputs["probabilities"], rows.targets["labels"].numpy())
        return {**metrics, "accuracy_se": share_error(metrics["accuracy"], len(rows))}

    def predictions(self, records: list[Any], outputs: Arrays) -> Sequence[Record]:
        return self.output.from_probabilities(outputs["probabilities"])

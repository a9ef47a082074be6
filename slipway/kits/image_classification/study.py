"""A study of networks that classify pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from slipway.deep import Plan
from slipway.kits.classes import ClassRecord
from slipway.kits.classifier import ClassifierStudy
from slipway.kits.pixel_study import PixelStudy
from slipway.kits.study import Tensors

Recipe = TypeVar("Recipe")


class PictureStudy(PixelStudy[Recipe], ClassifierStudy[Recipe]):
    """A study of networks from brightness (rows, channels, height, width) to one output per label.

    `augment(images, recipe)` changes the pictures of a batch at random; labels stay.
    """

    def __init__(
        self,
        output: type[ClassRecord],
        network: Callable[[Recipe], nn.Module],
        *,
        weights: Path,
        seed: int,
        augment: Callable[[torch.Tensor, Recipe], torch.Tensor] | None = None,
        plan: Callable[[Recipe, int], Plan] | None = None,
    ) -> None:
        super().__init__(
            output,
            self.arrays,
            network,
            weights=weights,
            seed=seed,
            augment=augment,
            plan=plan,
        )

    def augmented(self, inputs: Tensors, targets: Tensors, recipe: Recipe) -> tuple[Any, Any]:
        if self.augment:
            inputs = {"images": self.augment(inputs["images"], recipe)}
        return inputs, targets

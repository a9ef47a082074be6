"""A study of networks that make a picture of a picture: noise removed, sharper, in colors."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from slipway.contract import Record
from slipway.deep import Plan
from slipway.kits.generative.record import MadePicture
from slipway.kits.metrics.pictures import psnr, ssim
from slipway.kits.pixel_study import PixelStudy
from slipway.kits.pixel_tensors import brightness
from slipway.kits.study import Arrays, TensorRows, Tensors
from slipway.training import LabelledRows

Recipe = TypeVar("Recipe")


class _Clamped(nn.Module):
    """The network's pictures with brightness from 0 to 1."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.module(images)
        return made.clamp(0, 1)


class PictureToPictureStudy(PixelStudy[Recipe]):
    """A study of networks from brightness to brightness (rows, channels, height, width).

    The label of a picture is its `output`, with the pixels that the network should make.
    `augment((images, wanted), recipe)` changes a batch at random.
    """

    primary = "psnr"
    outputs: ClassVar[tuple[str, ...]] = ("pictures",)

    def __init__(
        self,
        output: type[MadePicture],
        network: Callable[[Recipe], nn.Module],
        *,
        channels: int,
        weights: Path,
        seed: int,
        augment: Callable[[Any, Recipe], Any] | None = None,
        plan: Callable[[Recipe, int], Plan] | None = None,
    ) -> None:
        super().__init__(network, weights=weights, seed=seed, augment=augment, plan=plan)
        self.output, self.channels = output, channels

    def targets(self, rows: LabelledRows[Any, Any]) -> Tensors:
        wanted = np.stack([each.pixels(self.channels) for each in rows.labels])
        return {"pictures": torch.from_numpy(wanted)}

    def augmented(self, inputs: Tensors, targets: Tensors, recipe: Recipe) -> tuple[Any, Any]:
        images, wanted = inputs["images"], brightness(targets["pictures"])
        if self.augment:
            images, wanted = self.augment((images, wanted), recipe)
        return {"images": images}, {"pictures": wanted}

    def loss(self, outputs: Any, targets: Tensors) -> torch.Tensor:
        return functional.mse_loss(outputs, targets["pictures"])

    def exported(self, module: nn.Module) -> nn.Module:
        return _Clamped(module)

    def metrics(self, outputs: Arrays, rows: TensorRows) -> dict[str, float]:
        made = np.round(255 * outputs["pictures"])
        wanted = rows.targets["pictures"].numpy()
        pairs = list(zip(wanted.transpose(0, 2, 3, 1), made.transpose(0, 2, 3, 1), strict=True))
        ratios = np.array([psnr(*pair) for pair in pairs])
        return {
            "psnr": float(ratios.mean()),
            "ssim": float(np.mean([ssim(*pair) for pair in pairs])),
            "psnr_se": float(ratios.std(ddof=1) / np.sqrt(len(ratios))),
        }

    def predictions(self, records: list[Any], outputs: Arrays) -> Sequence[Record]:
        return self.output.from_brightness(outputs["pictures"])

"""Studies of networks that get the brightness of pictures."""

from typing import Any, TypeVar

import torch
from torch import nn

from slipway.kits.images import pixel_batch
from slipway.kits.pixel_tensors import brightness, in_layout, with_layout
from slipway.kits.study import Arrays, Tensors, TorchStudy

Recipe = TypeVar("Recipe")


class PixelStudy(TorchStudy[Recipe]):
    """A study of networks with one input, brightness (rows, channels, height, width)."""

    def arrays(self, records: list[Any]) -> Arrays:
        return {"images": pixel_batch(records)}

    def feed(self, inputs: Tensors) -> Tensors:
        return {"images": brightness(inputs["images"])}

    def prepared(self, module: nn.Module) -> nn.Module:
        return with_layout(module)

    def placed(self, inputs: torch.Tensor) -> torch.Tensor:
        return in_layout(inputs)

"""A network in the style of VGG, with or without batch normalization and He's first weights."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from slipway.kits.image_classification.pooled import PooledClassifier

from .model import LABELS

# The deviation of the first weights in AlexNet and in the first VGG, whatever the layer's size.
NAIVE = 0.01
# The side is halved between stages. The first stage has one convolution, the others have two.
STAGES = 4
# The side of the copies that it sees first: they cost 9/16 of a whole picture.
SMALL = 24


@dataclass(frozen=True)
class Recipe:
    """The steps that one candidate takes; the first three differ by one field each."""

    he: bool = True
    batch_norm: bool = True
    vary: bool = False
    """True if a picture is mirrored by chance, and moved by up to two pixels each way."""
    small: int = 0
    """The pictures that the network sees first, as copies of 24 x 24 pixels; later it sees whole
    ones."""
    width: int = 32
    """Channels of the second stage; each later stage has twice as many as the one before."""


class Scaled(nn.Module):
    """Brightness from 0 to 1 becomes about -2 to 2, with a deviation near 1."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 4 * images - 2


class SmallFirst(nn.Module):
    """Shows the first pictures of a training as small copies, and all later ones whole.

    The count belongs to the network's state, so a training that was killed continues with it.
    """

    def __init__(self, small: int) -> None:
        super().__init__()
        self.small = small
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.seen: torch.Tensor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            seen = int(self.seen)
            self.seen += len(images)
            if seen < self.small:
                return reduced(images, SMALL)
        return images


def reduced(images: torch.Tensor, side: int) -> torch.Tensor:
    """Return square pictures (rows, channels, height, width) as copies with `side` x `side` pixels.

    Each pixel of a copy is a weighted mean of those below it, so that no fine pattern becomes a
    coarse one. A picture that is not larger stays as it is.
    """
    if images.shape[2] <= side:
        return images
    return functional.interpolate(images, size=side, mode="bilinear", antialias=True)


def network(recipe: Recipe) -> PooledClassifier:
    """Return seven convolutions in four stages, and a linear layer of the mean over the places.

    Each stage sees the picture at half the side of the one before, 32, 16, 8 and 4 pixels. The
    first has few channels, because a channel costs most there.
    """
    channels = [recipe.width * 2**stage for stage in range(STAGES - 1)]
    layers: list[nn.Module] = [
        SmallFirst(recipe.small),
        Scaled(),
        *convolution(3, 24, recipe),
    ]
    inputs = 24
    for outputs in channels:
        layers += [
            nn.MaxPool2d(2),
            *convolution(inputs, outputs, recipe),
            *convolution(outputs, outputs, recipe),
        ]
        inputs = outputs
    return PooledClassifier(nn.Sequential(*layers), inputs, len(LABELS))


def convolution(inputs: int, outputs: int, recipe: Recipe) -> list[nn.Module]:
    """Return the layers of one convolution of 3 x 3 with its first weights.

    He's deviation sqrt(2 / inputs of a value) keeps the variance of what passes through a layer:
    the 2 makes up for the half that ReLU sets to 0 (https://arxiv.org/abs/1502.01852).
    """
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=not recipe.batch_norm)
    if recipe.he:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    else:
        nn.init.normal_(layer.weight, std=NAIVE)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return [layer, *([nn.BatchNorm2d(outputs)] if recipe.batch_norm else []), nn.ReLU()]

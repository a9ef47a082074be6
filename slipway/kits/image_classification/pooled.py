"""Classifiers that pool globally, exported with their class-activation maps."""

from typing import TypeVar

import torch
from torch import nn

from slipway.kits.image_classification.study import PictureStudy

Recipe = TypeVar("Recipe")


class PooledClassifier(nn.Module):
    """A classifier whose logits are means over the positions of the last layer.

    `features` returns channels by position (rows, channels, height, width). The weights of the
    linear layer, applied at each position instead of to the mean, are the class-activation map
    (Zhou et al., https://arxiv.org/abs/1512.04150); the mean of a label's map is its logit.
    """

    def __init__(self, features: nn.Module, channels: int, labels: int, dropout: float = 0) -> None:
        super().__init__()
        self.features = features
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, labels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits (rows, labels)."""
        pooled = self.features(images).mean(dim=(2, 3))
        return torch.as_tensor(self.classifier(self.dropout(pooled)))


class WithActivationMaps(nn.Module):
    """A network with its probabilities, and the activation map of each label (rows, labels, h, w).

    A network that does not pool globally has maps of one position, which holds the logit.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the probabilities and the maps."""
        if isinstance(self.network, PooledClassifier):
            classifier = self.network.classifier
            weights = classifier.weight[:, :, None, None]
            maps = torch.conv2d(self.network.features(images), weights, classifier.bias)
        else:
            maps = self.network(images)[:, :, None, None]
        return maps.mean(dim=(2, 3)).softmax(dim=1), maps


class PooledStudy(PictureStudy[Recipe]):
    """A study of classifiers, the best of which pool globally.

    The exported graph also returns `activation_maps`. A model that returns them from a method of
    that name has them in its explanations: see `slipway.explain.activation`.
    """

    outputs = ("probabilities", "activation_maps")

    def exported(self, module: nn.Module) -> nn.Module:
        return WithActivationMaps(module)

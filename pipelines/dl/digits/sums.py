"""Learn digits from the sums of two, without ever seeing the label of one, in torch."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from .networks import Recipe, network

SUMS = 19


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures (pairs, 2, 28, 28) and the sums of their digits (pairs,)."""

    images: torch.Tensor
    sums: torch.Tensor

    @classmethod
    def from_rows(cls, images: torch.Tensor, labels: torch.Tensor, *, seed: int) -> "Pairs":
        """Pair the pictures (rows, 1, 28, 28) at random; each is in one pair."""
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        left, right = order[: len(order) // 2 * 2].view(2, -1)
        both = torch.cat([images[left], images[right]], dim=1)
        return cls(both, labels[left] + labels[right])


class SumByDigits(nn.Module):
    """Reads both digits with one network, and adds what it reads.

    The probability of a sum is that of all pairs of digits that give it, so the loss of the sum
    teaches the network single digits (Manhaeve et al., DeepProbLog, 2018).
    """

    def __init__(self) -> None:
        super().__init__()
        self.reader = network(Recipe("cnn"))
        digits = torch.arange(10)
        pairs = (digits[:, None] + digits).flatten()
        # 1 where a pair of digits has a sum: (100, 19).
        self.register_buffer("adds", functional.one_hot(pairs, SUMS).float())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logarithms of the probabilities (pairs, 19) of the sums."""
        left, right = (self.reader(images[:, [place]]).softmax(dim=1) for place in range(2))
        both = (left[:, :, None] * right[:, None, :]).flatten(1)
        adds: torch.Tensor = self.adds  # type: ignore[assignment]
        return (both @ adds).clamp_min(1e-12).log()


class SumAsClass(nn.Module):
    """Reads the sum as one of 19 classes, from both pictures side by side."""

    def __init__(self) -> None:
        super().__init__()
        layers = list(network(Recipe("cnn")))
        layers[7], layers[-1] = nn.Linear(32 * 7 * 14, 128), nn.Linear(128, SUMS)
        self.reader = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return scores (pairs, 19) of the sums."""
        wide = torch.cat([images[:, [0]], images[:, [1]]], dim=3)
        return torch.as_tensor(self.reader(wide))

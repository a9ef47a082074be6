"""The search for neighbours as a torch module, to be exported."""

import numpy as np
import torch
from torch import nn

from .model import RETURNED
from .questions import unit_rows


class Nearest(nn.Module):
    """From numbers and signs of words (rows, 20) to the nearest words by cosine (rows, 70)."""

    def __init__(self, vectors: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("units", torch.from_numpy(unit_rows(vectors)))

    def forward(
        self, words: torch.Tensor, signs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        units: torch.Tensor = self.get_buffer("units")
        query = (units[words] * signs[:, :, None]).sum(dim=1)
        query = query / query.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-9)
        nearest = (query @ units.T).topk(RETURNED, dim=1)
        return nearest.values, nearest.indices

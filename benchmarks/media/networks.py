"""The networks of these benchmarks, made by torch and exported to ONNX; nothing is trained.

Only speed is measured, so the weights are random, from a fixed seed.
"""

from pathlib import Path

import torch
from torch import nn

from benchmarks.media.sizes import SIDE
from slipway.deep.export import export_onnx

KINDS = 10
# 50 million multiplications a picture: about as long as decoding its JPEG.
WIDTHS = (16, 32, 64, 128)
# 10 million multiplications a token.
TOKENS, HIDDEN = 8192, 768


class Pictures(nn.Module):
    """Four convolutions of stride 2 and a mean; takes bytes (rows, 224, 224, 3)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in WIDTHS:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.ReLU()]
            before = width
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(before, KINDS)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the probabilities (rows, 10)."""
        colors = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255 - 0.5
        logits: torch.Tensor = self.head(self.layers(colors).mean(dim=(2, 3)))
        return (logits * 20).softmax(dim=1)


class Writer(nn.Module):
    """One step of a recurrent language model."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, HIDDEN)
        self.cell = nn.GRUCell(HIDDEN, HIDDEN)
        self.head = nn.Linear(HIDDEN, TOKENS)

    def forward(
        self, token: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits (rows, tokens) and the next state (rows, hidden)."""
        state = self.cell(self.embedding(token), state)
        return self.head(state), state


def export_pictures(weights: Path) -> None:
    """Write the network of pictures as `model.onnx`."""
    torch.manual_seed(1)
    example = torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8)
    export_onnx(Pictures(), {"pixels": example}, ["probabilities"], weights)


def export_writer(weights: Path) -> None:
    """Write the step of the language model as `model.onnx`."""
    torch.manual_seed(1)
    example = {"token": torch.zeros(2, dtype=torch.int64), "state": torch.zeros(2, HIDDEN)}
    export_onnx(Writer(), example, ["logits", "next_state"], weights)

"""A convolutional autoencoder that may begin as a principal component analysis."""

from dataclasses import dataclass

import torch
from torch import nn

from .components import Components
from .model import NUMBERS, SIDE

CHANNELS = 64
PLACES = SIDE // 4


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate; each has what the one before has."""

    pca_start: bool = False
    """True if the codes and pictures of a PCA are the start, to which the layers add."""
    noise: float = 0.0
    """The highest standard deviation of the noise in training, in levels of 255."""


class Encoder(nn.Module):
    """Picture to code: 32x32 is halved twice, and all places together give the numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, CHANNELS, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(CHANNELS * PLACES * PLACES, NUMBERS),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.layers(images))


class Decoder(nn.Module):
    """Code to picture: the same way back, and two layers that see the linear picture, too."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Sequential(nn.Linear(NUMBERS, CHANNELS * PLACES * PLACES), nn.ReLU())
        self.grown = nn.Sequential(
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(CHANNELS, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
            nn.ReLU(),
        )
        self.refined = nn.Sequential(
            nn.Conv2d(16 + 3, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 3, 3, padding=1)
        )

    def forward(self, codes: torch.Tensor, linear: torch.Tensor) -> torch.Tensor:
        places = self.places(codes).reshape(-1, CHANNELS, PLACES, PLACES)
        seen = torch.cat([self.grown(places), linear], dim=1)
        return torch.as_tensor(self.refined(seen))


class Autoencoder(nn.Module):
    """Brightness (rows, 3, 32, 32) to brightness, through a code of few numbers.

    `linear` holds the PCA's directions, scaled so that each number of the code has deviation 1.
    They are not trained. Without a PCA the mean picture is the start.
    """

    def __init__(self, components: Components, pca_start: bool) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()
        used = components.directions[:NUMBERS] * float(pca_start)
        scale = components.deviations[:NUMBERS, None]
        self.register_buffer("mean", torch.tensor(components.mean, dtype=torch.float32))
        self.register_buffer("analysis", torch.tensor(used / scale, dtype=torch.float32))
        self.register_buffer("synthesis", torch.tensor(used * scale, dtype=torch.float32))
        if pca_start:  # what the layers add begins at nothing
            for layer in (self.encoder.layers[-1], self.decoder.refined[-1]):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Return the codes (rows, numbers)."""
        linear = (images.flatten(1) - self.mean) @ self.analysis.T
        return torch.as_tensor(linear + self.encoder(images))

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the pictures (rows, 3, 32, 32); their brightness may leave 0 to 1."""
        linear = (codes @ self.synthesis + self.mean).reshape(-1, 3, SIDE, SIDE)
        return torch.as_tensor(linear + self.decoder(codes, linear))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(images))


class WithCode(nn.Module):
    """The graph that is served: pictures to pictures from 0 to 1, and their codes."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        codes = self.autoencoder.encode(images)
        return self.autoencoder.decode(codes).clamp(0, 1), codes


class FromCode(nn.Module):
    """The second graph that is served: codes to pictures from 0 to 1."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return self.autoencoder.decode(codes).clamp(0, 1)

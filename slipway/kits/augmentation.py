"""Random changes of the pictures of a batch (rows, channels, height, width), by torch's seed."""

import torch
from torch.nn import functional


def mirrored(images: torch.Tensor) -> torch.Tensor:
    """Mirror half of the pictures left to right."""
    chosen = torch.rand(len(images)) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def shifted(images: torch.Tensor, pixels: int = 1) -> torch.Tensor:
    """Move each picture by up to `pixels` each way; the border is filled with black."""
    height, width = images.shape[2:]
    rows = torch.arange(len(images))
    down, right = torch.randint(0, 2 * pixels + 1, (2, len(images)))
    padded = functional.pad(images, (pixels,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[rows, :, down, right]


def dimmed(images: torch.Tensor, by: float = 0.2) -> torch.Tensor:
    """Multiply the brightness of each picture by a factor between 1 - `by` and 1 + `by`."""
    factors = 1 + by * (2 * torch.rand(len(images), 1, 1, 1) - 1)
    return (images * factors).clamp(0, 1)

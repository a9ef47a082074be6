"""Random changes of photographs after which a cat is still a cat."""

import torch
from torch.nn import functional


def changed(images: torch.Tensor) -> torch.Tensor:
    """Return the pictures (rows, 3, height, width) zoomed, turned and mirrored, in other light."""
    return relit(moved(images))


def moved(images: torch.Tensor) -> torch.Tensor:
    """Show a part of 70 to 100 % of each side, turned by up to 14 degrees, half of them mirrored.

    One affine map does all three, so that pixels are interpolated once. What lies outside of the
    picture is its mirror image.
    """
    count = len(images)
    zoom, stretch = uniform(count, 0.7, 1.0), uniform(count, 0.9, 1.1)
    angle, side = uniform(count, -0.25, 0.25), torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    across, down = (uniform(count, -1.0, 1.0) * (1 - zoom) for _ in range(2))
    rows = [
        torch.stack([zoom * stretch * angle.cos() * side, -zoom * angle.sin(), across], dim=1),
        torch.stack([zoom * angle.sin() * side, zoom / stretch * angle.cos(), down], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def relit(images: torch.Tensor) -> torch.Tensor:
    """Change brightness and contrast of each picture by up to 30 %, its colors by up to 10 %."""
    count = len(images)
    light = uniform(count, 0.7, 1.3)[:, None] + (0.2 * torch.rand(count, 3) - 0.1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    contrast = uniform(count, 0.7, 1.3)[:, None, None, None]
    return (((images - mean) * contrast + mean) * light[:, :, None, None]).clamp(0, 1)


def uniform(count: int, low: float, high: float) -> torch.Tensor:
    """Return `count` random numbers between `low` and `high`."""
    return low + (high - low) * torch.rand(count)

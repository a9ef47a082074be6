"""Random changes to the training pictures; the report draws examples of them."""

import torch
from torch.nn import functional

from .model import SIDE


def shifted(images: torch.Tensor) -> torch.Tensor:
    """Move each picture by up to one pixel either way; the border is filled with black."""
    rows = torch.arange(len(images))
    down, right = torch.randint(0, 3, (2, len(images)))
    padded = functional.pad(images, (1, 1, 1, 1))
    windows = padded.unfold(2, SIDE, 1).unfold(3, SIDE, 1)
    return windows[rows, :, down, right]


def flipped(images: torch.Tensor) -> torch.Tensor:
    """Mirror half of the pictures: a shoe that points right is still a shoe."""
    mirrored = torch.rand(len(images)) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def augmented(images: torch.Tensor, *, flip: bool, shift: bool) -> torch.Tensor:
    """Return the pictures mirrored at random if `flip`, then moved at random if `shift`."""
    if flip:
        images = flipped(images)
    return shifted(images) if shift else images

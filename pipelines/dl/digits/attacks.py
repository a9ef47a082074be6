"""Attack digit networks by their gradients, and train networks that withstand it, in torch.

An attack changes each pixel by at most epsilon (from 0 to 1) so that the loss grows.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

# Of 1, the range of brightness.
EPSILONS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
# The attack whose accuracies are metrics; the defended network is trained for a little more.
STATED = 0.2

Attack = Callable[[nn.Module, torch.Tensor, torch.Tensor, float], torch.Tensor]


def input_gradient(module: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the loss for the pictures (rows, 1, 28, 28)."""
    moving = images.detach().clone().requires_grad_()
    loss = functional.cross_entropy(module(moving), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, moving)
    return gradient


def fgsm(
    module: nn.Module, images: torch.Tensor, labels: torch.Tensor, epsilon: float
) -> torch.Tensor:
    """Return the pictures after one step of epsilon along the sign of the gradient.

    Goodfellow, Shlens and Szegedy, Explaining and harnessing adversarial examples (2015).
    """
    return (images + epsilon * input_gradient(module, images, labels).sign()).clamp(0, 1)


def pgd(
    module: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float,
    *,
    steps: int = 20,
    seed: int = 0,
) -> torch.Tensor:
    """Return the pictures after many small steps from a random start.

    After each step the pictures are brought back to within epsilon of the original. Madry et al.,
    Towards deep learning models resistant to adversarial attacks (2018).
    """
    generator = torch.Generator().manual_seed(seed)
    start = 2 * torch.rand(images.shape, generator=generator) - 1
    attacked = (images + epsilon * start).clamp(0, 1)
    for _ in range(steps):
        step = 2.5 * epsilon / steps * input_gradient(module, attacked, labels).sign()
        nearby = (attacked + step - images).clamp(-epsilon, epsilon)
        attacked = (images + nearby).clamp(0, 1)
    return attacked


ATTACKS: dict[str, Attack] = {"fgsm": fgsm, "pgd": pgd}


def accuracy_under(
    attack: Attack,
    module: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    epsilons: Sequence[float],
) -> list[float]:
    """Return the accuracy on attacked pictures, for each epsilon."""
    module.eval()
    shares = []
    for epsilon in epsilons:
        attacked = attack(module, images, labels, epsilon) if epsilon else images
        with torch.inference_mode():
            right = module(attacked).argmax(dim=1) == labels
        shares.append(float(np.mean(right.numpy())))
    return shares


def defending_loss(
    module: nn.Module, images: torch.Tensor, labels: torch.Tensor, most: float
) -> torch.Tensor:
    """Return the loss on pictures that were attacked in one step from a random start.

    Each picture has an epsilon of its own, up to `most`, so that easy ones remain. Wong, Rice and
    Kolter, Fast is better than free (2020).
    """
    epsilon = most * torch.rand(len(images), 1, 1, 1)
    start = (images + epsilon * (2 * torch.rand_like(images) - 1)).clamp(0, 1)
    step = 1.25 * epsilon * input_gradient(module, start, labels).sign()
    nearby = torch.minimum(torch.maximum(start + step - images, -epsilon), epsilon)
    return functional.cross_entropy(module((images + nearby).clamp(0, 1)), labels)

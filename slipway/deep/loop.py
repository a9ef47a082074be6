"""A training loop for every network; the project supplies the loss of a batch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from slipway.deep.seeding import deterministic


@dataclass(frozen=True)
class Plan:
    """Hyperparameters of the optimization."""

    epochs: int
    learning_rate: float
    """The maximum learning rate if a schedule changes it."""
    schedule: str = "constant"
    """`constant`, or `one_cycle`: up over the first 30 % of the steps, then down to nearly 0."""
    batch: int = 128
    weight_decay: float = 0.0
    clip: float | None = None
    """The maximum norm of the gradient; larger gradients are scaled down to it."""


def train(
    module: nn.Module,
    rows: int,
    loss: Callable[[torch.Tensor], torch.Tensor],
    plan: Plan,
    *,
    seed: int,
    measure: Callable[[], dict[str, float]] | None = None,
) -> dict[str, list[float]]:
    """Fit `module`, and leave it in evaluation mode; return learning curves with a value per epoch.

    `loss` takes the row indices of one batch and returns its mean loss. `measure` is called after
    each epoch, with the module in evaluation mode; the values that it returns become curves.

    Raises:
        ValueError: the schedule is unknown, or the loss is NaN.
    """
    deterministic(seed)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
    )
    scheduler = _scheduler(optimizer, plan, steps=plan.epochs * -(-rows // plan.batch))
    curves: dict[str, list[float]] = {}
    for epoch in range(plan.epochs):
        module.train()
        rate = optimizer.param_groups[0]["lr"]
        total = 0.0
        for batch in torch.randperm(rows).split(plan.batch):
            total += _step(module, loss(batch), optimizer, plan.clip) * len(batch)
            if scheduler:
                scheduler.step()
        module.eval()
        if total != total:
            raise ValueError(f"the loss is NaN after epoch {epoch + 1}: lower the learning rate")
        measured = measure() if measure else {}
        for name, value in {"loss": total / rows, "learning_rate": rate, **measured}.items():
            curves.setdefault(name, []).append(value)
    return curves


def _scheduler(optimizer: torch.optim.Optimizer, plan: Plan, *, steps: int) -> LRScheduler | None:
    if plan.schedule == "one_cycle":
        return OneCycleLR(optimizer, plan.learning_rate, total_steps=steps)
    if plan.schedule != "constant":
        raise ValueError(f"schedule must be constant or one_cycle, got {plan.schedule!r}")
    return None


def _step(
    module: nn.Module, loss: torch.Tensor, optimizer: torch.optim.Optimizer, clip: float | None
) -> float:
    optimizer.zero_grad()
    loss.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimizer.step()
    return float(loss.item())


def predict(module: nn.Module, *inputs: torch.Tensor, batch: int = 1000) -> torch.Tensor:
    """Return the module's outputs in evaluation mode, batch by batch to bound memory."""
    module.eval()
    with torch.inference_mode():
        parts = zip(*(each.split(batch) for each in inputs), strict=True)
        return torch.cat([module(*part) for part in parts])

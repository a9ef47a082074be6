"""A training loop for every network; the project supplies the loss of a batch.

Accelerate chooses the device, scales the loss in mixed precision and averages the gradients of
several processes. On one CPU the weights have the same bytes as those of a plain torch loop.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from slipway.deep.checkpoint import Checkpoint
from slipway.deep.progress import Progress
from slipway.deep.seeding import deterministic

PRECISIONS = ("no", "bf16", "fp16")


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
    accumulate: int = 1
    """The number of parts of a batch; one after the other is in memory, then comes one step."""
    precision: str = "no"
    """`no` is float32; `bf16` and `fp16` compute in mixed precision."""


class _BatchLoss(nn.Module):
    """The loss of a batch as a module, so that the gradients of several processes are averaged."""

    def __init__(self, module: nn.Module, loss: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.module, self.loss = module, loss

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.loss(batch)


def train(
    module: nn.Module,
    rows: int,
    loss: Callable[[torch.Tensor], torch.Tensor],
    plan: Plan,
    *,
    seed: int,
    measure: Callable[[], dict[str, float]] | None = None,
    cpu: bool = True,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> dict[str, list[float]]:
    """Fit `module`, and leave it in evaluation mode; return learning curves with a value per epoch.

    `loss` takes the row indices of one batch and returns its mean loss. `measure` is called after
    each epoch, with the module in evaluation mode; the values that it returns become curves.

    With `cpu=False` the module is on the GPU during the training, if there is one; `loss` then
    moves its tensors to the module's device. Afterwards the module is on the CPU. A training that
    was killed continues after its last complete epoch if it has a `checkpoint`; the weights are
    those of a training that was not.

    Raises:
        ValueError: the schedule or the precision is unknown, or the loss is NaN.
    """
    accelerator = _accelerator(plan, cpu=cpu)
    deterministic(seed)
    # Fused: other steps take square roots in MKL, which differ between the processors of Intel
    # and AMD; see docs/same_bytes.md.
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
    )
    scheduler = _scheduler(optimizer, plan, steps=plan.epochs * -(-rows // plan.batch))
    batch_loss, optimizer = accelerator.prepare(_BatchLoss(module, loss), optimizer)
    if accelerator.num_processes > 1:  # so that they do not all draw the same augmentation
        torch.manual_seed(seed + accelerator.process_index)
    curves: dict[str, list[float]] = {}
    if checkpoint:
        curves = checkpoint.resume(accelerator, scheduler)
    done = len(curves.get("loss", ()))
    for epoch in range(done, plan.epochs):
        module.train()
        rate = optimizer.param_groups[0]["lr"]
        total = 0.0
        for batch in _order(rows, accelerator).split(plan.batch):
            total += _step(accelerator, batch_loss, batch, optimizer, plan) * len(batch)
            if scheduler:
                scheduler.step()
        module.eval()
        if total != total:
            raise ValueError(f"the loss is NaN after epoch {epoch + 1}: lower the learning rate")
        measured = measure() if measure else {}
        for name, value in {"loss": total / rows, "learning_rate": rate, **measured}.items():
            curves.setdefault(name, []).append(value)
        if checkpoint:
            checkpoint.save(accelerator, scheduler, curves)
        if progress and accelerator.is_main_process:
            progress.epoch(
                epoch + 1, plan.epochs, {name: each[-1] for name, each in curves.items()}
            )
    module.eval()
    module.to("cpu")
    return curves


def _accelerator(plan: Plan, *, cpu: bool) -> Accelerator:
    if plan.precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {plan.precision}")
    # Accelerate keeps the first training's device and precision for the whole process.
    state = AcceleratorState._shared_state
    other_device = state and state["_cpu"] != cpu
    if other_device or (state and state["_mixed_precision"] != plan.precision):
        AcceleratorState._reset_state(reset_partial_state=other_device)
    return Accelerator(cpu=cpu, mixed_precision=plan.precision)


def _scheduler(optimizer: torch.optim.Optimizer, plan: Plan, *, steps: int) -> LRScheduler | None:
    if plan.schedule == "one_cycle":
        return OneCycleLR(optimizer, plan.learning_rate, total_steps=steps)
    if plan.schedule != "constant":
        raise ValueError(f"schedule must be constant or one_cycle, got {plan.schedule!r}")
    return None


def _order(rows: int, accelerator: Accelerator) -> torch.Tensor:
    """Return the row indices in random order, the same in every process."""
    order = torch.randperm(rows)
    if accelerator.num_processes == 1:
        return order
    shared: torch.Tensor = broadcast(order.to(accelerator.device))
    return shared.cpu()


def _step(
    accelerator: Accelerator, batch_loss: nn.Module, batch: torch.Tensor, optimizer: Any, plan: Plan
) -> float:
    """Take one step of the optimizer; return the mean loss of the batch over all processes."""
    optimizer.zero_grad()
    count = accelerator.num_processes
    # A batch with fewer rows than processes is computed whole by each of them.
    shared = count if len(batch) >= count else 1
    own = batch[accelerator.process_index :: count] if shared > 1 else batch
    parts = own.split(-(-len(own) // plan.accumulate))
    total = torch.zeros((), device=accelerator.device)
    for part in parts:
        # The mean of the gradients counts every process alike, whatever the number of its rows.
        weight = len(part) * shared / len(batch)
        with nullcontext() if part is parts[-1] else accelerator.no_sync(batch_loss):
            value = batch_loss(part)
            accelerator.backward(value if weight == 1 else value * weight)
        total += value.detach() * weight
    if plan.clip is not None:
        accelerator.clip_grad_norm_(batch_loss.parameters(), plan.clip)
    optimizer.step()
    return float(accelerator.reduce(total, "mean").item() if count > 1 else total.item())


def predict(module: nn.Module, *inputs: torch.Tensor, batch: int = 1000) -> Any:
    """Return the module's outputs in evaluation mode on the CPU, batch by batch to bound memory.

    A module that returns several tensors gives a tuple of them.
    """
    module.eval()
    device = next((each.device for each in module.parameters()), torch.device("cpu"))
    with torch.inference_mode():
        chunks = zip(*(each.split(batch) for each in inputs), strict=True)
        found = [module(*(each.to(device) for each in chunk)) for chunk in chunks]
        if isinstance(found[0], tuple):
            columns = zip(*found, strict=True)
            return tuple(torch.cat([each.cpu() for each in parts]) for parts in columns)
        return torch.cat([each.cpu() for each in found])

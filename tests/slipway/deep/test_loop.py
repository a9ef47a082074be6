"""The training loop: equal weights after a kill, with parts of batches, and in two processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn
from torch.nn import functional

from slipway.deep import Checkpoint, Plan, Progress, deterministic, loop, predict, train
from slipway.deep.progress import spoken
from tests.conftest import ROOT

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("slipway/deep/*",)

ROWS = 90
PLAN = Plan(4, 0.01, "one_cycle", batch=32, clip=1.0, weight_decay=0.05)


def network() -> nn.Sequential:
    deterministic(3)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(ROWS, 5, generator=generator)
    return values, (values[:, 0] > 0).long() + (values[:, 1] > 0).long()


def trained(plan: Plan = PLAN, checkpoint: Checkpoint | None = None) -> nn.Module:
    module = network()
    values, labels = rows()

    def loss(batch: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(module(values[batch]), labels[batch])

    train(module, ROWS, loss, plan, seed=3, checkpoint=checkpoint)
    return module


def flat(module: nn.Module) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in module.parameters()])


def by_hand() -> torch.Tensor:
    """Return the weights of the same training, written with torch alone."""
    module = network()
    values, labels = rows()
    deterministic(3)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01, weight_decay=0.05, fused=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=12)
    for _ in range(4):
        module.train()
        for batch in torch.randperm(ROWS).split(32):
            optimizer.zero_grad()
            functional.cross_entropy(module(values[batch]), labels[batch]).backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
    return flat(module)


def test_the_weights_have_the_bytes_of_a_loop_of_torch_alone() -> None:
    assert torch.equal(flat(trained()), by_hand())


KILLED = """
import os, signal, sys
from pathlib import Path
from slipway.deep import Checkpoint
from tests.slipway.deep import test_loop as here

class Kill(Checkpoint):
    def save(self, accelerator, scheduler, curves):
        super().save(accelerator, scheduler, curves)
        if len(curves["loss"]) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

here.trained(checkpoint=Kill(Path(sys.argv[1]), "key"))
"""


def test_a_killed_training_resumes_to_equal_weights(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    done = subprocess.run([sys.executable, "-c", KILLED, folder], cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed = Checkpoint(folder, "key")
    # After a kill between the two renames only the older folder is there.
    os.replace(folder, folder.with_name("checkpoint.old"))
    module = network()
    curves = train(module, ROWS, _no_loss_before(module, 2), PLAN, seed=3, checkpoint=resumed)
    assert len(curves["loss"]) == 4
    assert torch.equal(flat(module), flat(trained()))


def _no_loss_before(module: nn.Module, epochs: int) -> "_Loss":
    return _Loss(module, (PLAN.epochs - epochs) * 3)


class _Loss:
    """The loss of `trained`; fails if more batches are computed than the resumed epochs have."""

    def __init__(self, module: nn.Module, batches: int) -> None:
        self.module, self.left = module, batches

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        assert self.left >= 0
        values, labels = rows()
        return functional.cross_entropy(self.module(values[batch]), labels[batch])


def test_a_checkpoint_of_another_training_is_not_used(tmp_path: Path) -> None:
    trained(checkpoint=Checkpoint(tmp_path / "checkpoint", "another"))
    again = trained(checkpoint=Checkpoint(tmp_path / "checkpoint", "key"))
    assert torch.equal(flat(again), flat(trained()))


def test_parts_of_a_batch_give_the_gradient_of_the_whole() -> None:
    whole = Plan(2, 0.01, batch=32)
    parts = Plan(2, 0.01, batch=32, accumulate=3)
    module, other = linear(whole), linear(parts)
    assert torch.allclose(flat(module), flat(other), atol=1e-5)
    assert not torch.equal(flat(module), flat(other))


def linear(plan: Plan) -> nn.Module:
    deterministic(3)
    module = nn.Linear(5, 3)
    values, labels = rows()

    def loss(batch: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(module(values[batch]), labels[batch])

    train(module, ROWS, loss, plan, seed=3)
    return module


TWO = """
import sys, torch
from slipway.deep import Plan
from tests.slipway.deep import test_loop as here

module = here.linear(Plan(2, 0.01, batch=32))
if torch.distributed.get_rank() == 0:
    torch.save(here.flat(module), sys.argv[1])
"""


def test_two_processes_train_the_weights_of_one(tmp_path: Path) -> None:
    script, file = tmp_path / "two.py", tmp_path / "weights.pt"
    script.write_text(TWO)
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = subprocess.run(
        [sys.executable, *launch, script, file],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # 90 rows in batches of 32: the last batch has 26, 13 for each process.
    assert torch.allclose(torch.load(file), flat(linear(Plan(2, 0.01, batch=32))), atol=1e-5)


def test_mixed_precision_differs_a_little_and_float32_is_exact_afterwards() -> None:
    mixed, exact = (
        linear(Plan(2, 0.01, precision="bf16")),
        linear(Plan(2, 0.01)),
    )
    assert torch.allclose(flat(mixed), flat(exact), atol=0.01)
    assert not torch.equal(flat(mixed), flat(exact))
    assert torch.equal(flat(exact), flat(linear(Plan(2, 0.01))))
    with pytest.raises(ValueError, match="precision must be one of no, bf16, fp16, got fp64"):
        linear(Plan(2, 0.01, precision="fp64"))


class _Two(nn.Module):
    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return values + 1, values.sum(dim=1)


def test_outputs_are_joined_over_batches() -> None:
    more, sums = predict(_Two(), torch.ones(5, 2), batch=2)
    assert more.tolist() == [[2, 2]] * 5
    assert sums.tolist() == [2] * 5


def test_progress_estimates_the_rest_of_all_trainings() -> None:
    lines: list[str] = []
    progress = Progress("cnn", epochs=3, write=lines.append)
    progress.epoch(1, 2, {"loss": 0.5})
    progress.epoch(2, 2, {"loss": 0.25})
    progress.name = "cnn on all"
    progress.epoch(1, 1, {"loss": 0.125})
    assert lines[0].startswith("cnn: epoch 1 of 2  loss 0.5  about 0 s left")
    assert lines[2] == "cnn on all: epoch 1 of 1  loss 0.125  done"
    assert [spoken(each) for each in (8.4, 200, 4800)] == ["8 s", "3 min", "80 min"]
    assert spoken(7_200) == "2 h 0 min"


@pytest.mark.parametrize("cpu", [True, False])
def test_a_training_does_not_keep_the_device_of_the_one_before(cpu: bool) -> None:
    """Accelerate keeps it for the process: on a GPU, rows and weights then lay apart."""
    loop._accelerator(PLAN, cpu=not cpu)
    loop._accelerator(PLAN, cpu=cpu)
    assert AcceleratorState._shared_state["_cpu"] is cpu

"""The training loop on a GPU: equal weights in equal runs, after a kill, and in mixed precision."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from slipway.deep import Checkpoint, Plan, deterministic, export_onnx, predict, train

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("slipway/deep/*",)

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU that torch can use"
)

ROWS, SIDE = 512, 8
PLAN = Plan(4, 0.01, "one_cycle", batch=64, clip=1.0, weight_decay=0.05)


@pytest.fixture(autouse=True)
def fixed_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let cuBLAS compute deterministically, as `slipway train --profile full` does."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def network() -> nn.Sequential:
    deterministic(3)
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Flatten(), nn.Linear(8 * SIDE * SIDE, 2)),
    )


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures of noise whose brighter half is their label."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(ROWS) % 2
    pictures = torch.rand(ROWS, 1, SIDE, SIDE, generator=generator)
    for half in (0, 1):
        pictures[labels == half, :, :, 4 * half : 4 * half + 4] += 0.3
    return pictures, labels


def loss_of(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    pictures, labels = rows()

    def loss(batch: torch.Tensor) -> torch.Tensor:
        device = next(module.parameters()).device
        return functional.cross_entropy(
            module(pictures[batch].to(device)), labels[batch].to(device)
        )

    return loss


def trained(
    plan: Plan = PLAN, *, cpu: bool = False, checkpoint: Checkpoint | None = None
) -> tuple[nn.Module, list[float], set[str]]:
    """Return the network, the loss of each epoch, and the kinds of device that it learned on."""
    module = network()
    seen: set[str] = set()

    def measure() -> dict[str, float]:
        seen.add(next(module.parameters()).device.type)
        return {}

    curves = train(
        *(module, ROWS, loss_of(module), plan),
        seed=3,
        measure=measure,
        cpu=cpu,
        checkpoint=checkpoint,
    )
    return module, curves["loss"], seen


def flat(module: nn.Module) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in module.parameters()])


def test_it_learns_on_the_gpu_and_comes_back() -> None:
    module, losses, seen = trained()
    assert seen == {"cuda"}
    assert {each.device.type for each in module.parameters()} == {"cpu"}
    assert losses[-1] < losses[0] / 2


def test_equal_runs_give_equal_bytes() -> None:
    assert torch.equal(flat(trained()[0]), flat(trained()[0]))


def test_a_training_that_ended_early_resumes_to_equal_weights(tmp_path: Path) -> None:
    class Stop(Checkpoint):
        def save(self, accelerator, scheduler, curves):  # type: ignore[no-untyped-def]
            super().save(accelerator, scheduler, curves)
            if len(curves["loss"]) == 2:
                raise InterruptedError

    with pytest.raises(InterruptedError):
        trained(checkpoint=Stop(tmp_path / "checkpoint", "key"))
    resumed, losses, _ = trained(checkpoint=Checkpoint(tmp_path / "checkpoint", "key"))
    whole, all_losses, _ = trained()
    assert losses == all_losses
    assert torch.equal(flat(resumed), flat(whole))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_learns_like_float32(precision: str) -> None:
    full, mixed = trained()[1], trained(replace(PLAN, precision=precision))[1]
    assert mixed[-1] < mixed[0] / 2
    assert mixed[-1] == pytest.approx(full[-1], abs=0.1)


def test_parts_of_a_batch_give_nearly_the_weights_of_a_whole_one() -> None:
    """Without batch normalization and dropout they would be equal but for rounding."""
    assert trained(replace(PLAN, accumulate=4))[1][-1] < 0.2


def test_the_gpu_and_the_processor_predict_alike() -> None:
    module, _, _ = trained()
    pictures, _ = rows()
    here = predict(module, pictures)
    there = predict(module.to("cuda"), pictures)
    assert torch.allclose(here, there, atol=1e-4)


def test_what_the_gpu_trained_is_exported_with_its_answers(tmp_path: Path) -> None:
    import onnxruntime

    module, _, _ = trained()
    pictures, _ = rows()
    export_onnx(module, {"pictures": pictures[:2]}, ["scores"], tmp_path)
    session = onnxruntime.InferenceSession(
        str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    (scores,) = session.run(["scores"], {"pictures": pictures.numpy()})
    assert abs(scores - predict(module, pictures).numpy()).max() < 1e-4


def test_a_training_on_the_processor_stays_there_after_one_on_the_gpu() -> None:
    assert trained()[2] == {"cuda"}
    assert trained(cpu=True)[2] == {"cpu"}
    assert trained()[2] == {"cuda"}

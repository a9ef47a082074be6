"""Train a project with its full profile in a scratch folder, beside the committed results."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import environ
from pathlib import Path

from slipway.dependencies.stages import stage_inputs
from slipway.project import Project
from slipway.projects.scratch_training import run_stages, separate_registry
from slipway.reporting.figure import figure
from slipway.stages.full_profile import full_params

# Stages allow only deterministic operations. On CUDA, cuBLAS has them with a fixed workspace.
CUBLAS = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
OPTIONS = ("--profile", "full")


@dataclass(frozen=True)
class FullTraining:
    """The result of training a project with its full profile."""

    seconds: dict[str, float]
    """Wall time by stage."""
    metrics: dict[str, float]
    committed: dict[str, float]
    """The metrics in the project's `metrics.json`; empty if there is none."""
    conditions: dict[str, str]
    """The gate's conditions by metric."""
    shortfalls: list[str]
    """The conditions that are not met."""

    def table(self) -> list[str]:
        """Return the lines of a table: metrics, committed ones beside them, and the gate."""
        rows = [("metric", "full", "committed", "gate")]
        for name, value in self.metrics.items():
            before = self.committed.get(name)
            shown = "" if before is None else figure(before)
            rows.append((name, figure(value), shown, self.conditions.get(name, "")))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            "  ".join(
                text.ljust(width) if column in (0, 3) else text.rjust(width)
                for column, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]


def train_full(
    project: Project,
    folder: Path,
    *,
    register: bool = False,
    on_stage: Callable[[str], None] = lambda stage: None,
    tell: Callable[[str], None] = lambda line: None,
) -> FullTraining:
    """Run the project's stages with the full profile and outputs in `folder`.

    The stage `register` runs if the gate is met. It uses a registry below `folder`, or with
    `register` the real one, where the version waits unpromoted.

    Raises:
        Fault: the project has no full profile, or a stage fails.
        ValueError: the full profile is invalid.
    """
    gate = full_params(project).gate
    scratch = separate_registry(folder) | CUBLAS

    def run(stages: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
        return run_stages(
            *(project, folder, environment),
            stages=stages,
            options=OPTIONS,
            on_stage=on_stage,
            tell=tell,
        )

    seconds = run(("prepare", "fit", "evaluate"), scratch)
    metrics = _metrics(folder / "metrics.json")
    short = gate.shortfalls(metrics)
    if not short:
        seconds |= run(("register",), _unpromoted(dict(environ) if register else scratch))
    return FullTraining(
        seconds=seconds,
        metrics=metrics,
        committed=_metrics(project.folder / "metrics.json"),
        conditions={each.metric: f"{each.sign} {each.bound:g}" for each in gate.conditions},
        shortfalls=short,
    )


def _unpromoted(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a stage `register` that tags the version and does not promote it."""
    lineage = {**json.loads(environment.get("SLIPWAY_LINEAGE") or "{}"), "profile": "full"}
    return {**environment, "SLIPWAY_PROMOTE": "never", "SLIPWAY_LINEAGE": json.dumps(lineage)}


def _metrics(file: Path) -> dict[str, float]:
    return dict(json.loads(file.read_text())["metrics"]) if file.is_file() else {}


def training_device(project: Project) -> str:
    """Return the device that the project trains on here, such as `cpu` or `cuda, NVIDIA H100`.

    Accelerate chooses it; projects without Accelerate train on the CPU.
    """
    if "accelerate" not in stage_inputs(project, "fit").distributions:
        return "cpu"
    import torch
    from accelerate import Accelerator

    device = Accelerator().device
    if device.type == "cuda":
        return f"{device.type}, {torch.cuda.get_device_name(device)}"
    return str(device.type)

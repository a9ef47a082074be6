"""Run the stages of a project in a scratch folder; the checkout is never written to."""

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from slipway.fault import Fault
from slipway.project import Project
from slipway.repro import python
from slipway.stage_events import STAGES, TAIL_LINES

# They choose the registry and what becomes of a version; a scratch training has its own.
REGISTRY = ("MLFLOW_TRACKING_URI", "SLIPWAY_PROMOTE", "SLIPWAY_LINEAGE")


class StageFailed(Fault):
    """Raised when a stage fails; the message ends with the last lines of its output."""


def separate_registry(folder: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return `environment`, by default this process's, with a registry below `folder`."""
    known = os.environ if environment is None else environment
    kept = {name: value for name, value in known.items() if name not in REGISTRY}
    return {**kept, "SLIPWAY_HOME": str(folder / "home")}


def run_stages(
    project: Project,
    folder: Path,
    environment: Mapping[str, str],
    *,
    stages: Sequence[str] = STAGES,
    options: Sequence[str] = (),
    on_stage: Callable[[str], None] = lambda stage: None,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, float]:
    """Run `stages` with outputs in `folder`, each in its own process; return their seconds.

    `options` are further arguments of each stage's command. Each line that a stage prints is
    passed to `tell`.

    Raises:
        StageFailed: a stage fails; the later ones are not run.
    """
    seconds = {}
    for stage in stages:
        on_stage(stage)
        tail: deque[str] = deque(maxlen=TAIL_LINES)

        def read(line: str, tail: deque[str] = tail) -> None:
            tail.append(line)
            tell(line)

        start = time.monotonic()
        words = ("-m", "slipway", stage, str(project.folder), "--into", str(folder), *options)
        if python(*words, tell=read, folder=project.folder, environment=environment):
            raise StageFailed("\n".join([f"{project.name}: {stage} failed", *tail]))
        seconds[stage] = time.monotonic() - start
    return seconds

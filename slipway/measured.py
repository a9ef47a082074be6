"""What only a machine can say of trained projects: `slipway measure` writes it for the leaderboard.

Equal runs give equal metrics, but not equal times: these stand in a file of their own, so that the
leaderboard stays what its inputs make it.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from slipway import home
from slipway.fault import Fault
from slipway.files import replace_text
from slipway.project import Project
from slipway.training.workspace import Workspace

CALLS, WARM_CALLS = 300, 20
MONITOR_SECONDS = 5.0
UNWATCHED = "not watched"


class NotTrainedHere(Fault):
    """The message names the project and the command."""


class Measured(BaseModel):
    """Of one project. Times in milliseconds are of one record, in process: HTTP is not in them."""

    model_config = ConfigDict(extra="forbid")

    fit_seconds: float
    p50_ms: float
    p99_ms: float
    drift: str
    """What the monitor says of its champion."""


def file() -> Path:
    return home.root() / "docs" / "measured.json"


def read() -> dict[str, Measured]:
    """By project; empty before the first measurement."""
    if not file().is_file():
        return {}
    return {name: Measured(**told) for name, told in json.loads(file().read_text()).items()}


def measure(projects: Iterable[Project]) -> dict[str, Measured]:
    """Measure these and keep what is known of others; all that is known.

    Raises:
        NotTrainedHere: one of them was not trained in this checkout.
    """
    states = _states()
    found = read() | {
        project.name: _one(project, states.get(project.name, UNWATCHED)) for project in projects
    }
    told = {name: found[name].model_dump() for name in sorted(found)}
    replace_text(file(), json.dumps(told, indent=1) + "\n")
    return found


def _one(project: Project, drift: str) -> Measured:
    work = Workspace.of(project)
    timing = work.volatile / "timing.json"
    if not timing.is_file() or not work.weights.is_dir():
        raise NotTrainedHere(
            f"{project.name} was not trained in this checkout: slipway repro {project.name}"
        )
    model = project.model()
    model.load(work.weights)
    record = [model.input_type()(**json.loads(work.examples.read_text())[0]["input"])]
    times = []
    for _ in range(WARM_CALLS + CALLS):
        began = time.perf_counter()
        model.predict(record)
        times.append((time.perf_counter() - began) * 1000)
    p50, p99 = np.percentile(times[WARM_CALLS:], [50, 99])
    return Measured(
        fit_seconds=round(json.loads(timing.read_text())["fit_seconds"], 1),
        p50_ms=round(float(p50), 3),
        p99_ms=round(float(p99), 3),
        drift=drift,
    )


def _states() -> dict[str, str]:
    """By project, as the monitor on this machine has it; none where it does not run."""
    address = f"http://{home.LOOPBACK}:{home.port('monitor')}/v1/projects"
    try:
        with urllib.request.urlopen(address, timeout=MONITOR_SECONDS) as answer:
            told: dict[str, Any] = json.load(answer)
    except (urllib.error.URLError, OSError):
        return {}
    return {each["name"]: each["state"] for each in told["projects"]}

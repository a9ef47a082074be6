"""Timings and drift of trained projects, which `slipway measure` writes for the leaderboard.

Equal runs give equal metrics, but not equal times. Times therefore have a file of their own, which
is an input of the leaderboard.
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
    """Raised for a project that was not trained in this checkout; the message names the command."""


class Measured(BaseModel):
    """Measurements of a project. Times in milliseconds are for one record, without HTTP."""

    model_config = ConfigDict(extra="forbid")

    fit_seconds: float
    p50_ms: float
    p99_ms: float
    drift: str
    """The state of its champion in the monitor."""


def file() -> Path:
    """Return the path of the file with the measurements."""
    return home.root() / "docs" / "measured.json"


def read() -> dict[str, Measured]:
    """Return the measurements by project; empty before the first one."""
    if not file().is_file():
        return {}
    return {name: Measured(**each) for name, each in json.loads(file().read_text()).items()}


def measure(projects: Iterable[Project]) -> dict[str, Measured]:
    """Measure `projects`, keep earlier measurements of others, and return all.

    Raises:
        NotTrainedHere: one of the projects was not trained in this checkout.
    """
    states = _states()
    measured = read() | {
        project.name: _one(project, states.get(project.name, UNWATCHED)) for project in projects
    }
    content = {name: measured[name].model_dump() for name in sorted(measured)}
    replace_text(file(), json.dumps(content, indent=1) + "\n")
    return measured


def _one(project: Project, drift: str) -> Measured:
    work = Workspace.for_project(project)
    timing = work.volatile / "timing.json"
    if not timing.is_file() or not work.weights.is_dir():
        raise NotTrainedHere(
            f"{project.name} was not trained in this checkout: slipway repro {project.name}"
        )
    model = work.model()
    example = json.loads(work.examples.read_text())[0]["input"]
    # As JSON: a picture is base64 there and bytes in Python.
    record = [model.input_type().model_validate_json(json.dumps(example))]
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
    """Return the projects' states from the monitor on this machine; empty if it does not run."""
    address = f"http://{home.LOOPBACK}:{home.port('monitor')}/v1/projects"
    try:
        with urllib.request.urlopen(address, timeout=MONITOR_SECONDS) as response:
            content: dict[str, Any] = json.load(response)
    except (urllib.error.URLError, OSError):
        return {}
    return {each["name"]: each["state"] for each in content["projects"]}

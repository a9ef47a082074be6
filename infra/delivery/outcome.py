"""A run's committed results: a project's metrics, its gate, and the hashes of its outputs."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from slipway.contract.gate import Condition, Gate
from slipway.training.candidates import BASELINE

Read = Callable[[str], str | None]


class UnreadableResults(ValueError):
    """A committed file does not have the format that a run writes; the message names it."""


@dataclass(frozen=True)
class ProjectOutcome:
    """The results of one project at one revision."""

    metrics: Mapping[str, float]
    """Metrics on test rows, of the model as it would be served."""
    gate: Gate
    primary: str
    baseline: float | None
    """The primary metric of the baseline candidate on validation rows."""
    rows: int
    """Number of test rows."""
    data: str | None
    """The hash of the training and test rows, from dvc.lock."""
    weights: str | None

    @property
    def condition(self) -> Condition:
        return self.gate.condition(self.primary)


def at(read: Read, project: str) -> ProjectOutcome | None:
    """Read the results below the folder `project`; None if the project was never run.

    Raises:
        UnreadableResults: a file does not have the format that a run writes.
    """
    texts = {name: read(f"{project}/{name}") for name in ("metrics.json", "params.yaml")}
    if texts["metrics.json"] is None or texts["params.yaml"] is None:
        return None
    try:
        found = json.loads(texts["metrics.json"])
        params = yaml.safe_load(texts["params.yaml"])
        lock = yaml.safe_load(read(f"{project}/dvc.lock") or "") or {}
        primary = str(params["primary"])
        gate = Gate.parse(params["gate"])
        gate.condition(primary)
        return ProjectOutcome(
            metrics={name: float(value) for name, value in found["metrics"].items()},
            gate=gate,
            primary=primary,
            baseline=found["candidates"][BASELINE].get(primary),
            rows=int(found["rows"]["test"]),
            data=_hash(lock, "work/data"),
            weights=_hash(lock, "work/weights"),
        )
    except (KeyError, TypeError, AttributeError, ValueError, yaml.YAMLError) as error:
        raise UnreadableResults(
            f"{project}: metrics.json, params.yaml or dvc.lock does not have the format that a "
            f"run writes: {error!r}"
        ) from error


def _hash(lock: Mapping[str, Any], output: str) -> str | None:
    for stage in (lock.get("stages") or {}).values():
        for each in stage.get("outs", ()):
            if each["path"] == output:
                return str(each["md5"])
    return None


def in_tree(root: Path) -> Read:
    """Return a function that reads files of the working tree."""

    def read(place: str) -> str | None:
        file = root / place
        return file.read_text() if file.is_file() else None

    return read

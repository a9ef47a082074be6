"""What a run left of a project in git: its metrics, its gate, and the hashes of what it made."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from slipway.registry.gate import Condition, Gate
from slipway.training.candidates import BASELINE

Read = Callable[[str], str | None]


class UnreadableResults(ValueError):
    """A committed file is not what a run writes; the message names it."""


@dataclass(frozen=True)
class Outcome:
    """Of one project, at one moment."""

    metrics: Mapping[str, float]
    """On test rows, of the model as it would be served."""
    gate: Gate
    primary: str
    baseline: float | None
    """The primary metric of the simplest candidate, on validation rows."""
    rows: int
    """Of the test."""
    data: str | None
    """The hash of the rows that it was trained and tested on, as DVC has it."""
    weights: str | None

    @property
    def condition(self) -> Condition:
        return self.gate.condition(self.primary)


def at(read: Read, project: str) -> Outcome | None:
    """By the files below the folder `project`; None where it was never run.

    Raises:
        UnreadableResults: a file is not what a run writes.
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
        return Outcome(
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
            f"{project}: metrics.json, params.yaml or dvc.lock is not what a run leaves: {error!r}"
        ) from error


def _hash(lock: Mapping[str, Any], output: str) -> str | None:
    for stage in (lock.get("stages") or {}).values():
        for each in stage.get("outs", ()):
            if each["path"] == output:
                return str(each["md5"])
    return None


def in_tree(root: Path) -> Read:
    """Reads files of the working tree."""

    def read(place: str) -> str | None:
        file = root / place
        return file.read_text() if file.is_file() else None

    return read

"""Where a project's stages leave their files, and how numbers are written."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.project import Params, Project


def rounded(value: Any) -> Any:
    """Floats to 6 significant digits: what follows is noise of the arithmetic."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return value


def write_json(file: Path, value: Any) -> None:
    text = json.dumps(rounded(value), indent=1, ensure_ascii=False, allow_nan=False)
    file.write_text(text + "\n")


@dataclass(frozen=True)
class Workspace:
    """One project with the parameters of this run and the folder it works in."""

    project: Project
    params: Params
    folder: Path
    rows: int | None = None
    """Keep only so many rows of each split."""

    @classmethod
    def of(cls, project: Project) -> "Workspace":
        """The project's own, which its `dvc.yaml` names."""
        return cls(project, project.params, project.folder)

    @classmethod
    def tiny(cls, project: Project, folder: Path) -> "Workspace":
        """In `folder`, with few rows and the parameters under `tiny`."""
        params = project.params
        return cls(project, params.shrunk(), folder, params.tiny.rows)

    @property
    def data(self) -> Path:
        return self.folder / "work" / "data"

    @property
    def weights(self) -> Path:
        return self.folder / "work" / "weights"

    @property
    def candidates(self) -> Path:
        return self.folder / "work" / "candidates.json"

    @property
    def parity(self) -> Path:
        return self.folder / "work" / "parity.json"

    @property
    def report(self) -> Path:
        return self.folder / "work" / "report"

    @property
    def receipt(self) -> Path:
        return self.folder / "work" / "receipt.json"

    @property
    def volatile(self) -> Path:
        """What differs between two equal runs (times, origins): kept, but not tracked."""
        return self.folder / "work" / "volatile"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def examples(self) -> Path:
        return self.folder / "examples.json"

    def note(self, name: str, value: Any) -> None:
        self.volatile.mkdir(parents=True, exist_ok=True)
        write_json(self.volatile / f"{name}.json", value)

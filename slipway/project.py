"""Projects: every folder `pipelines/<track>/<name>` with a `params.yaml`."""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from slipway import paths
from slipway.contract.gate import Gate
from slipway.contract.groups import group_names
from slipway.contract.model import Model, published_by
from slipway.contract.serving import SLOW_SECONDS, ParityKind

Stage = Literal["prepare", "fit", "evaluate", "register"]
NAME = "^[a-z][a-z0-9_]{1,62}$"


def _serving_group(name: str) -> str:
    if name not in group_names():
        raise ValueError(f"{name!r} is no serving group: use {', '.join(group_names())}")
    return name


class Tiny(BaseModel):
    """Parameters that let a test train the project in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int = Field(default=200, ge=10)
    prepare: dict[str, Any] = {}
    fit: dict[str, Any] = {}


class Latency(BaseModel):
    """The longest call to expect, and the threads that it takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seconds: float = Field(default=SLOW_SECONDS, gt=0, le=600)
    """The longest call to expect. Above 1, the server tries the model with one call, and gives each
    request more time."""
    threads: int = Field(default=1, ge=1, le=64)
    """Threads of ONNX Runtime for each graph."""


class Parity(BaseModel):
    """The comparison of the exported model's predictions with the training framework's."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: ParityKind = "values"
    reason: str = ""
    """The reason that parity is not measured, with the kind `none`."""
    rows: int = Field(default=1000, ge=1, le=100_000)
    """Training rows that are compared. 1,000 include rare categories; a full pass would double the
    time of `fit`."""
    iou: float = Field(default=0.9, gt=0, le=1)
    """Intersection over union from which two boxes are the same, with the kind `boxes`."""

    @model_validator(mode="after")
    def _reasoned(self) -> "Parity":
        if self.kind == "none" and not self.reason.strip():
            raise ValueError("kind none needs a reason: why is parity not measured?")
        if self.kind != "none" and self.reason:
            raise ValueError(f"kind {self.kind} takes no reason; only none does")
        return self


class Params(BaseModel):
    """A project's `params.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    dataset: str
    """The data set's name in `pipelines/datasets/`."""
    environment: Literal["training", "torch", "methods"]
    """The environment lock that the project trains with."""
    prepare: dict[str, Any] = {}
    """Keyword arguments of `data.splits`."""
    fit: dict[str, Any] = {}
    """Keyword arguments of `train.fit`."""
    primary: str
    """The metric that candidate and champion are compared by; the gate must have it."""
    gate: Gate
    profile: bool = False
    """Write a profile of the training data, with a section per column."""
    starter: bool = False
    """True if `make up` trains and serves the project."""
    tiny: Tiny = Tiny()
    latency: Latency = Latency()
    """The longest call, and the threads that it takes."""
    requires: list[Annotated[str, AfterValidator(_serving_group)]] = Field(default=[], strict=True)
    """Groups of packages that serving needs besides the usual ones."""
    parity: Parity = Parity()
    batch: int = Field(default=1000, ge=1, le=100_000, strict=True)
    """Records in a call of the model, in every stage."""
    inputs: dict[Stage, list[str]] = {}
    """By stage, further files that it reads, which the walk through imports cannot find."""
    exempt: dict[str, str] = {}
    """Checks that this project need not pass, each with the reason."""

    @field_validator("gate", mode="before")
    @classmethod
    def _parse_gate(cls, value: Any) -> Gate:
        return value if isinstance(value, Gate) else Gate.parse(value)

    def shrunk(self) -> "Params":
        """Return the parameters that tests train with: `tiny` applied, and an open gate."""
        return self.model_copy(
            update={
                "prepare": {**self.prepare, **self.tiny.prepare},
                "fit": {**self.fit, **self.tiny.fit},
                "gate": self.gate.opened(),
                "profile": False,
            }
        )


@dataclass(frozen=True)
class Project:
    """One project folder."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def track(self) -> str:
        return self.folder.parent.name

    @cached_property
    def params(self) -> Params:
        """The content of `params.yaml`.

        Raises:
            ValueError: a field is missing, unknown or malformed.
        """
        file = self.folder / "params.yaml"
        try:
            values = yaml.safe_load(file.read_text())
            if not isinstance(values, Mapping):
                raise ValueError("a mapping is expected")
            return Params(**{str(key): value for key, value in values.items()})
        except (ValidationError, yaml.YAMLError, ValueError) as error:
            raise ValueError(f"{file}: {error}") from error

    def module(self, name: Literal["data", "train", "model", "report"]) -> ModuleType:
        """Import the project's `data.py`, `train.py`, `model.py` or `report.py`."""
        top = str(self.folder.parents[2])
        if top not in sys.path:
            sys.path.insert(0, top)
        return importlib.import_module(f"pipelines.{self.track}.{self.name}.{name}")

    def model(self) -> Model:
        """Return the model that `model.py` publishes, without its weights loaded."""
        return published_by(self.module("model").__name__)

    @property
    def card(self) -> str:
        """The docstring of `model.py`, read without importing it."""
        import ast

        return ast.get_docstring(ast.parse((self.folder / "model.py").read_text())) or ""


def discover(root: Path | None = None) -> list[Project]:
    """Return every project of the repository, sorted by track and name."""
    top = root or paths.root()
    return [Project(file.parent) for file in sorted(top.glob("pipelines/*/*/params.yaml"))]


def find(name: str) -> Project:
    """Return the project called `name` (`titanic`, or `ml/titanic`).

    Raises:
        KeyError: there is no such project.
    """
    for project in discover():
        if name in (project.name, f"{project.track}/{project.name}"):
            return project
    known = ", ".join(project.name for project in discover())
    raise KeyError(f"no project {name!r}; known: {known}")

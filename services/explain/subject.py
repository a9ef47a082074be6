"""A registered version with what it carries: model, card, rows to compare with and rows tested."""

import copy
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from slipway import home
from slipway.contract import Model, Record
from slipway.explain import NotExplainable
from slipway.registry import reference, tracking
from slipway.scoring import registered

# As many as the registry ships where a model names what is explained.
BACKGROUND = 100


@dataclass(frozen=True)
class Subject:
    """What the pages speak of."""

    name: str
    version: str
    card: str
    examples: list[dict[str, Any]]
    model: Model
    background: list[Record]
    """What answers are compared with: training rows where they were shipped, else test rows."""
    rows: list[dict[str, Any]]
    """Test rows, each with `record`, `answer` and `truth` as JSON holds them; often up to 5,000."""

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.model.input_type().model_fields)

    @property
    def numbers(self) -> list[str]:
        """Numbers of the answer that can be divided, the declared one first; none of lists."""
        declared = type(self.model).explained
        found = [
            name
            for name, field in self.model.output_type().model_fields.items()
            if field.annotation is float or set(get_args(field.annotation)) == {float, type(None)}
        ]
        return sorted(found, key=lambda name: name != declared)

    def is_share(self, number: str) -> bool:
        """Whether it lies within 0 and 1, and is told in percent."""
        told = self.model.output_type().model_json_schema()["properties"][number]
        return (told.get("minimum"), told.get("maximum")) == (0, 1)

    def records(self, count: int) -> list[Record]:
        """Test rows, evenly spread."""
        kind = self.model.input_type()
        return [read(kind, row["record"]) for row in spread(self.rows, count)]


def catalogue() -> dict[str, list[str]]:
    """Versions of every registered model, the champion's first, then the newest.

    Raises:
        mlflow.exceptions.MlflowException: the registry cannot be reached.
    """
    registry = tracking.client()
    # Two searches in all: one a model took 0.13 s a click with 28 of them, these 0.03 s.
    champions = {
        model.name: str(model.aliases.get(tracking.CHAMPION))
        for model in tracking.every(registry.search_registered_models)
    }
    found: dict[str, list[str]] = {}
    for version in tracking.every(registry.search_model_versions):
        found.setdefault(version.name, []).append(str(version.version))
    return {
        name: sorted(versions, key=lambda each: (each != champions.get(name), -int(each)))
        for name, versions in sorted(found.items())
    }


def load(name: str, version: str) -> Subject:
    """The version, its digest verified before its code runs.

    Raises:
        NotRegistered: there is none.
        DigestMismatch: it was changed after it was registered.
        mlflow.exceptions.MlflowException: the registry cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-explain-") as scratch:
        _, shipped = registered.fetch(name, version, Path(scratch))
        model, card, examples = shipped.load(), shipped.card, shipped.examples
        kept = shipped.reference
    known = tracking.client().get_model_version(name, version)
    rows = reference.read(known, home.home() / "explain" / "references" / name)
    kind = model.input_type()
    background = kept or [row["record"] for row in spread(rows, BACKGROUND)]
    return Subject(
        name, version, card, examples, model, [read(kind, row) for row in background], rows
    )


def read(kind: type[Record], row: dict[str, Any]) -> Record:
    return kind.model_validate_json(json.dumps(row))


def spread(rows: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of them, evenly spaced."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows)))
    return [rows[place] for place in places.astype(int)]


def explaining(model: Model, number: str) -> Model:
    """The model with `number` of its answer as what explanations divide."""
    kind = type(model)
    if kind.explained == number:
        return model
    made = copy.copy(model)
    made.__class__ = type(kind.__name__, (kind,), {"explained": number})
    return made


def changed(record: Record, values: dict[str, Any]) -> Record:
    """A copy with other values of fields, each valid for itself; nothing worked out is kept."""
    kind = type(record)
    fields = {name: getattr(record, name) for name in kind.model_fields}
    return kind.model_construct(**(fields | values))


@contextmanager
def mixing(model: Model) -> Iterator[None]:
    """Explanations put fields of several rows together, which some models refuse.

    Raises:
        NotExplainable: this one does.
    """
    try:
        yield
    except ValueError as error:
        name = type(model).__name__
        raise NotExplainable(f"{name} refuses a record made of several: {error}") from error


def numbers(model: Model, number: str, records: list[Record]) -> np.ndarray:
    """What the model answers, (rows,) float64.

    Raises:
        NotExplainable: an answer has no such number.
    """
    with mixing(model):
        told = [getattr(answer, number) for answer in model.predict(records)]
    if None in told:
        raise NotExplainable(f"{type(model).__name__} leaves {number!r} open for some rows")
    return np.array(told, dtype=np.float64)

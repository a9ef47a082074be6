"""A registered version with its model, card, reference rows and test rows."""

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
from slipway.explain.ways import Way, choose_way
from slipway.predictions.facts import has_facts
from slipway.registry import reference, registered, tracking

# As many rows as the registry stores for a model that names what is explained.
BACKGROUND = 100


@dataclass(frozen=True)
class Subject:
    """The version that the pages show."""

    name: str
    version: str
    card: str
    examples: list[dict[str, Any]]
    model: Model
    background: list[Record]
    """The rows that predictions are compared with: the model's reference rows, else test rows."""
    rows: list[dict[str, Any]]
    """Test rows, up to 5,000, each with `record`, `prediction` and `label` as JSON values.

    None for models with media, of which only facts are kept.
    """

    @property
    def way(self) -> Way | None:
        """The parts of the record that explain the model in the model server, too."""
        return choose_way(self.model)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the record."""
        return tuple(self.model.input_type().model_fields)

    @property
    def numbers(self) -> list[str]:
        """The numbers of the prediction that can be explained, the declared one first.

        Numbers within lists are not among them.
        """
        declared = type(self.model).explained
        found = [
            name
            for name, field in self.model.output_type().model_fields.items()
            if field.annotation is float or set(get_args(field.annotation)) == {float, type(None)}
        ]
        return sorted(found, key=lambda name: name != declared)

    def is_share(self, number: str) -> bool:
        """Return whether the number lies within 0 and 1, so that it is shown in percent."""
        schema = self.model.output_type().model_json_schema()["properties"][number]
        return (schema.get("minimum"), schema.get("maximum")) == (0, 1)

    def example_records(self) -> list[Record]:
        """Return the records of the shipped examples, which still have their media."""
        kind = self.model.input_type()
        return [read(kind, each["input"]) for each in self.examples]

    def records(self, count: int) -> list[Record]:
        """Return the records of at most `count` test rows, evenly spaced."""
        kind = self.model.input_type()
        return [read(kind, row["record"]) for row in spread(self.rows, count)]


def catalogue() -> dict[str, list[str]]:
    """Return the versions of every registered model, the champion first, then the newest.

    Raises:
        mlflow.exceptions.MlflowException: the registry cannot be reached.
    """
    registry = tracking.client()
    # Two searches in total take 0.03 s per click; one per model took 0.13 s with 28 models.
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
    """Load a version; its digest is verified before its code runs.

    Raises:
        NotRegistered: there is no such version.
        DigestMismatch: it was changed after it was registered.
        mlflow.exceptions.MlflowException: the registry cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-explain-") as scratch:
        _, shipped = registered.fetch(name, version, Path(scratch))
        model, card, examples = shipped.load(), shipped.card, shipped.examples
        kept = shipped.reference
    known = tracking.client().get_model_version(name, version)
    rows = reference.read(known, home.home() / "explain" / "references" / name)
    if any(has_facts(row["record"]) for row in rows):
        rows = []
    kind = model.input_type()
    background = kept or [row["record"] for row in spread(rows, BACKGROUND)]
    return Subject(
        name, version, card, examples, model, [read(kind, row) for row in background], rows
    )


def read(kind: type[Record], row: dict[str, Any]) -> Record:
    """Return a row of JSON values as a record."""
    return kind.model_validate_json(json.dumps(row))


def spread(rows: Sequence[Any], count: int) -> list[Any]:
    """Return at most `count` of the rows, evenly spaced."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows)))
    return [rows[place] for place in places.astype(int)]


def explaining(model: Model, number: str) -> Model:
    """Return the model with `number` as the number that explanations divide."""
    kind = type(model)
    if kind.explained == number:
        return model
    explained = copy.copy(model)
    explained.__class__ = type(kind.__name__, (kind,), {"explained": number})
    return explained


def changed(record: Record, values: dict[str, Any]) -> Record:
    """Return a copy with other values, each valid by itself, and without cached properties."""
    kind = type(record)
    fields = {name: getattr(record, name) for name in kind.model_fields}
    return kind.model_construct(**(fields | values))


@contextmanager
def mixing(model: Model) -> Iterator[None]:
    """Translate the error of a model that rejects a record made of the fields of several rows.

    Raises:
        NotExplainable: the model rejects such a record.
    """
    try:
        yield
    except ValueError as error:
        name = type(model).__name__
        raise NotExplainable(f"{name} rejects a record made of several: {error}") from error


def numbers(model: Model, number: str, records: list[Record]) -> np.ndarray:
    """Return the number in each prediction, (rows,) float64.

    Raises:
        NotExplainable: a prediction has no such number.
    """
    with mixing(model):
        values = [getattr(prediction, number) for prediction in model.predict(records)]
    if None in values:
        raise NotExplainable(f"{type(model).__name__} predicts no {number!r} for some rows")
    return np.array(values, dtype=np.float64)

"""Read a registered model's aliases and tags without importing MLflow, which takes seconds."""

import json
import os
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from slipway.names import project_names, unknown
from slipway.registry import tracking
from slipway.registry.http_reader import credentials

SECONDS = 10.0


class NoSuchModel(LookupError):
    """Raised when the registry has no model of that name; the message suggests another."""


@dataclass(frozen=True)
class RegisteredModel:
    """The registry's entry of a model, without its versions."""

    aliases: dict[str, str]
    """Version numbers by alias."""
    tags: dict[str, str]


def registered_model(name: str) -> RegisteredModel:
    """Return the model called `name`.

    Raises:
        NoSuchModel: the registry has none.
        Exception: the registry cannot be reached.
    """
    uri = tracking.tracking_uri()
    try:
        if uri.startswith("sqlite:///"):
            return _from_file(Path(uri.removeprefix("sqlite:///")), name)
        if uri.startswith("http") and "MLFLOW_TRACKING_AUTH" not in os.environ:
            return _from_server(uri.rstrip("/"), name)
    except (sqlite3.Error, urllib.error.URLError, KeyError):
        pass  # another release's tables, a proxy, no server: MLflow's client knows or says why
    return _from_client(name)


def _from_file(file: Path, name: str) -> RegisteredModel:
    if not file.is_file():
        raise _missing(name, [])
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=SECONDS)) as base:
        names = [row[0] for row in base.execute("SELECT name FROM registered_models ORDER BY name")]
        if name not in names:
            raise _missing(name, names)
        aliases = base.execute(
            "SELECT alias, version FROM registered_model_aliases WHERE name = ?", (name,)
        )
        tags = base.execute("SELECT key, value FROM registered_model_tags WHERE name = ?", (name,))
        return RegisteredModel({key: str(version) for key, version in aliases}, dict(tags))


def _from_server(address: str, name: str) -> RegisteredModel:
    query = urllib.parse.urlencode({"name": name})
    place = f"{address}/api/2.0/mlflow/registered-models/get?{query}"
    request = urllib.request.Request(place)
    for header, value in credentials(os.environ).items():
        request.add_unredirected_header(header, value)
    with urllib.request.urlopen(request, timeout=SECONDS) as response:
        model = json.load(response)["registered_model"]
    return RegisteredModel(
        {each["alias"]: each["version"] for each in model.get("aliases", ())},
        {each["key"]: each["value"] for each in model.get("tags", ())},
    )


def _from_client(name: str) -> RegisteredModel:
    registry = tracking.client()
    from mlflow.exceptions import MlflowException

    try:
        model = registry.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        known = [each.name for each in tracking.every(registry.search_registered_models)]
        raise _missing(name, known) from None
    return RegisteredModel(
        {alias: str(version) for alias, version in model.aliases.items()}, dict(model.tags)
    )


def _missing(name: str, registered: list[str]) -> NoSuchModel:
    if name in project_names():
        return NoSuchModel(f"{name} is not registered yet; train it: slipway repro {name}")
    return NoSuchModel(unknown("project", name, sorted({*registered, *project_names()})))

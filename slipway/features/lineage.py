"""Lineage between features and the model versions that were trained on them.

A project that trains on a feature service calls `write` in `train.fit`, which puts the lineage next
to the weights. The lineage is thus part of the version and its digest: a changed definition gives a
new version.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from slipway.features import definitions, offline

FILE = "features.json"
WEIGHTS = "artifacts/weights"


def record(service: str) -> dict[str, Any]:
    """Describe the feature service: its views with their definitions and data sources.

    Raises:
        KeyError: there is no such service.
        slipway.datasets.DatasetUnavailable: a table could not be built.
    """
    plan = definitions.load().plan(service)
    views = {}
    for read in plan.reads:
        table = definitions.table_of(read.view)
        source = offline.built_from(offline.build(table.name))
        assert source is not None
        views[read.view.name] = {
            "definition": definitions.fingerprint(read.view),
            "features": list(read.features),
            "table": table.name,
            "source": json.loads(source),
        }
    on_demand = {
        view.name: {
            "definition": definitions.fingerprint(view),
            "features": [field.name for field in view.features],
        }
        for view in plan.transformations
    }
    return {
        "service": service,
        "entity": plan.key,
        "features": list(plan.names),
        "views": views,
        "on_demand": on_demand,
    }


def write(service: str, weights: Path) -> None:
    """Write `record(service)` into the folder of the weights."""
    text = json.dumps(record(service), indent=1, sort_keys=True)
    (weights / FILE).write_text(f"{text}\n")


@dataclass(frozen=True)
class Lineage:
    """The lineage of a registered version."""

    model: str
    version: str
    aliases: tuple[str, ...]
    record: dict[str, Any]

    def changed(self) -> list[str]:
        """Return the views whose definition has changed since the version was trained."""
        known = definitions.load()
        today = {
            name: definitions.fingerprint(view)
            for group in (known.views, known.on_demand)
            for name, view in group.items()
        }
        trained = {**self.record["views"], **self.record["on_demand"]}
        return [name for name, view in trained.items() if today.get(name) != view["definition"]]

    def uses(self, view: str, feature: str | None) -> bool:
        """Return whether the version was trained on the view, or on the feature of it."""
        trained = {**self.record["views"], **self.record["on_demand"]}.get(view)
        return trained is not None and (feature is None or feature in trained["features"])


def of_model(name: str) -> list[Lineage]:
    """Return the lineage of every version that was trained on a feature service, newest first.

    Raises:
        KeyError: no model of this name is registered.
    """
    from mlflow.exceptions import MlflowException

    from slipway.registry import tracking

    registry = tracking.client()
    try:
        aliases = registry.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise KeyError(f"no model {name!r} is registered") from error
        raise
    versions = registry.search_model_versions(f"name='{name}'")
    found = []
    for version in sorted(versions, key=lambda each: -int(each.version)):
        content = _read(name, str(version.version))
        own = tuple(sorted(key for key, value in aliases.items() if value == version.version))
        if content is not None:
            found.append(Lineage(name, str(version.version), own, content))
    return found


def of_feature(view: str, feature: str | None = None) -> list[Lineage]:
    """Return the versions of all models that were trained on the view, or on a feature of it.

    Raises:
        KeyError: the repository has no such view, or the view has no such feature.
    """
    from slipway.registry import tracking

    known = definitions.load()
    views = {**known.views, **known.on_demand}
    if view not in views:
        raise KeyError(f"no feature view {view!r}; known: {', '.join(sorted(views))}")
    names = [field.name for field in views[view].features]
    if feature is not None and feature not in names:
        raise KeyError(f"{view} has no feature {feature!r}; it has {', '.join(names)}")
    models = [model.name for model in tracking.client().search_registered_models()]
    return [each for name in models for each in of_model(name) if each.uses(view, feature)]


def _read(name: str, version: str) -> dict[str, Any] | None:
    """Return the record next to the version's weights; None if there is none."""
    import mlflow

    folder = f"models:/{name}/{version}/{WEIGHTS}"
    files = {Path(each.path).name for each in mlflow.artifacts.list_artifacts(folder)}
    if FILE not in files:
        return None
    with TemporaryDirectory() as scratch:
        file = mlflow.artifacts.download_artifacts(f"{folder}/{FILE}", dst_path=scratch)
        content: dict[str, Any] = json.loads(Path(file).read_text())
        return content

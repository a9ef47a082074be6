"""The feature repository's definitions, which training and serving read from its code.

Feast's registry is not used: it stores on-demand transformations as source and pickled code, which
each reader would run. A service runs only the code that it was deployed with.
"""

import hashlib
import importlib.util
import json
import linecache
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from slipway.features import places, tables
from slipway.features.tables import OfflineTable
from slipway.features.without_torch import without_torch

if TYPE_CHECKING:
    from feast import (
        Entity,
        FeatureService,
        FeatureView,
        OnDemandFeatureView,
        RepoConfig,
        ValueType,
    )
    from feast.transformation.base import Transformation

Defined = TypeVar("Defined")


@dataclass(frozen=True)
class Read:
    """A view to be read, and the features to read from it."""

    view: "FeatureView"
    features: tuple[str, ...]


@dataclass(frozen=True)
class FeaturePlan:
    """The steps to compute the features of a feature service."""

    service: "FeatureService"
    key: str
    """The join key that all views of the service share."""
    key_type: "ValueType"
    reads: tuple[Read, ...]
    transformations: "tuple[OnDemandFeatureView, ...]"
    names: tuple[str, ...]
    """The names of the service's features, in order."""
    request_fields: tuple[str, ...]
    """Fields that transformations take from the request: the time of the request."""


@dataclass(frozen=True)
class Definitions:
    """All definitions of the repository, by name."""

    entities: "dict[str, Entity]"
    views: "dict[str, FeatureView]"
    on_demand: "dict[str, OnDemandFeatureView]"
    services: "dict[str, FeatureService]"

    def objects(self) -> list[Any]:
        """Return all definitions in one list, for Feast's `apply`."""
        groups = (self.entities, self.views, self.on_demand, self.services)
        return [each for group in groups for each in group.values()]

    def service(self, name: str) -> "FeatureService":
        """Return the feature service `name`.

        Raises:
            KeyError: there is no such service.
        """
        return _named(self.services, name, "feature service")

    def view(self, name: str) -> "FeatureView":
        """Return the feature view `name`.

        Raises:
            KeyError: there is no such view.
        """
        return _named(self.views, name, "feature view")

    def plan(self, service: str) -> FeaturePlan:
        """Return the plan for `service`.

        Raises:
            KeyError: there is no such service.
            ValueError: its views have different entities.
        """
        feature_service = self.service(service)
        wanted: dict[str, list[str]] = {}
        transformations, request_fields = [], []
        for projection in feature_service.feature_view_projections:
            sources = [projection]
            if projection.name in self.on_demand:
                view = self.on_demand[projection.name]
                transformations.append(view)
                request_fields += list(view.get_request_data_schema())
                sources = list(view.source_feature_view_projections.values())
            for source in sources:
                known = wanted.setdefault(source.name, [])
                known += [each.name for each in source.features if each.name not in known]
        reads = tuple(Read(self.views[name], tuple(known)) for name, known in wanted.items())
        keys = {(key.name, key.dtype) for read in reads for key in read.view.entity_columns}
        if len(keys) != 1:
            names = ", ".join(sorted(name for name, _ in keys)) or "none"
            raise ValueError(f"feature service {service}: one join key is expected, got {names}")
        ((key, dtype),) = keys
        features = tuple(
            feature.name
            for projection in feature_service.feature_view_projections
            for feature in projection.features
        )
        if len(set(features)) != len(features):
            twice = sorted({name for name in features if features.count(name) > 1})
            raise ValueError(f"feature service {service}: two features are called {twice[0]}")
        return FeaturePlan(
            feature_service,
            key,
            dtype.to_value_type(),
            reads,
            tuple(transformations),
            features,
            tuple(dict.fromkeys(request_fields)),
        )


def _named(group: dict[str, Defined], name: str, kind: str) -> Defined:
    if name not in group:
        raise KeyError(f"no {kind} {name!r}; known: {', '.join(sorted(group)) or 'none'}")
    return group[name]


def load(folder: Path | None = None) -> Definitions:
    """Return the definitions in `folder`, by default `feature_repo`; cached per process.

    Raises:
        ValueError: two definitions share a name.
        Exception: whatever the definitions' code raises.
    """
    # The tables' paths are part of the definitions, and depend on $SLIPWAY_HOME.
    return _load(folder or places.repository(), places.store())


@cache
def _load(folder: Path, store: Path) -> Definitions:
    with without_torch():
        from feast import Entity, FeatureService, FeatureView, OnDemandFeatureView

    entities: dict[str, Entity] = {}
    views: dict[str, FeatureView] = {}
    on_demand: dict[str, OnDemandFeatureView] = {}
    services: dict[str, FeatureService] = {}
    kinds: list[tuple[type, dict[str, Any]]] = [
        (OnDemandFeatureView, on_demand),
        (FeatureView, views),
        (FeatureService, services),
        (Entity, entities),
    ]
    for file in sorted(folder.glob("*.py")):
        for value in _run(file, store):
            for kind, group in kinds:
                if isinstance(value, kind):
                    if group.setdefault(value.name, value) is not value:  # type: ignore[attr-defined]
                        raise ValueError(f"{file}: {value.name} is defined twice")  # type: ignore[attr-defined]
                    break
    return Definitions(entities, views, on_demand, services)


def _run(file: Path, store: Path) -> Iterator[object]:
    """Run the file as a module named after file and store, and yield the module's values."""
    suffix = hashlib.sha256(f"{file} {store}".encode()).hexdigest()[:12]
    name = f"_feature_repo_{file.stem}_{suffix}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # Feast reads the source of transformations from linecache, which may hold an older version.
    linecache.checkcache(str(file))
    spec.loader.exec_module(module)
    yield from list(vars(module).values())


def config(registry: Path, online_store: dict[str, Any] | None) -> "RepoConfig":
    """Return Feast's configuration from `feature_store.yaml`, with the given registry and store."""
    import yaml
    from feast import RepoConfig

    settings = yaml.safe_load((places.repository() / "feature_store.yaml").read_text())
    settings |= {"registry": str(registry), "online_store": online_store}
    configuration = RepoConfig(**settings)
    configuration.repo_path = registry.parent
    return configuration


def table_of(view: "FeatureView") -> OfflineTable:
    """Return the offline table that the view reads.

    Raises:
        ValueError: the view reads no table.
        KeyError: the table is unknown.
    """
    if view.batch_source is None:
        raise ValueError(f"feature view {view.name} has no source")
    return tables.find(view.batch_source.name)


def transformation_of(view: "OnDemandFeatureView") -> "Transformation":
    """Return the view's transformation.

    Raises:
        ValueError: the view has none.
    """
    if view.feature_transformation is None:
        raise ValueError(f"on-demand view {view.name} has no transformation")
    return view.feature_transformation


def fingerprint(view: "FeatureView | OnDemandFeatureView") -> str:
    """Return the SHA-256 of everything that determines the values of the view's features.

    For a stored view: schema, entity, time to live and the code that builds its table. For an
    on-demand view: schema, sources and the transformation's source code.
    """
    content: dict[str, Any] = {
        "name": view.name,
        "schema": [[field.name, str(field.dtype)] for field in view.features],
    }
    from feast import FeatureView

    if isinstance(view, FeatureView):
        table = table_of(view)
        content |= {
            "keys": [[field.name, str(field.dtype)] for field in view.entity_columns],
            "ttl": view.ttl.total_seconds() if view.ttl else None,
            "table": [table.name, table.fingerprint],
        }
    else:
        content |= {
            "sources": {
                name: sorted(field.name for field in source.features)
                for name, source in view.source_feature_view_projections.items()
            },
            "asks": sorted(view.get_request_data_schema()),
            "transformation": transformation_of(view).udf_string,
        }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

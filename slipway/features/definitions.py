"""The feature repository's definitions, read from its code: what training and serving share.

Not from Feast's registry: that keeps on-demand transformations as source and pickled code, which
would be run by whatever reads it. A service runs only the code it was shipped with.
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
from slipway.features.tables import Table
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

Found = TypeVar("Found")


@dataclass(frozen=True)
class Read:
    """A view that must be read, and which of its features."""

    view: "FeatureView"
    features: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What it takes to answer for a feature service."""

    service: "FeatureService"
    key: str
    """The join key that all its views share."""
    key_type: "ValueType"
    reads: tuple[Read, ...]
    transformations: "tuple[OnDemandFeatureView, ...]"
    names: tuple[str, ...]
    """Of the features that it promises, in order."""
    asks: tuple[str, ...]
    """Fields that transformations take from the request: the moment of the question."""


@dataclass(frozen=True)
class Definitions:
    """Everything that the repository defines, by name."""

    entities: "dict[str, Entity]"
    views: "dict[str, FeatureView]"
    on_demand: "dict[str, OnDemandFeatureView]"
    services: "dict[str, FeatureService]"

    def objects(self) -> list[Any]:
        """As Feast's `apply` takes them."""
        groups = (self.entities, self.views, self.on_demand, self.services)
        return [each for group in groups for each in group.values()]

    def service(self, name: str) -> "FeatureService":
        """Raises KeyError: there is none of the name."""
        return _named(self.services, name, "feature service")

    def view(self, name: str) -> "FeatureView":
        """Raises KeyError: there is none of the name."""
        return _named(self.views, name, "feature view")

    def plan(self, service: str) -> Plan:
        """How to answer for `service`.

        Raises:
            KeyError: there is no such service.
            ValueError: its views have different entities.
        """
        asked = self.service(service)
        wanted: dict[str, list[str]] = {}
        transformations, asks = [], []
        for projection in asked.feature_view_projections:
            sources = [projection]
            if projection.name in self.on_demand:
                made = self.on_demand[projection.name]
                transformations.append(made)
                asks += list(made.get_request_data_schema())
                sources = list(made.source_feature_view_projections.values())
            for source in sources:
                known = wanted.setdefault(source.name, [])
                known += [each.name for each in source.features if each.name not in known]
        reads = tuple(Read(self.views[name], tuple(known)) for name, known in wanted.items())
        keys = {(key.name, key.dtype) for read in reads for key in read.view.entity_columns}
        if len(keys) != 1:
            told = ", ".join(sorted(name for name, _ in keys)) or "none"
            raise ValueError(f"feature service {service}: one join key is expected, got {told}")
        ((key, dtype),) = keys
        names = tuple(
            feature.name
            for projection in asked.feature_view_projections
            for feature in projection.features
        )
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"feature service {service}: two features are called {twice[0]}")
        return Plan(
            asked,
            key,
            dtype.to_value_type(),
            reads,
            tuple(transformations),
            names,
            tuple(dict.fromkeys(asks)),
        )


def _named(group: dict[str, Found], name: str, kind: str) -> Found:
    if name not in group:
        raise KeyError(f"no {kind} {name!r}; known: {', '.join(sorted(group)) or 'none'}")
    return group[name]


def load(folder: Path | None = None) -> Definitions:
    """The definitions in `folder`, the repository's own by default; run once a process.

    Raises:
        ValueError: two definitions share a name.
        Exception: whatever their code raises.
    """
    # The tables' places are part of the definitions, and move with $SLIPWAY_HOME.
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
    """The file's values; under a name of its own, since it moves with the store."""
    mark = hashlib.sha256(f"{file} {store}".encode()).hexdigest()[:12]
    name = f"_feature_repo_{file.stem}_{mark}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # Feast reads the source of transformations from there, as it was when first read.
    linecache.checkcache(str(file))
    spec.loader.exec_module(module)
    yield from list(vars(module).values())


def config(registry: Path, online_store: dict[str, Any] | None) -> "RepoConfig":
    """Feast's configuration: what `feature_store.yaml` says, but for the two places given here."""
    import yaml
    from feast import RepoConfig

    said = yaml.safe_load((places.repository() / "feature_store.yaml").read_text())
    said |= {"registry": str(registry), "online_store": online_store}
    made = RepoConfig(**said)
    made.repo_path = registry.parent
    return made


def table_of(view: "FeatureView") -> Table:
    """The offline table that the view reads.

    Raises:
        ValueError: it reads none.
        KeyError: nothing builds it.
    """
    if view.batch_source is None:
        raise ValueError(f"feature view {view.name} has no source")
    return tables.find(view.batch_source.name)


def transformation_of(view: "OnDemandFeatureView") -> "Transformation":
    """Raises ValueError: the view has none."""
    if view.feature_transformation is None:
        raise ValueError(f"on-demand view {view.name} has no transformation")
    return view.feature_transformation


def fingerprint(view: "FeatureView | OnDemandFeatureView") -> str:
    """SHA-256 over all that decides the values of the view's features, in hexadecimal.

    Of a stored view: schema, entity, time to live and the code that builds its table. Of an
    on-demand one: schema, sources and the transformation's source.
    """
    told: dict[str, Any] = {
        "name": view.name,
        "schema": [[field.name, str(field.dtype)] for field in view.features],
    }
    from feast import FeatureView

    if isinstance(view, FeatureView):
        table = table_of(view)
        told |= {
            "keys": [[field.name, str(field.dtype)] for field in view.entity_columns],
            "ttl": view.ttl.total_seconds() if view.ttl else None,
            "table": [table.name, table.fingerprint],
        }
    else:
        told |= {
            "sources": {
                name: sorted(field.name for field in source.features)
                for name, source in view.source_feature_view_projections.items()
            },
            "asks": sorted(view.get_request_data_schema()),
            "transformation": transformation_of(view).udf_string,
        }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

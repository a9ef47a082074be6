"""Training sets: what was known of each entity at its own moment, and nothing later."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pandas as pd

from slipway.features import definitions
from slipway.features.definitions import Definitions, Plan
from slipway.features.tables import TIME

if TYPE_CHECKING:
    from feast import FeatureStore


def training_set(service: str, entities: pd.DataFrame) -> pd.DataFrame:
    """The features of `service` for each entity as they were at its moment, in the order given.

    `entities` holds the service's join key and `event_timestamp` (with a time zone), and whatever
    else should stand beside the features. A row of a table counts from its own timestamp on, so
    the newest at or before the moment is taken. On-demand features are computed as of the moment.
    An entity unknown at its moment has no features: they are missing (NA).

    The tables must have been built: `slipway.features.offline.build`.

    Raises:
        KeyError: there is no such service.
        ValueError: a column is missing or has no time zone, or bears a feature's name; or the
            same entity and moment are asked for twice.
    """
    known = definitions.load()
    plan = known.plan(service)
    _check(plan, entities)
    asked = entities[[plan.key, TIME]].reset_index(drop=True)
    asked = asked.assign(**dict.fromkeys(plan.asks, asked[TIME]))
    # The warning is that on-demand views do not scale offline; the whole join is in memory here.
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning), _store(known) as store:
        job = store.get_historical_features(entity_df=asked, features=plan.service)
        found = job.to_df()
    found = asked[[plan.key, TIME]].merge(
        found[[plan.key, TIME, *plan.names]], on=[plan.key, TIME], how="left", validate="1:1"
    )
    features = found[list(plan.names)].astype(_dtypes(plan))
    features.index = entities.index
    return pd.concat([entities, features], axis=1)


def _check(plan: Plan, entities: pd.DataFrame) -> None:
    name = plan.service.name
    for column in (plan.key, TIME):
        if column not in entities:
            raise ValueError(f"{name}: entities need the column {column}")
    if getattr(entities[TIME].dtype, "tz", None) is None:
        raise ValueError(f"{name}: {TIME} must have a time zone, got {entities[TIME].dtype}")
    if taken := sorted(set(plan.names) & set(entities.columns)):
        raise ValueError(f"{name}: {taken[0]} is a feature's name; call the column something else")
    twice = entities.duplicated([plan.key, TIME])
    if twice.any():
        first = entities.loc[twice.idxmax()]
        raise ValueError(f"{name}: {plan.key} {first[plan.key]} at {first[TIME]} is there twice")


@contextmanager
def _store(known: Definitions) -> Iterator["FeatureStore"]:
    """Feast over the tables, with a registry of its own: no state from before, no online store."""
    from feast import FeatureStore

    with TemporaryDirectory() as folder:
        registry = Path(folder) / "registry.db"
        store = FeatureStore(config=definitions.config(registry, None))
        store.apply(known.objects())
        yield store


def _dtypes(plan: Plan) -> dict[str, str]:
    """pandas' types that can hold a missing value, by feature."""
    from feast.types import Bool, FeastType, Float64, Int64, String, UnixTimestamp

    held: dict[FeastType, str] = {
        Bool: "boolean",
        Float64: "float64",
        Int64: "Int64",
        String: "object",
        UnixTimestamp: "datetime64[us, UTC]",
    }
    return {
        feature.name: held[feature.dtype]
        for projection in plan.service.feature_view_projections
        for feature in projection.features
    }

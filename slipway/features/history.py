"""Point-in-time joins: training sets with the features that were known at each entity's time."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pandas as pd

from slipway.features import definitions
from slipway.features.definitions import Definitions, FeaturePlan
from slipway.features.tables import TIME

if TYPE_CHECKING:
    from feast import FeatureStore


def training_set(service: str, entities: pd.DataFrame) -> pd.DataFrame:
    """Return `entities` with the features of `service` as of each entity's time.

    `entities` has the service's join key and `event_timestamp` (with a time zone), and any other
    columns, which are kept. A table row is valid from its own timestamp on, so the newest row at or
    before the entity's time is joined. On-demand features are computed as of that time. The
    features of an entity that is unknown at its time are missing (NA).

    The tables must have been built by `slipway.features.offline.build`.

    Raises:
        KeyError: there is no such service.
        ValueError: a column is missing, has no time zone or has a feature's name, or an entity
            occurs twice with the same time.
    """
    known = definitions.load()
    plan = known.plan(service)
    _check(plan, entities)
    wanted = entities[[plan.key, TIME]].reset_index(drop=True)
    wanted = wanted.assign(**dict.fromkeys(plan.request_fields, wanted[TIME]))
    # Feast warns that on-demand views do not scale offline; the whole join is in memory here.
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning), _store(known) as store:
        job = store.get_historical_features(entity_df=wanted, features=plan.service)
        joined = job.to_df()
    joined = wanted[[plan.key, TIME]].merge(
        joined[[plan.key, TIME, *plan.names]], on=[plan.key, TIME], how="left", validate="1:1"
    )
    features = joined[list(plan.names)].astype(_dtypes(plan))
    features.index = entities.index
    return pd.concat([entities, features], axis=1)


def _check(plan: FeaturePlan, entities: pd.DataFrame) -> None:
    name = plan.service.name
    for column in (plan.key, TIME):
        if column not in entities:
            raise ValueError(f"{name}: entities need the column {column}")
    if getattr(entities[TIME].dtype, "tz", None) is None:
        raise ValueError(f"{name}: {TIME} must have a time zone, got {entities[TIME].dtype}")
    if taken := sorted(set(plan.names) & set(entities.columns)):
        raise ValueError(f"{name}: {taken[0]} is a feature's name; rename the column")
    twice = entities.duplicated([plan.key, TIME])
    if twice.any():
        first = entities.loc[twice.idxmax()]
        raise ValueError(f"{name}: {plan.key} {first[plan.key]} at {first[TIME]} occurs twice")


@contextmanager
def _store(known: Definitions) -> Iterator["FeatureStore"]:
    """Yield a Feast store over the tables with a temporary registry and no online store."""
    from feast import FeatureStore

    with TemporaryDirectory() as folder:
        registry = Path(folder) / "registry.db"
        store = FeatureStore(config=definitions.config(registry, None))
        store.apply(known.objects())
        yield store


def _dtypes(plan: FeaturePlan) -> dict[str, str]:
    """Return a pandas dtype that allows missing values for each feature."""
    from feast.types import Bool, FeastType, Float64, Int64, String, UnixTimestamp

    dtypes: dict[FeastType, str] = {
        Bool: "boolean",
        Float64: "float64",
        Int64: "Int64",
        String: "object",
        UnixTimestamp: "datetime64[us, UTC]",
    }
    return {
        feature.name: dtypes[feature.dtype]
        for projection in plan.service.feature_view_projections
        for feature in projection.features
    }

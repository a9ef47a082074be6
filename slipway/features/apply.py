"""Write the definitions into Feast's registry, for Feast's command line, its UI and other readers.

Training and serving do not need the registry: both read the definitions from code.
"""

import warnings
from typing import Any

from filelock import FileLock

from slipway.features import definitions, places
from slipway.features.without_torch import without_torch


def apply() -> list[str]:
    """Synchronize the registry with the repository's definitions; return one line per kind.

    Objects that the repository no longer defines are deleted.
    """
    with without_torch():
        from feast import FeatureStore
        from feast.feature_view import DUMMY_ENTITY_NAME

    known = definitions.load()
    places.store().mkdir(parents=True, exist_ok=True)
    registry = places.registry()
    with FileLock(places.store() / "registry.lock"):
        store = FeatureStore(config=definitions.config(registry, None))
        defined = {each.name for each in known.objects()}
        # Feast adds a dummy entity for views without an entity, which must stay.
        registered: list[Any] = [
            *store.list_feature_services(),
            *store.list_batch_feature_views(),
            *store.list_on_demand_feature_views(),
            *(each for each in store.list_entities() if each.name != DUMMY_ENTITY_NAME),
        ]
        removed = [each for each in registered if each.name not in defined]
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            store.apply(known.objects(), objects_to_delete=removed, partial=False)
    groups: dict[str, dict[str, Any]] = {
        "entities": known.entities,
        "feature views": known.views,
        "on-demand views": known.on_demand,
        "feature services": known.services,
    }
    return [f"{kind}: {', '.join(sorted(group))}" for kind, group in groups.items()]

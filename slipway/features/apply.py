"""The definitions in Feast's registry: for Feast's own command line, its UI and other readers.

Training and serving do not need it: both read the definitions themselves.
"""

import warnings
from typing import Any

from filelock import FileLock

from slipway.features import definitions, places
from slipway.features.without_torch import without_torch


def apply() -> list[str]:
    """Make the registry say what the repository says; a line for each kind, as it then stands.

    What the repository does not define any more is taken out of it.
    """
    with without_torch():
        from feast import FeatureStore
        from feast.feature_view import DUMMY_ENTITY_NAME

    known = definitions.load()
    places.store().mkdir(parents=True, exist_ok=True)
    registry = places.registry()
    with FileLock(places.store() / "registry.lock"):
        store = FeatureStore(config=definitions.config(registry, None))
        here = {each.name for each in known.objects()}
        # Feast adds an entity of its own for views without one: it is not ours to delete.
        standing: list[Any] = [
            *store.list_feature_services(),
            *store.list_batch_feature_views(),
            *store.list_on_demand_feature_views(),
            *(each for each in store.list_entities() if each.name != DUMMY_ENTITY_NAME),
        ]
        gone = [each for each in standing if each.name not in here]
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            store.apply(known.objects(), objects_to_delete=gone, partial=False)
    told: dict[str, dict[str, Any]] = {
        "entities": known.entities,
        "feature views": known.views,
        "on-demand views": known.on_demand,
        "feature services": known.services,
    }
    return [f"{kind}: {', '.join(sorted(group))}" for kind, group in told.items()]

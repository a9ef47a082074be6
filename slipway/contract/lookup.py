"""Where a record's fields come from when a caller sends only whom it is about."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """A feature service of the feature store, whose features bear the names of record fields.

    A caller who sends `entity` alone, or with some of the fields, has the others looked up
    online; what the caller sends goes before what is stored.
    """

    entity: str
    """The join key, and its name in the request: `customer_id`."""

    service: str
    """The feature service's name in `feature_repo`."""

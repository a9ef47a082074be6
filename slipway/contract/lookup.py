"""The source of the record fields that are missing when a caller sends only an entity key."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """A feature service whose features have the names of record fields.

    If a caller sends `entity` alone, or with some of the fields, the server looks the other
    fields up online. Values that the caller sends override the stored ones.
    """

    entity: str
    """The join key, which is also the field's name in the request: `customer_id`."""

    service: str
    """The feature service's name in `feature_repo`."""

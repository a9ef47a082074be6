"""Real data sets: known by name, size and hash, and fetched from wherever they lie."""

from slipway.datasets.catalogue import Dataset, DatasetEntry, entries
from slipway.datasets.fetch import DatasetUnavailable, fetch

__all__ = ["Dataset", "DatasetEntry", "DatasetUnavailable", "entries", "fetch"]

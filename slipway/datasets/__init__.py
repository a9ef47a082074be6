"""Real data sets, identified by name, size and hash, and fetched from several sources."""

from slipway.datasets.catalogue import Dataset, DatasetEntry, entries
from slipway.datasets.fetch import DatasetUnavailable, fetch

__all__ = ["Dataset", "DatasetEntry", "DatasetUnavailable", "entries", "fetch"]

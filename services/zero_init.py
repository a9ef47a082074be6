"""Initializes counters to 0 before their first event.

Prometheus computes the increase of a counter between two scrapes. A series that first appears with
the value 1 has no increase, so the first of a rare event would raise no alert and show in no graph.
"""

from itertools import product

from prometheus_client import Counter


def initialize_series(counter: Counter, *values: tuple[object, ...]) -> None:
    """Create every possible series; `values` holds the values of each label, in label order."""
    for labels in product(*values):
        counter.labels(*labels)

"""Counters that stand at 0 before what they count comes for the first time.

Prometheus tells how much a counter rose between two scrapes. One that is born at 1 did not rise, so
the first of a rare event would raise no alert and show in no picture.
"""

from itertools import product

from prometheus_client import Counter


def from_nought(counter: Counter, *values: tuple[object, ...]) -> None:
    """Make every series there can be; `values` are those of each label, in the labels' order."""
    for labels in product(*values):
        counter.labels(*labels)

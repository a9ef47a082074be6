"""Compare counted crossings with those that were counted by eye."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from slipway.training.selection import bootstrap_error, bootstrap_interval

from .model import CountedCrossings


@dataclass(frozen=True)
class Counts:
    """Errors and true crossings (rows,), both directions added, with window and light of each."""

    errors: np.ndarray
    crossings: np.ndarray
    windows: np.ndarray
    lights: np.ndarray

    @classmethod
    def from_labels(cls, labels: Sequence[CountedCrossings], found: np.ndarray) -> "Counts":
        """Return the errors of found counts (rows, 2), forward and backward."""
        true = np.array([(each.forward, each.backward) for each in labels])
        return cls(
            np.abs(found - true).sum(axis=1),
            true.sum(axis=1),
            np.array([each.window for each in labels]),
            np.array([each.light for each in labels]),
        )

    def error(self, rows: np.ndarray) -> float:
        """Return crossings that are missed or too many, for each true one."""
        return float(self.errors[rows].sum() / max(self.crossings[rows].sum(), 1))


def count_metrics(counts: Counts, seed: int) -> dict[str, float]:
    """Return the error with its standard error over windows, and that in each light."""
    every = np.arange(len(counts.errors))
    lights = dict.fromkeys(counts.lights.tolist())
    return {
        "count_error": counts.error(every),
        "count_error_se": bootstrap_error(*_by_window(counts), seed=seed),
        **{f"count_error_{each}": counts.error(counts.lights == each) for each in lights},
    }


def count_interval(counts: Counts, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the error by a bootstrap over windows."""
    return bootstrap_interval(*_by_window(counts), seed=seed)


def _by_window(counts: Counts) -> tuple[Callable[[np.ndarray], float], int]:
    """Return the error of windows by their places, and how many there are.

    The rows of one window are the same frames in other lights, so they are drawn together.
    """
    names = list(dict.fromkeys(counts.windows.tolist()))
    rows = [np.flatnonzero(counts.windows == each) for each in names]

    def error(drawn: np.ndarray) -> float:
        return counts.error(np.concatenate([rows[each] for each in drawn]))

    return error, len(names)

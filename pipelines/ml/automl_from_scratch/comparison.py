"""Compare searches over the same seeds: paired differences with intervals."""

import numpy as np
from scipy.stats import t

from .search import Tried

# Each search is compared with the ones before it in complexity that it has to beat.
RIVALS = {
    "optuna_tpe": {"random": "random_search"},
    "gaussian_process": {"random": "random_search", "tpe": "optuna_tpe"},
    "gaussian_process_warm": {"plain": "gaussian_process"},
}


def best_so_far(runs: list[Tried]) -> np.ndarray:
    """Return the best value of each run up to each trial (runs, trials)."""
    return np.maximum.accumulate([[value for _, value in run] for run in runs], axis=1)


def mean_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean of `values` over the first axis, and its 95 % interval by Student's t.

    For paired differences pass the differences of the same seeds.
    """
    rows = len(values)
    mean = values.mean(axis=0)
    half = t.ppf(0.975, rows - 1) * values.std(axis=0, ddof=1) / np.sqrt(rows)
    return mean, mean - half, mean + half


def gains(name: str, found: dict[str, np.ndarray]) -> dict[str, float]:
    """Return how much more a search found after all trials than its rivals, with intervals."""
    metrics: dict[str, float] = {}
    for short, rival in RIVALS.get(name, {}).items():
        values = mean_interval(found[name][:, -1] - found[rival][:, -1])
        ends = zip(("", "_low", "_high"), values, strict=True)
        metrics |= {f"over_{short}{end}": float(value) for end, value in ends}
    return metrics

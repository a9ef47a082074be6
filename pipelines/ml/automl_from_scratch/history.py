"""The history of earlier tasks, from which a search on a new task is warm-started.

The method is that of Feurer, Springenberg and Hutter (2015): start with the best settings of
similar tasks.
"""

from dataclasses import dataclass

import numpy as np

from .learners import Task, accuracy
from .space import Settings, Space


def meta_features(task: Task) -> np.ndarray:
    """Return eight meta-features of a task (8,).

    They are the logarithms of the numbers of rows, columns and classes, the balance of the classes,
    skewness, kurtosis, correlation, and the share of principal components for 95 % of the variance.
    """
    numbers, labels = task.learn
    _, counts = np.unique(labels, return_counts=True)
    shares = counts / counts.sum()
    spread = numbers.std(axis=0)
    scaled = (numbers - numbers.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    related = np.abs(np.nan_to_num(np.corrcoef(scaled[:, spread > 0].T)))
    beyond = related[~np.eye(len(related), dtype=bool)]
    vectors = np.linalg.svd(scaled, compute_uv=False) ** 2
    return np.array(
        [
            np.log(len(labels)),
            np.log(numbers.shape[1]),
            np.log(len(counts)),
            -(shares * np.log(shares)).sum() / np.log(len(counts)),
            np.mean(np.abs((scaled**3).mean(axis=0))),
            np.log(np.mean((scaled**4).mean(axis=0))),
            beyond.mean(),
            np.searchsorted(np.cumsum(vectors) / vectors.sum(), 0.95) / numbers.shape[1],
        ]
    )


@dataclass(frozen=True)
class Past:
    """An earlier task with its meta-features and the accuracies of the settings tried on it."""

    name: str
    features: np.ndarray
    tried: list[tuple[Settings, float]]


def build_history(tasks: list[Task], space: Space, *, trials: int, seed: int) -> list[Past]:
    """Try the same random settings on each task."""
    rng = np.random.default_rng(seed)
    drawn = [space.draw(rng) for _ in range(trials)]
    return [
        Past(task.name, meta_features(task), [(each, accuracy(each, task, seed)) for each in drawn])
        for task in tasks
    ]


def by_similarity(task: Task, past: list[Past]) -> list[tuple[Past, float]]:
    """Return earlier tasks with their distances from `task`, the nearest first.

    Each meta-feature is divided by its standard deviation.
    """
    table = np.array([each.features for each in past])
    spread = table.std(axis=0)
    apart = (table - meta_features(task)) / np.where(spread > 0, spread, 1.0)
    far = np.sqrt((apart**2).mean(axis=1))
    return [(past[place], float(far[place])) for place in np.argsort(far, kind="stable")]


def starts(task: Task, past: list[Past], *, tasks: int, each: int) -> list[Settings]:
    """Return the best settings of the nearest tasks, one task after the other, without repeats."""
    chosen: list[Settings] = []
    near = [one for one, _ in by_similarity(task, past)[:tasks]]
    ranked = [sorted(one.tried, key=lambda tried: -tried[1]) for one in near]
    for place in range(each):
        for tried in ranked:
            settings = next((one for one, _ in tried[place:] if one not in chosen), None)
            if settings is not None:
                chosen.append(settings)
    return chosen

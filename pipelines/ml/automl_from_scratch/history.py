"""Earlier tasks: what each is like, what was tried on it, and which of them are like a new one.

Starting where alike tasks ended: Feurer, Springenberg and Hutter (2015).
"""

from dataclasses import dataclass

import numpy as np

from .learners import Task, accuracy
from .space import Settings, Space


def described(task: Task) -> np.ndarray:
    """Meta-features: logarithms of rows, columns, classes; balance; shape; how far rows tell."""
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
    """A task of earlier: its meta-features, and the settings tried on it with their accuracies."""

    name: str
    features: np.ndarray
    tried: list[tuple[Settings, float]]


def remembered(tasks: list[Task], space: Space, *, trials: int, seed: int) -> list[Past]:
    """The same random settings on each task."""
    rng = np.random.default_rng(seed)
    drawn = [space.draw(rng) for _ in range(trials)]
    return [
        Past(task.name, described(task), [(each, accuracy(each, task, seed)) for each in drawn])
        for task in tasks
    ]


def alike(task: Task, past: list[Past]) -> list[tuple[Past, float]]:
    """Earlier tasks with their distances, the nearest first; each feature in its own spread."""
    table = np.array([each.features for each in past])
    spread = table.std(axis=0)
    apart = (table - described(task)) / np.where(spread > 0, spread, 1.0)
    far = np.sqrt((apart**2).mean(axis=1))
    return [(past[place], float(far[place])) for place in np.argsort(far, kind="stable")]


def starts(task: Task, past: list[Past], *, tasks: int, each: int) -> list[Settings]:
    """The best settings of the nearest tasks, one task after the other; none twice."""
    found: list[Settings] = []
    near = [one for one, _ in alike(task, past)[:tasks]]
    ranked = [sorted(one.tried, key=lambda tried: -tried[1]) for one in near]
    for place in range(each):
        for tried in ranked:
            settings = next((one for one, _ in tried[place:] if one not in found), None)
            if settings is not None:
                found.append(settings)
    return found

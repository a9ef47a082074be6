"""Generated card payments, and real network connections to compare with.

The payments have the fields and the numbers of rows and frauds of Kaggle's file (28 anonymous
factors, amount and time), and nothing else of it: no result here is about real cards. Frauds
overlap with honest payments, so that no model can separate all of them, even one that knows the
generator (`best_possible`). On the real file learners reach an average precision of 0.7 to 0.85.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from slipway.datasets import Dataset

from .model import FIELDS, Payment

FACTORS = 28
# Each factor varies less than the one before, as principal components do.
SCALES = np.linspace(2.0, 0.35, FACTORS)
# Groups of payments: share, spread and centre by factor; spread and centre are in the factor's
# scale.
Groups = list[tuple[float, float, dict[int, float]]]
# One in a hundred is an honest outlier: outliers are more often honest than frauds.
HONEST: Groups = [(0.99, 1.0, {}), (0.01, 1.6, {})]
# Obvious, partly hidden and hidden frauds: 7.5, 4.8 and 2 standard deviations from the centre.
FRAUD: Groups = [
    (0.50, 1.0, {3: -2.5, 10: -3.0, 12: -3.5, 14: -4.0, 17: -3.5}),
    (0.35, 1.0, {2: 1.8, 4: 2.6, 11: 2.6, 14: -2.4}),
    (0.15, 1.0, {4: 1.2, 8: -1.2, 21: 1.1}),
]
# Mean and spread of the amount's logarithm: medians of 22 and 18 dollars, means of 68 and 110.
AMOUNTS = {False: (3.1, 1.5), True: (2.9, 1.9)}
# Honest customers sleep: the hour before 4 has 30 % of their mean rate. Frauds are even.
HOURS = {
    False: (1 + 0.7 * np.cos((np.arange(24) - 15.5) / 12 * np.pi)) / 24,
    True: np.ones(24) / 24,
}


def centres(groups: Groups) -> np.ndarray:
    """Return the centres of the groups (groups, 28)."""
    return np.array([[at.get(each + 1, 0.0) for each in range(FACTORS)] for _, _, at in groups])


def draw(fraud: bool, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw factors, amount, hour of the day and the day (count, 31)."""
    groups = FRAUD if fraud else HONEST
    shares, spreads = np.array([each[:2] for each in groups]).T
    which = rng.choice(len(groups), count, p=shares)
    factors = centres(groups)[which] + spreads[which, None] * rng.normal(size=(count, FACTORS))
    amounts = np.clip(rng.lognormal(*AMOUNTS[fraud], count), 0.01, 50_000).round(2)
    hours = rng.choice(24, count, p=HOURS[fraud]) + rng.integers(3600, size=count) / 3600
    days = rng.integers(2, size=count)
    return np.column_stack([(factors * SCALES).round(4), amounts, hours.round(4), days])


def splits(
    dataset: Dataset, *, seed: int, payments: int, frauds: int
) -> dict[str, Iterable[tuple[Payment, bool]]]:
    """Return labelled payments: the first day for training, the second for the test."""
    rng = np.random.default_rng(seed)
    table = np.concatenate([draw(False, payments - frauds, rng), draw(True, frauds, rng)])
    labels = np.arange(payments) >= payments - frauds
    days: dict[str, Iterable[tuple[Payment, bool]]] = {}
    for day, name in enumerate(("train", "test")):
        rows = np.flatnonzero(table[:, -1] == day)
        rows = rows[np.argsort(table[rows, -2], kind="stable")]
        days[name] = [
            (Payment(**dict(zip(FIELDS, row, strict=True))), label)
            for row, label in zip(table[rows, :-1].tolist(), labels[rows].tolist(), strict=True)
        ]
    return days


def best_possible(payments: list[Payment]) -> np.ndarray:
    """Return log odds of fraud (rows,) from the generator's own densities, up to a constant."""
    numbers = np.array([list(each.__dict__.values()) for each in payments])
    density = {}
    for fraud, groups in ((False, HONEST), (True, FRAUD)):
        near = [
            np.log(share / spread**FACTORS)
            - ((numbers[:, :FACTORS] / SCALES - centre) ** 2).sum(axis=1) / (2 * spread**2)
            for (share, spread, _), centre in zip(groups, centres(groups), strict=True)
        ]
        middle, spread = AMOUNTS[fraud]
        amounts = -(((np.log(numbers[:, -2]) - middle) / spread) ** 2) / 2 - np.log(spread)
        hours = np.log(HOURS[fraud][numbers[:, -1].astype(int)])
        density[fraud] = logsumexp(near, axis=0) + amounts + hours
    return np.asarray(density[True] - density[False])


def connections(
    dataset: Dataset, kind: str, *, honest: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return real connections of one kind, and whether each is an attack (rows,).

    A connection (rows, 3) is the logarithms of seconds, bytes sent and bytes received. Of
    connections equal in all three only one is kept, since copies could be in both parts of a split.
    All different attacks are kept, 72 of `http` and 21 of `smtp`, and at most `honest` of the
    221,828 and 71,209 different honest connections.
    """
    # The files are named here, so that the stages depend on them.
    file = {"http": dataset.path("http.npz"), "smtp": dataset.path("smtp.npz")}[kind]
    with np.load(file) as held:
        numbers, attack = held["X"].astype(np.float32), held["y"] == 1
    first = pd.DataFrame(numbers).drop_duplicates().index
    mixed = np.random.default_rng(seed).permutation(first.to_numpy())
    kept = np.concatenate([mixed[attack[mixed]], mixed[~attack[mixed]][:honest]])
    return numbers[kept], attack[kept]

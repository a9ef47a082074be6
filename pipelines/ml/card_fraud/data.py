"""Card payments drawn by a program that says so, and real HTTP connections to compare with.

The payments have the fields, rows and frauds of Kaggle's file (28 anonymous factors, amount and
time), and nothing else of it: no figure here says anything of real cards. Frauds overlap with
honest payments, so that nobody can tell all of them apart, who knows the generator neither
(`best_possible`). On the real file learners reach an average precision of 0.7 to 0.85.
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
# Groups of payments: share, spread, and centre by factor, both in the factor's scale.
Groups = list[tuple[float, float, dict[int, float]]]
# One in a hundred is odd and honest: what lies far out is more often that than a fraud.
HONEST: Groups = [(0.99, 1.0, {}), (0.01, 1.6, {})]
# Plain, half hidden and hidden frauds: 7.5, 4.8 and 2 standard deviations away.
FRAUD: Groups = [
    (0.50, 1.0, {3: -2.5, 10: -3.0, 12: -3.5, 14: -4.0, 17: -3.5}),
    (0.35, 1.0, {2: 1.8, 4: 2.6, 11: 2.6, 14: -2.4}),
    (0.15, 1.0, {4: 1.2, 8: -1.2, 21: 1.1}),
]
# Mean and spread of the amount's logarithm: 22 and 18 dollars at the middle, 68 and 110 on average.
AMOUNTS = {False: (3.1, 1.5), True: (2.9, 1.9)}
# Honest customers sleep: 30 % of the mean in the hour before 4. Frauds go on.
HOURS = {
    False: (1 + 0.7 * np.cos((np.arange(24) - 15.5) / 12 * np.pi)) / 24,
    True: np.ones(24) / 24,
}


def centres(groups: Groups) -> np.ndarray:
    return np.array([[at.get(each + 1, 0.0) for each in range(FACTORS)] for _, _, at in groups])


def drawn(fraud: bool, count: int, rng: np.random.Generator) -> np.ndarray:
    """Factors, amount, hour of the day and the day (count, 31)."""
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
    """Payments with whether they were frauds: those of the first day, and of the second to test."""
    rng = np.random.default_rng(seed)
    made = np.concatenate([drawn(False, payments - frauds, rng), drawn(True, frauds, rng)])
    truths = np.arange(payments) >= payments - frauds
    days: dict[str, Iterable[tuple[Payment, bool]]] = {}
    for day, name in enumerate(("train", "test")):
        rows = np.flatnonzero(made[:, -1] == day)
        rows = rows[np.argsort(made[rows, -2], kind="stable")]
        days[name] = [
            (Payment(**dict(zip(FIELDS, row, strict=True))), truth)
            for row, truth in zip(made[rows, :-1].tolist(), truths[rows].tolist(), strict=True)
        ]
    return days


def best_possible(payments: list[Payment]) -> np.ndarray:
    """Log odds of fraud (rows,), but for a constant, by the generator's own densities."""
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


def connections(dataset: Dataset, *, honest: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Real HTTP connections: logarithms of seconds, bytes sent and got (rows, 3); attack (rows,).

    Those equal in all three are kept once, or copies would be on both sides of a split: of 2,211
    attacks 72 are left, all of them kept, and of 221,828 `honest` ones so many.
    """
    with np.load(dataset.path("http.npz")) as held:
        numbers, attack = held["X"].astype(np.float32), held["y"] == 1
    first = pd.DataFrame(numbers).drop_duplicates().index
    mixed = np.random.default_rng(seed).permutation(first.to_numpy())
    kept = np.concatenate([mixed[attack[mixed]], mixed[~attack[mixed]][:honest]])
    return numbers[kept], attack[kept]

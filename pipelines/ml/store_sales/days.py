"""Open days of plans as rows."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from .model import ALIKE, LEVEL, Plan, features


@dataclass(frozen=True)
class Days:
    """Open days of plans, one row each; sales are logarithms."""

    numbers: np.ndarray
    """(days, 24)"""
    logs: np.ndarray
    store: np.ndarray
    origin: np.ndarray
    """The first day of the plan, an ordinal as in `datetime.date`."""

    @classmethod
    def from_plans(cls, plans: list[Plan], labels: list[list[int]]) -> "Days":
        opened = [plan.is_open.count("1") for plan in plans]
        first = [date.fromisoformat(plan.first_day).toordinal() for plan in plans]
        return cls(
            features(plans)["numbers"],
            np.log([sold for sales in labels for sold in sales if sold > 0]),
            np.repeat([plan.store for plan in plans], opened),
            np.repeat(first, opened),
        )

    @property
    def date(self) -> np.ndarray:
        return np.asarray(self.origin + self.numbers[:, 0].astype(int))

    @property
    def week(self) -> np.ndarray:
        return np.asarray(self.numbers[:, 0].astype(int) // 7)

    @property
    def above_level(self) -> np.ndarray:
        """The logarithm of sales relative to the store's level: the target of the regressors."""
        return np.asarray(self.logs - self.numbers[:, LEVEL])

    @property
    def alike(self) -> np.ndarray:
        """The recent mean of similar days, as a logarithm: the baseline's forecast."""
        return np.asarray(self.numbers[:, LEVEL] + self.numbers[:, ALIKE])

    def where(self, kept: np.ndarray) -> "Days":
        return Days(self.numbers[kept], self.logs[kept], self.store[kept], self.origin[kept])


def by_store(days: Days) -> dict[int, np.ndarray]:
    """Return the row numbers of each store."""
    order = np.argsort(days.store, kind="stable")
    stores, starts = np.unique(days.store[order], return_index=True)
    return dict(zip(stores.tolist(), np.split(order, starts[1:]), strict=True))


def concatenate(parts: list[Days]) -> Days:
    """Return the rows of all parts."""
    names = ("numbers", "logs", "store", "origin")
    return Days(*(np.concatenate([getattr(each, name) for each in parts]) for name in names))

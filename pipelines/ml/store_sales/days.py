"""The open days of plans, as rows."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from .model import ALIKE, LEVEL, Plan, features


@dataclass(frozen=True)
class Days:
    """Open days of plans, a row each; sales as logarithms."""

    numbers: np.ndarray
    """(days, 24)"""
    logs: np.ndarray
    store: np.ndarray
    origin: np.ndarray
    """When the day was forecast, an ordinal as in `datetime.date`."""

    @classmethod
    def of(cls, plans: list[Plan], truths: list[list[int]]) -> "Days":
        opened = [plan.is_open.count("1") for plan in plans]
        first = [date.fromisoformat(plan.first_day).toordinal() for plan in plans]
        return cls(
            features(plans)["numbers"],
            np.log([sold for truth in truths for sold in truth if sold > 0]),
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
        """What is left to forecast of what the store sells in general."""
        return np.asarray(self.logs - self.numbers[:, LEVEL])

    @property
    def alike(self) -> np.ndarray:
        """The recent mean of days alike, as a logarithm: the baseline's forecast."""
        return np.asarray(self.numbers[:, LEVEL] + self.numbers[:, ALIKE])

    def where(self, kept: np.ndarray) -> "Days":
        return Days(self.numbers[kept], self.logs[kept], self.store[kept], self.origin[kept])


def by_store(days: Days) -> dict[int, np.ndarray]:
    """Each store's rows."""
    order = np.argsort(days.store, kind="stable")
    stores, starts = np.unique(days.store[order], return_index=True)
    return dict(zip(stores.tolist(), np.split(order, starts[1:]), strict=True))


def joined(parts: list[Days]) -> Days:
    names = ("numbers", "logs", "store", "origin")
    return Days(*(np.concatenate([getattr(each, name) for each in parts]) for name in names))

"""Customers with their randomized e-mail, and whether they visited."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from slipway.training import LabelledRows

from .model import Shopper, features

EMAILS = ("none", "mens", "womens")
NONE, MENS, WOMENS = range(3)
Label = dict[str, Any]


@dataclass(frozen=True)
class RandomizedCustomers:
    """Features (rows, 11), the randomized e-mail (rows,), and whether they visited (rows,)."""

    numbers: np.ndarray
    email: np.ndarray
    visited: np.ndarray

    @classmethod
    def from_labelled_rows(cls, rows: LabelledRows[Shopper, Label]) -> "RandomizedCustomers":
        return cls(
            features(rows.records)["numbers"],
            np.array([EMAILS.index(label["email"]) for label in rows.labels]),
            np.array([label["visited"] for label in rows.labels], dtype=bool),
        )

    def at(self, rows: np.ndarray) -> "RandomizedCustomers":
        """Return the customers of these rows."""
        return RandomizedCustomers(self.numbers[rows], self.email[rows], self.visited[rows])

    def places(self, *emails: int) -> np.ndarray:
        """Return the row numbers of the arms."""
        return np.flatnonzero(np.isin(self.email, emails))

    def arms(self, *emails: int) -> "RandomizedCustomers":
        """Return the customers of the arms."""
        return self.at(self.places(*emails))

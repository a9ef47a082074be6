"""Customers with the e-mail that chance gave each, and who came."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from slipway.training import Examples

from .model import Shopper, features

EMAILS = ("none", "mens", "womens")
NONE, MENS, WOMENS = range(3)
Truth = dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """Customers (rows, 11), the e-mail that each was drawn to get (rows,), and who came (rows,)."""

    numbers: np.ndarray
    email: np.ndarray
    visited: np.ndarray

    @classmethod
    def of(cls, examples: Examples[Shopper, Truth]) -> "Drawn":
        return cls(
            features(examples.records)["numbers"],
            np.array([EMAILS.index(truth["email"]) for truth in examples.truths]),
            np.array([truth["visited"] for truth in examples.truths], dtype=bool),
        )

    def at(self, rows: np.ndarray) -> "Drawn":
        return Drawn(self.numbers[rows], self.email[rows], self.visited[rows])

    def places(self, *emails: int) -> np.ndarray:
        """Rows of the arms."""
        return np.flatnonzero(np.isin(self.email, emails))

    def arms(self, *emails: int) -> "Drawn":
        return self.at(self.places(*emails))

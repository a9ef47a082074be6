"""Served effects of the e-mails beside those seen, in tenths of the customers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .drawn import MENS, NONE, WOMENS, RandomizedCustomers
from .model import Campaign


def predicted_effects(predictions: list[Campaign]) -> np.ndarray:
    """Return the predicted uplifts (rows, 2)."""
    return np.array([[each.uplift_mens, each.uplift_womens] for each in predictions])


def served_intervals(predictions: list[Campaign]) -> np.ndarray:
    """Return the low and high ends of the effects of both e-mails: (rows, 2, 2)."""
    fields = ("uplift_mens_low", "uplift_mens_high", "uplift_womens_low", "uplift_womens_high")
    ends = [[getattr(each, name) for name in fields] for each in predictions]
    return np.array(ends).reshape(-1, 2, 2)


def effect(customers: RandomizedCustomers, email: int) -> tuple[float, float, float]:
    """Return the effect of an e-mail in points: the difference of visits, with a 95 % interval."""
    arms = [customers.visited[customers.email == arm] for arm in (email, NONE)]
    (mailed, spread), (without, other) = (
        (arm.mean(), arm.var() / len(arm)) if len(arm) else (np.nan, np.nan) for arm in arms
    )
    value, half_width = 100 * float(mailed - without), 196 * float(np.sqrt(spread + other))
    return value, value - half_width, value + half_width


@dataclass(frozen=True)
class Tenth:
    """A tenth of the customers: the effect of an e-mail in points, seen and served.

    The half widths are those of 95 % intervals.
    """

    email: int
    seen: float
    seen_half: float
    served: float
    served_half: float

    @property
    def contradicted(self) -> bool:
        """Return whether both differ by more than chance allows."""
        return bool(abs(self.seen - self.served) > np.hypot(self.seen_half, self.served_half))


def compare_tenths(predictions: list[Campaign], customers: RandomizedCustomers) -> Iterator[Tenth]:
    """Yield the tenths of the customers by the served effect of each e-mail, highest first."""
    effects, ends = 100 * predicted_effects(predictions), 100 * served_intervals(predictions)
    for email in (MENS, WOMENS):
        rows, served = customers.places(NONE, email), effects[:, email - 1]
        for tenth in np.array_split(rows[np.argsort(-served[rows], kind="stable")], 10):
            seen, _, high = effect(customers.at(tenth), email)
            half = float(np.ptp(ends[tenth, email - 1], axis=1).mean() / 2)
            yield Tenth(email, seen, high - seen, float(served[tenth].mean()), half)

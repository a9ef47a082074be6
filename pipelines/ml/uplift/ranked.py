"""The ranking of customers by uplift: the curve of visits gained, and the Qini coefficient."""

from dataclasses import dataclass

import numpy as np

from .drawn import MENS, NONE, WOMENS, RandomizedCustomers


@dataclass(frozen=True)
class Ranked:
    """Customers of one e-mail's arm and of the arm without, by predicted uplift, highest first."""

    order: np.ndarray
    """Row numbers of the arms' customers."""
    mailed: np.ndarray
    visited: np.ndarray
    last: np.ndarray
    """Whether a customer is the last one with the same uplift, among whom there is no order."""

    @classmethod
    def from_uplift(
        cls, uplift: np.ndarray, customers: RandomizedCustomers, email: int
    ) -> "Ranked":
        rows = customers.places(NONE, email)
        order = rows[np.argsort(-uplift[rows], kind="stable")]
        last = np.append(np.diff(uplift[order]) != 0, True)
        return cls(order, customers.email[order] == email, customers.visited[order], last)

    def curve(self, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the share mailed and the visits gained per customer, both from 0 on.

        The gain is the visits of the mailed, minus the visits of as many others, divided by all
        mailed. `counts` (all rows,) says how often each customer counts. Radcliffe (2007).
        """
        weights = np.ones(len(self.order)) if counts is None else counts[self.order].astype(float)
        arms = (self.mailed, ~self.mailed)
        mailed, others, visits, visits_without = (
            np.cumsum(weights * counted)[self.last]
            for counted in (*arms, *(arm & self.visited for arm in arms))
        )
        scale = np.divide(mailed, others, out=np.zeros_like(mailed), where=others > 0)
        gained = (visits - visits_without * scale) / max(mailed[-1], 1.0)
        shares = (mailed + others) / (mailed[-1] + others[-1])
        return np.append(0.0, shares), np.append(0.0, gained)

    def gained(self, shares: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
        """Return the visits gained at these shares."""
        return np.asarray(np.interp(shares, *self.curve(counts)))

    def area(self, counts: np.ndarray | None = None) -> float:
        """Return the area under the uplift curve (AUUC)."""
        shares, gained = self.curve(counts)
        return float(np.trapezoid(gained, shares))

    def qini(self, counts: np.ndarray | None = None) -> float:
        """Return the area between the curve and the straight line of mailing at random."""
        shares, gained = self.curve(counts)
        return float(np.trapezoid(gained, shares) - gained[-1] / 2)


def uplifts(visits: np.ndarray) -> np.ndarray:
    """Return the uplift of both e-mails (rows, 2) from probabilities of a visit (rows, 3)."""
    return np.asarray(visits[:, 1:] - visits[:, :1])


def ranked(effects: np.ndarray, customers: RandomizedCustomers) -> list[Ranked]:
    """Return the rankings by the uplift of men's and of women's e-mail."""
    return [Ranked.from_uplift(effects[:, email - 1], customers, email) for email in (MENS, WOMENS)]


def ranking_metrics(mens: Ranked, womens: Ranked) -> dict[str, float]:
    """Return Qini coefficients and the AUUC, averaged over both e-mails or for each."""
    return {
        "qini": (mens.qini() + womens.qini()) / 2,
        "qini_mens": mens.qini(),
        "qini_womens": womens.qini(),
        "auuc": (mens.area() + womens.area()) / 2,
    }

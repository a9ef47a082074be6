"""How well uplifts order the customers: the curve of visits gained, and the Qini coefficient."""

from dataclasses import dataclass

import numpy as np

from .drawn import MENS, NONE, WOMENS, Drawn


@dataclass(frozen=True)
class Ranked:
    """One e-mail against none: customers from the highest uplift told to the lowest."""

    order: np.ndarray
    """Places of the arms' rows among all."""
    mailed: np.ndarray
    visited: np.ndarray
    last: np.ndarray
    """Of customers with the same uplift: among them no order is known."""

    @classmethod
    def of(cls, uplift: np.ndarray, drawn: Drawn, email: int) -> "Ranked":
        rows = drawn.places(NONE, email)
        order = rows[np.argsort(-uplift[rows], kind="stable")]
        last = np.append(np.diff(uplift[order]) != 0, True)
        return cls(order, drawn.email[order] == email, drawn.visited[order], last)

    def curve(self, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Share mailed and visits gained a customer, both from 0 on. Radcliffe (2007).

        Those who came of the mailed, less those of the others scaled to as many, over all mailed.
        `counts` (all rows,) says how often each customer counts.
        """
        weights = np.ones(len(self.order)) if counts is None else counts[self.order].astype(float)
        arms = (self.mailed, ~self.mailed)
        mailed, others, came, came_anyway = (
            np.cumsum(weights * counted)[self.last]
            for counted in (*arms, *(arm & self.visited for arm in arms))
        )
        scale = np.divide(mailed, others, out=np.zeros_like(mailed), where=others > 0)
        gained = (came - came_anyway * scale) / max(mailed[-1], 1.0)
        shares = (mailed + others) / (mailed[-1] + others[-1])
        return np.append(0.0, shares), np.append(0.0, gained)

    def gained(self, shares: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
        """The curve at some shares."""
        return np.asarray(np.interp(shares, *self.curve(counts)))

    def area(self, counts: np.ndarray | None = None) -> float:
        """Under the curve: the AUUC."""
        shares, gained = self.curve(counts)
        return float(np.trapezoid(gained, shares))

    def qini(self, counts: np.ndarray | None = None) -> float:
        """The area between the curve and the straight line of mailing at random."""
        shares, gained = self.curve(counts)
        return float(np.trapezoid(gained, shares) - gained[-1] / 2)


def uplifts(visits: np.ndarray) -> np.ndarray:
    """Of men's and women's e-mail (rows, 2), from the probabilities of a visit (rows, 3)."""
    return np.asarray(visits[:, 1:] - visits[:, :1])


def ranked(effects: np.ndarray, drawn: Drawn) -> list[Ranked]:
    return [Ranked.of(effects[:, email - 1], drawn, email) for email in (MENS, WOMENS)]


def figures(mens: Ranked, womens: Ranked) -> dict[str, float]:
    return {
        "qini": (mens.qini() + womens.qini()) / 2,
        "qini_mens": mens.qini(),
        "qini_womens": womens.qini(),
        "auuc": (mens.area() + womens.area()) / 2,
    }

"""The order in which films are suggested, and the precision of the first ten."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.sparse.linalg import svds

from .rated import Rated

AT = 10
LIKED = 4
# Weights of stars and of popularity, relative to what similar viewers saw.
ORDER_WEIGHTS = (0.1, 0.2, 0.4, 0.8), (0.05, 0.1, 0.2, 0.4)


@dataclass(frozen=True)
class Order:
    """A ranking of films by similarity to those rated, by predicted stars and by popularity.

    `axes` are the right singular vectors (1682, k) of the matrix with 0 for unrated (Cremonesi et
    al. 2010). A viewer's stars projected on them reflect which films similar viewers see, not how
    many stars they give.
    """

    axes: np.ndarray
    popularity: np.ndarray
    order_weights: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def fit(cls, rated: Rated, factors: int) -> "Order":
        axes = svds(np.nan_to_num(rated.stars), k=factors, random_state=0)[2].T
        return cls(axes, np.log1p(rated.known.sum(axis=0)))

    def __call__(self, sent: Rated, stars: np.ndarray) -> np.ndarray:
        stars_weight, popularity_weight = self.order_weights
        alike = np.nan_to_num(sent.stars) @ self.axes @ self.axes.T
        return np.asarray(alike + stars_weight * stars + popularity_weight * self.popularity)

    def tune(self, sent: Rated, stars: np.ndarray, later: Rated) -> "Order":
        """Return the order with the weights of the highest precision."""
        grid = [replace(self, order_weights=both) for both in product(*ORDER_WEIGHTS)]
        return max(grid, key=lambda each: precision(each(sent, stars), sent, later))


def precision(order: np.ndarray, sent: Rated, later: Rated) -> float:
    """Return the share of the first ten films, without those rated before, that were liked later.

    A film that was never rated counts as not liked, so the precision is a lower bound.
    """
    best = np.argsort(-np.where(sent.known, -np.inf, order), axis=1, kind="stable")[:, :AT]
    return float(np.take_along_axis(later.stars >= LIKED, best, axis=1).mean())

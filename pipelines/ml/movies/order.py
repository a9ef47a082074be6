"""In which order films are suggested, and how many of the first ones are liked."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.sparse.linalg import svds

from .rated import Rated

AT = 10
LIKED = 4
# Of stars, and of popularity, beside what viewers alike saw.
ORDER_WEIGHTS = (0.1, 0.2, 0.4, 0.8), (0.05, 0.1, 0.2, 0.4)


@dataclass(frozen=True)
class Order:
    """What is suggested first: films that go with those rated, of many stars, and popular.

    `axes` are the right singular vectors (1682, k) of the matrix with 0 for unrated. Cremonesi et
    al. (2010). A viewer's stars projected on them tell who sees what, and no stars.
    """

    axes: np.ndarray
    popularity: np.ndarray
    order_weights: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def learnt(cls, rated: Rated, factors: int) -> "Order":
        axes = svds(np.nan_to_num(rated.stars), k=factors, random_state=0)[2].T
        return cls(axes, np.log1p(rated.known.sum(axis=0)))

    def __call__(self, sent: Rated, stars: np.ndarray) -> np.ndarray:
        of_stars, of_popularity = self.order_weights
        alike = np.nan_to_num(sent.stars) @ self.axes @ self.axes.T
        return np.asarray(alike + of_stars * stars + of_popularity * self.popularity)

    def tuned(self, sent: Rated, stars: np.ndarray, then: Rated) -> "Order":
        """With the weights of the highest precision."""
        grid = [replace(self, order_weights=both) for both in product(*ORDER_WEIGHTS)]
        return max(grid, key=lambda each: precision(each(sent, stars), sent, then))


def precision(order: np.ndarray, sent: Rated, then: Rated) -> float:
    """Of the ten films first in order that were not rated before, how many were liked later.

    A film that was never rated counts as not liked, so the figure is a lower bound.
    """
    best = np.argsort(-np.where(sent.known, -np.inf, order), axis=1, kind="stable")[:, :AT]
    return float(np.take_along_axis(then.stars >= LIKED, best, axis=1).mean())

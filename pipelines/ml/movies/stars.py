"""Ways to tell the stars that a viewer gives a film: biases, neighbours, and factors."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from sklearn.linear_model import Ridge

from .model import FILMS, posterior
from .rated import Rated

Answer = Callable[[Rated], np.ndarray]
"""Stars (viewers, 1682) from the ratings sent; not cut off at 1 and 5, so that they can rank."""


@dataclass(frozen=True)
class Biases:
    """mean + film + viewer, both drawn to zero. Koren (2010)."""

    mean: float
    films: np.ndarray
    viewer_penalty: float = 8.0

    @classmethod
    def learnt(cls, rated: Rated, film_penalty: float = 10.0, rounds: int = 10) -> "Biases":
        mean = float(np.nanmean(rated.stars))
        found = cls(mean, np.zeros(FILMS))
        for _ in range(rounds):
            rest = rated.stars - mean - found.viewers(rated)[:, None]
            count = rated.known.sum(axis=0)
            found = cls(mean, np.nansum(rest, axis=0) / (count + film_penalty))
        return found

    def viewers(self, rated: Rated) -> np.ndarray:
        rest = np.nansum(rated.stars - self.mean - self.films, axis=1)
        return np.asarray(rest / (rated.known.sum(axis=1) + self.viewer_penalty))

    def __call__(self, rated: Rated) -> np.ndarray:
        return np.asarray(self.mean + self.films + self.viewers(rated)[:, None])

    def rest(self, rated: Rated) -> np.ndarray:
        """What the biases leave of the stars, 0 where unrated: the mean-centred matrix."""
        return np.asarray(np.nan_to_num(rated.stars - self(rated)))


def cosine(left: np.ndarray, right: np.ndarray, shrink: float = 20.0) -> np.ndarray:
    """Cosines of the rows (left rows, right rows) over what both rated.

    Shrunk by n / (n + shrink) where n entries are shared: two films that three people saw are
    alike by chance. Bell and Koren (2007).
    """
    shared = (left != 0).astype(float) @ (right != 0).astype(float).T
    lengths = np.sqrt((left**2) @ (right != 0).T * ((left != 0) @ (right**2).T))
    return np.asarray((left @ right.T) / np.maximum(lengths, 1e-9) * shared / (shared + shrink))


def mean_of(weights: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Weighted mean (columns,) of `rest` (rows, columns), drawn to 0 where weights are small."""
    return np.asarray((weights * rest).sum(axis=0) / (weights.sum(axis=0) + 0.5))


def user_based(rated: Rated, neighbours: int) -> Answer:
    """What viewers alike left over from their biases. Herlocker et al. (1999)."""
    biases = Biases.learnt(rated)
    theirs = biases.rest(rated)

    def answer(sent: Rated) -> np.ndarray:
        found = biases(sent)
        for row, similar in enumerate(cosine(biases.rest(sent), theirs)):
            order = np.argsort(-similar, kind="stable")
            counted = theirs[order] != 0
            # The first `neighbours` of those who rated the film.
            weights = np.maximum(similar[order, None], 0) * counted
            weights *= np.cumsum(counted, axis=0) <= neighbours
            found[row] += mean_of(weights, theirs[order])
        return found

    return answer


def item_based(rated: Rated, neighbours: int) -> Answer:
    """What the viewer left over at films alike. Sarwar et al. (2001)."""
    biases = Biases.learnt(rated)
    similar = cosine(biases.rest(rated).T, biases.rest(rated).T)

    def answer(sent: Rated) -> np.ndarray:
        found = biases(sent)
        for row, own in enumerate(biases.rest(sent)):
            seen = np.flatnonzero(own)
            weights = np.maximum(similar[seen], 0)
            if len(seen) > neighbours:
                least = np.partition(weights, -neighbours, axis=0)[-neighbours]
                weights = np.where(weights >= least, weights, 0)
            found[row] += mean_of(weights, own[seen, None])
        return found

    return answer


@dataclass(frozen=True)
class Factors:
    """Stars are mean + film bias + viewer bias + film factors times viewer factors."""

    mean: float
    films: np.ndarray
    attributes: np.ndarray
    viewer_penalty: np.ndarray

    def tastes(self, rated: Rated) -> np.ndarray:
        """Bias and factors (viewers, 1 + k) of viewers."""
        priors = rated.people @ self.attributes
        return solved(rated.stars, self.mean, self.films, priors, self.viewer_penalty)

    def __call__(self, rated: Rated) -> np.ndarray:
        tastes = self.tastes(rated)
        stars = self.mean + self.films[:, 0] + tastes[:, :1] + tastes[:, 1:] @ self.films[:, 1:].T
        return np.asarray(stars)


def solved(
    stars: np.ndarray, mean: float, others: np.ndarray, priors: np.ndarray, penalty: np.ndarray
) -> np.ndarray:
    """Bias and factors (rows, 1 + k) of the rows of `stars` (nan where unrated).

    Each is a `posterior` over what it has, from the bias and factors of `others` (columns, 1 + k).
    """
    design, rest = np.insert(others[:, 1:], 0, 1, axis=1), stars - mean - others[:, 0]
    rows = zip(~np.isnan(stars), rest, priors, strict=True)
    return np.stack(
        [posterior(design[known], row[known], prior, penalty) for known, row, prior in rows]
    )


def factorized(
    rated: Rated, descriptions: np.ndarray, factors: int, penalty: float, rounds: int, seed: int
) -> Factors:
    """Alternating least squares, each side drawn to what is known of it. Koren et al. (2009).

    The side information sets where a row starts (Agarwal and Chen 2009): its effect is learnt
    anew in each round, by a ridge regression of the factors on it.
    """
    viewer_penalty, film_penalty = (np.array([own] + [penalty] * factors) for own in (8.0, 6.0))
    biases = Biases.learnt(rated)
    start = np.random.default_rng(seed).normal(0, 0.1, (FILMS, factors))
    films = np.column_stack([biases.films, start])
    effects = np.zeros((rated.people.shape[1], 1 + factors))
    seen = rated.known.any(axis=0)
    found = Factors(biases.mean, films, effects, viewer_penalty)
    for _ in range(rounds):
        tastes = found.tastes(rated)
        effects = ridge(rated.people, tastes)
        priors = descriptions @ ridge(descriptions[seen], found.films[seen])
        films = solved(rated.stars.T, biases.mean, tastes, priors, film_penalty)
        found = replace(found, films=films, attributes=effects)
    return found


def ridge(given: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.asarray(Ridge(alpha=20.0, fit_intercept=False).fit(given, wanted).coef_.T)

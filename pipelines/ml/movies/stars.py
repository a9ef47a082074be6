"""Models of the stars that a viewer gives a film: biases, neighbours, and factors."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from sklearn.linear_model import Ridge

from .model import FILMS, posterior
from .rated import Rated

StarModel = Callable[[Rated], np.ndarray]
"""Predicts stars (viewers, 1682) from ratings; not clipped to 1 to 5, so that they can rank."""


@dataclass(frozen=True)
class Biases:
    """Stars are the mean plus a film bias and a viewer bias, both shrunk to zero. Koren (2010)."""

    mean: float
    films: np.ndarray
    viewer_penalty: float = 8.0

    @classmethod
    def fit(cls, rated: Rated, film_penalty: float = 10.0, rounds: int = 10) -> "Biases":
        mean = float(np.nanmean(rated.stars))
        biases = cls(mean, np.zeros(FILMS))
        for _ in range(rounds):
            residual = rated.stars - mean - biases.viewers(rated)[:, None]
            count = rated.known.sum(axis=0)
            biases = cls(mean, np.nansum(residual, axis=0) / (count + film_penalty))
        return biases

    def viewers(self, rated: Rated) -> np.ndarray:
        residual = np.nansum(rated.stars - self.mean - self.films, axis=1)
        return np.asarray(residual / (rated.known.sum(axis=1) + self.viewer_penalty))

    def __call__(self, rated: Rated) -> np.ndarray:
        return np.asarray(self.mean + self.films + self.viewers(rated)[:, None])

    def residuals(self, rated: Rated) -> np.ndarray:
        """Return the stars minus the biases, 0 where unrated: the mean-centred matrix."""
        return np.asarray(np.nan_to_num(rated.stars - self(rated)))


def cosine(left: np.ndarray, right: np.ndarray, shrink: float = 20.0) -> np.ndarray:
    """Return cosines of the rows (left rows, right rows) over the entries that both have.

    They are shrunk by n / (n + shrink) for n shared entries, since two films that three people saw
    are similar by chance. Bell and Koren (2007).
    """
    shared = (left != 0).astype(float) @ (right != 0).astype(float).T
    lengths = np.sqrt((left**2) @ (right != 0).T * ((left != 0) @ (right**2).T))
    return np.asarray((left @ right.T) / np.maximum(lengths, 1e-9) * shared / (shared + shrink))


def shrunk_mean(weights: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Return the weighted mean (columns,) of `residuals` (rows, columns), shrunk to 0."""
    return np.asarray((weights * residuals).sum(axis=0) / (weights.sum(axis=0) + 0.5))


def user_based(rated: Rated, neighbours: int) -> StarModel:
    """Return a model that adds similar viewers' residuals to biases. Herlocker et al. (1999)."""
    biases = Biases.fit(rated)
    residuals = biases.residuals(rated)

    def predict(sent: Rated) -> np.ndarray:
        stars = biases(sent)
        for row, similar in enumerate(cosine(biases.residuals(sent), residuals)):
            order = np.argsort(-similar, kind="stable")
            counted = residuals[order] != 0
            # The nearest `neighbours` who rated the film.
            weights = np.maximum(similar[order, None], 0) * counted
            weights *= np.cumsum(counted, axis=0) <= neighbours
            stars[row] += shrunk_mean(weights, residuals[order])
        return stars

    return predict


def item_based(rated: Rated, neighbours: int) -> StarModel:
    """Return a model that adds the viewer's residuals at similar films. Sarwar et al. (2001)."""
    biases = Biases.fit(rated)
    similar = cosine(biases.residuals(rated).T, biases.residuals(rated).T)

    def predict(sent: Rated) -> np.ndarray:
        stars = biases(sent)
        for row, own in enumerate(biases.residuals(sent)):
            seen = np.flatnonzero(own)
            weights = np.maximum(similar[seen], 0)
            if len(seen) > neighbours:
                least = np.partition(weights, -neighbours, axis=0)[-neighbours]
                weights = np.where(weights >= least, weights, 0)
            stars[row] += shrunk_mean(weights, own[seen, None])
        return stars

    return predict


@dataclass(frozen=True)
class Factors:
    """Stars are mean + film bias + viewer bias + film factors times viewer factors."""

    mean: float
    films: np.ndarray
    attributes: np.ndarray
    viewer_penalty: np.ndarray

    def tastes(self, rated: Rated) -> np.ndarray:
        """Return bias and factors (viewers, 1 + k) of viewers."""
        priors = rated.people @ self.attributes
        return solve_rows(rated.stars, self.mean, self.films, priors, self.viewer_penalty)

    def __call__(self, rated: Rated) -> np.ndarray:
        tastes = self.tastes(rated)
        stars = self.mean + self.films[:, 0] + tastes[:, :1] + tastes[:, 1:] @ self.films[:, 1:].T
        return np.asarray(stars)


def solve_rows(
    stars: np.ndarray, mean: float, others: np.ndarray, priors: np.ndarray, penalty: np.ndarray
) -> np.ndarray:
    """Return bias and factors (rows, 1 + k) of the rows of `stars` (NaN where unrated).

    Each is a `posterior` over the row's ratings, given the bias and factors of `others`
    (columns, 1 + k).
    """
    design, rest = np.insert(others[:, 1:], 0, 1, axis=1), stars - mean - others[:, 0]
    rows = zip(~np.isnan(stars), rest, priors, strict=True)
    return np.stack(
        [posterior(design[known], row[known], prior, penalty) for known, row, prior in rows]
    )


def factorize(
    rated: Rated, descriptions: np.ndarray, factors: int, penalty: float, rounds: int, seed: int
) -> Factors:
    """Return factors fitted by alternating least squares with side information.

    Koren et al. (2009). Viewer attributes and film descriptions set each row's prior (Agarwal and
    Chen 2009); in each round a ridge regression of the factors on them refits their effect.
    """
    viewer_penalty, film_penalty = (np.array([own] + [penalty] * factors) for own in (8.0, 6.0))
    biases = Biases.fit(rated)
    start = np.random.default_rng(seed).normal(0, 0.1, (FILMS, factors))
    films = np.column_stack([biases.films, start])
    effects = np.zeros((rated.people.shape[1], 1 + factors))
    seen = rated.known.any(axis=0)
    model = Factors(biases.mean, films, effects, viewer_penalty)
    for _ in range(rounds):
        tastes = model.tastes(rated)
        effects = ridge(rated.people, tastes)
        priors = descriptions @ ridge(descriptions[seen], model.films[seen])
        films = solve_rows(rated.stars.T, biases.mean, tastes, priors, film_penalty)
        model = replace(model, films=films, attributes=effects)
    return model


def ridge(columns: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return ridge coefficients (columns, targets)."""
    return np.asarray(Ridge(alpha=20.0, fit_intercept=False).fit(columns, targets).coef_.T)

"""Viewers' ratings as a matrix."""

from dataclasses import dataclass

import numpy as np

from slipway.training import Examples

from .data import Truth
from .model import FILMS, Viewer, attributes

# How many ratings are sent, where cold start is measured.
SENT = (0, 1, 2, 5, 10, 20, 50)


@dataclass(frozen=True)
class Rated:
    """The viewer-film matrix: stars (viewers, 1682), nan where unrated, and who they are."""

    stars: np.ndarray
    people: np.ndarray

    @classmethod
    def of(cls, viewers: list[Viewer], ratings: list[dict[int, int]]) -> "Rated":
        stars = np.full((len(viewers), FILMS), np.nan)
        for row, told in enumerate(ratings):
            for film, given in told.items():
                stars[row, film - 1] = given
        return cls(stars, attributes(viewers))

    @classmethod
    def of_all(cls, given: Examples[Viewer, Truth]) -> "Rated":
        """What viewers sent, and what they were asked for."""
        ratings = [sent(viewer) | asked(viewer, truth) for viewer, truth in given]
        return cls.of(given.records, ratings)

    @property
    def known(self) -> np.ndarray:
        return np.asarray(~np.isnan(self.stars))

    def only(self, count: int) -> "Rated":
        """With `count` ratings a viewer, spread evenly over the films they rated."""
        stars = np.full_like(self.stars, np.nan)
        for row, known in enumerate(self.known):
            places = np.flatnonzero(known)
            kept = places[np.linspace(0, len(places) - 1, min(count, len(places))).astype(int)]
            stars[row, kept] = self.stars[row, kept]
        return Rated(stars, self.people)


def sent(viewer: Viewer) -> dict[int, int]:
    return {int(each.film or 0): each.stars for each in viewer.ratings}


def asked(viewer: Viewer, truth: Truth) -> dict[int, int]:
    return dict(zip(viewer.films, truth["stars"], strict=True))

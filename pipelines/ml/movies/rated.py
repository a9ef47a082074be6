"""The matrix of viewers' ratings."""

from dataclasses import dataclass

import numpy as np

from slipway.training import LabelledRows

from .data import Label
from .model import FILMS, Viewer, attributes

# Numbers of ratings sent at which cold start is measured.
SENT = (0, 1, 2, 5, 10, 20, 50)


@dataclass(frozen=True)
class Rated:
    """Stars (viewers, 1682), NaN where unrated, and the viewers' attributes (viewers, 29)."""

    stars: np.ndarray
    people: np.ndarray

    @classmethod
    def from_ratings(cls, viewers: list[Viewer], ratings: list[dict[int, int]]) -> "Rated":
        stars = np.full((len(viewers), FILMS), np.nan)
        for row, stars_by_film in enumerate(ratings):
            for film, given in stars_by_film.items():
                stars[row, film - 1] = given
        return cls(stars, attributes(viewers))

    @classmethod
    def from_labelled_rows(cls, rows: LabelledRows[Viewer, Label]) -> "Rated":
        """Return the matrix of the ratings that viewers sent and those to predict."""
        ratings = [sent_ratings(viewer) | later_ratings(viewer, label) for viewer, label in rows]
        return cls.from_ratings(rows.records, ratings)

    @property
    def known(self) -> np.ndarray:
        return np.asarray(~np.isnan(self.stars))

    def only(self, count: int) -> "Rated":
        """Return the matrix with `count` ratings per viewer, spread evenly over their films."""
        stars = np.full_like(self.stars, np.nan)
        for row, known in enumerate(self.known):
            places = np.flatnonzero(known)
            kept = places[np.linspace(0, len(places) - 1, min(count, len(places))).astype(int)]
            stars[row, kept] = self.stars[row, kept]
        return Rated(stars, self.people)


def sent_ratings(viewer: Viewer) -> dict[int, int]:
    """Return the stars that the viewer sent, by film number."""
    return {int(each.film or 0): each.stars for each in viewer.ratings}


def later_ratings(viewer: Viewer, label: Label) -> dict[int, int]:
    """Return the stars to predict, by film number."""
    return dict(zip(viewer.films, label["stars"], strict=True))

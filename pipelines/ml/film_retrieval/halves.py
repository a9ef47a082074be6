"""Viewers' ratings in two halves: those that are sent, and those that were given next."""

from dataclasses import dataclass

import numpy as np

from slipway.training import Examples

from .data import Truth
from .model import FILMS, LIKED, Past, Viewer, attributes
from .towers import Rated

Case = tuple[Past, np.ndarray]
"""A viewer by their past, and which films they liked next (films,)."""


def cases(sent: np.ndarray, then: np.ndarray, about: np.ndarray) -> list[Case]:
    """Return those who liked a film next.

    `sent` and `then` are stars (viewers, films) sent and given next, `about` is who they are.
    """
    found = []
    for stars, liked, who in zip(sent, then >= LIKED, about, strict=True):
        if liked.any():
            places = np.flatnonzero(stars)
            found.append((Past(places, stars[places].astype(np.int64), who), liked))
    return found


@dataclass(frozen=True)
class Halves:
    """Viewers' stars in the order sent and given next (viewers, films), and who they are."""

    sent: np.ndarray
    then: np.ndarray
    about: np.ndarray

    @classmethod
    def of(cls, rows: Examples[Viewer, Truth]) -> "Halves":
        sent = np.zeros((len(rows), FILMS), dtype=np.float32)
        then = np.zeros_like(sent)
        for row, (viewer, truth) in enumerate(rows):
            for each in viewer.history:
                sent[row, each.film - 1] = each.stars
            then[row, np.array(truth["films"]) - 1] = truth["stars"]
        return cls(sent, then, np.stack([attributes(viewer) for viewer in rows.records]))

    def at(self, rows: np.ndarray | slice) -> "Halves":
        return Halves(self.sent[rows], self.then[rows], self.about[rows])

    @property
    def rated(self) -> Rated:
        return Rated(self.sent + self.then, self.about)

    @property
    def warm(self) -> list[Case]:
        return cases(self.sent, self.then, self.about)

    @property
    def cold(self) -> list[Case]:
        """The same viewers, known by age, gender and occupation alone."""
        return cases(np.zeros_like(self.sent), self.sent + self.then, self.about)

"""Viewers' ratings in two halves: those in the request, and those given next."""

from dataclasses import dataclass

import numpy as np

from slipway.training import LabelledRows

from .data import Label
from .model import FILMS, LIKED, Past, Viewer, attributes
from .towers import Rated

Case = tuple[Past, np.ndarray]
"""A viewer's past, and which films they liked next (films,)."""


def cases(sent: np.ndarray, then: np.ndarray, about: np.ndarray) -> list[Case]:
    """Return the viewers who liked a film next.

    `sent` and `then` are stars (viewers, films) in the request and given next, `about` are their
    attributes.
    """
    liking = []
    for stars, liked, who in zip(sent, then >= LIKED, about, strict=True):
        if liked.any():
            places = np.flatnonzero(stars)
            liking.append((Past(places, stars[places].astype(np.int64), who), liked))
    return liking


@dataclass(frozen=True)
class Halves:
    """Viewers' stars in the request and given next (viewers, films), and their attributes."""

    sent: np.ndarray
    then: np.ndarray
    about: np.ndarray

    @classmethod
    def from_rows(cls, rows: LabelledRows[Viewer, Label]) -> "Halves":
        sent = np.zeros((len(rows), FILMS), dtype=np.float32)
        then = np.zeros_like(sent)
        for row, (viewer, label) in enumerate(rows):
            for each in viewer.history:
                sent[row, each.place] = each.stars
            then[row, np.array(label["films"]) - 1] = label["stars"]
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
        """The same viewers, with age, gender and occupation alone."""
        return cases(np.zeros_like(self.sent), self.sent + self.then, self.about)

"""Which of all films should this viewer be shown, chosen in three stages as for a million films?

Data: MovieLens 100K, 100,000 ratings of 1,682 films by 943 viewers, September 1997 to April 1998.
Task: retrieve ten films that will be liked, out of all; the split is by time. Viewers without a
history and films without a rating are evaluated separately.
Model: two towers map viewer and film to a direction each. The hundred films nearest to the viewer
are ranked by a linear model or a small network, and the first ten are also chosen for diversity. No
viewer is stored: the viewer tower reads the history in the request. A new film needs only year and
genres. Towers and ranker are each the simplest candidate within one standard error of the best.
Limits: films up to 1998, viewers of one American website. The data do not contain which films were
shown, so a film without a rating counts as not liked. A new film's direction is a guess from its
genres and year.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import Model, Record, publish
from slipway.contract.graph import open_graph

from .titles import Titles

FILMS = 1682
LIKED = 4
CANDIDATES = 100
GRAPHS = ("viewer_tower", "film_tower", "ranker")
OCCUPATIONS = (
    "administrator artist doctor educator engineer entertainment executive healthcare homemaker "
    "lawyer librarian marketing none other programmer retired salesman scientist student "
    "technician writer"
).split()
GENRES = (
    "Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir Horror "
    "Musical Mystery Romance Sci-Fi Thriller War Western"
).split()
AGES = (18, 25, 35, 45, 56)
# Half of the films are from 1994 to 1998, so decades alone would be too coarse.
YEARS = (1950, 1960, 1970, 1980, 1990, 1994, 1996, 1997)
UNKNOWN_YEAR = 1996
Run = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
"""A graph: maps float32 inputs by name to outputs by name; the first axis is the rows."""


class Rating(Record):
    """A viewer's rating of a film, which is named by its title or its number."""

    title: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="The film's title, with the year if several have it: Hamlet (1996)",
    )
    film: int | None = Field(
        default=None, ge=1, le=FILMS, description="Or the film's number in MovieLens 100K"
    )
    stars: int = Field(ge=1, le=5)

    @model_validator(mode="after")
    def _names_a_film(self) -> Self:
        if (self.title is None) == (self.film is None):
            raise ValueError("send either title or film")
        return self

    @property
    def place(self) -> int:
        """Return the film's index in the catalogue.

        Raises:
            ValueError: the film is named by its title alone.
        """
        if self.film is None:
            raise ValueError(f"{self.title!r} has no number yet")
        return self.film - 1


class NewFilm(Record):
    """A film that the model was not trained with."""

    title: str = Field(max_length=100)
    year: int | None = Field(default=None, ge=1900, le=2100)
    genres: list[str] = Field(min_length=1, max_length=len(GENRES))

    # Not a pattern on the items, since MLflow derives no signature from annotated items.
    @model_validator(mode="after")
    def _genres_exist(self) -> Self:
        if wrong := [genre for genre in self.genres if genre not in GENRES]:
            raise ValueError(f"genres: unknown genre {wrong[0]!r}; known: {', '.join(GENRES)}")
        return self


class Viewer(Record):
    """A viewer: the ratings so far, in any order, and optional attributes."""

    history: list[Rating] = Field(default=[], max_length=FILMS)
    age: int | None = Field(default=None, ge=5, le=110, description="Years")
    gender: str | None = Field(default=None, pattern="^[FM]$")
    occupation: str | None = Field(default=None, pattern=f"^({'|'.join(OCCUPATIONS)})$")
    new_films: list[NewFilm] = Field(
        default=[], max_length=50, description="Further films to suggest, by their content alone"
    )
    count: int = Field(default=10, ge=1, le=50, description="Number of films to suggest")
    retrieved: int = Field(
        default=0, ge=0, le=CANDIDATES, description="Number of retrieved films to list"
    )

    @model_validator(mode="after")
    def _rates_a_film_once(self) -> Self:
        counts = Counter(each.film or each.title for each in self.history)
        if twice := [film for film, times in counts.items() if times > 1]:
            raise ValueError(f"history: {twice[0]} is rated twice; send each film once")
        return self


class Suggestion(Record):
    """A suggested film with the result of each stage."""

    film: int | None = Field(description="null for one of `new_films`")
    title: str
    year: int | None
    source: str = Field(
        pattern="^(taste|profile|content)$",
        description="Retrieved by the history, without one by the attributes, or as a new film",
    )
    similarity: float = Field(ge=-1.001, le=1.001, description="Cosine of viewer and film")
    retrieved_at: int = Field(ge=1, description="Position after retrieval")
    score: float = Field(
        description="The ranker's score, higher is better; comparable within one prediction only"
    )
    ranked_at: int = Field(ge=1, description="Position after ranking")


class Suggestions(Record):
    """The films to show, in this order, without those that the viewer has rated."""

    suggested: list[Suggestion]
    retrieved: list[int] = Field(description="Film numbers, the nearest first; 0 is a new film")
    history_used: int = Field(ge=0)
    ignored: list[str] = Field(description="Titles that name no film, or one that is rated already")


@dataclass(frozen=True)
class Catalogue:
    """The films (n, ...): directions (n, d) of length 1, and the inputs of the ranker.

    `popularity` is log1p of the number of ratings, and `stars` their mean minus 3.5, shrunk. Both
    are 0 for a film that is not `known`.
    """

    vectors: np.ndarray
    content: np.ndarray
    popularity: np.ndarray
    stars: np.ndarray
    known: np.ndarray

    def __add__(self, other: "Catalogue") -> "Catalogue":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Catalogue(*map(np.concatenate, pairs))

    def at(self, places: np.ndarray) -> "Catalogue":
        return Catalogue(*(each[places] for each in vars(self).values()))


@dataclass(frozen=True)
class Past:
    """A viewer's ratings as catalogue indices (n,) and stars (n,), and attributes (29,)."""

    places: np.ndarray
    stars: np.ndarray
    about: np.ndarray

    @classmethod
    def from_viewer(cls, viewer: Viewer) -> "Past":
        return cls(
            np.array([each.place for each in viewer.history], dtype=np.int64),
            np.array([each.stars for each in viewer.history], dtype=np.int64),
            attributes(viewer),
        )

    @cached_property
    def liked(self) -> np.ndarray:
        return np.asarray(self.places[self.stars >= LIKED])

    @cached_property
    def disliked(self) -> np.ndarray:
        return np.asarray(self.places[self.stars < LIKED])


def attributes(viewer: Viewer) -> np.ndarray:
    """Return age, gender and occupation one-hot (29,), zeros for what is missing."""
    encoded = np.zeros(len(AGES) + 3 + len(OCCUPATIONS), dtype=np.float32)
    if viewer.age is not None:
        encoded[sum(viewer.age >= border for border in AGES)] = 1
    if viewer.gender is not None:
        encoded[len(AGES) + 1 + "FM".index(viewer.gender)] = 1
    if viewer.occupation is not None:
        encoded[len(AGES) + 3 + OCCUPATIONS.index(viewer.occupation)] = 1
    return encoded


def content(genres: list[list[str]], years: list[int | None]) -> np.ndarray:
    """Return genres one-hot, and for each year in `YEARS` whether the film is newer (films, 26)."""
    encoded = [
        [genre in own for genre in GENRES] + [(year or UNKNOWN_YEAR) >= border for border in YEARS]
        for own, year in zip(genres, years, strict=True)
    ]
    return np.array(encoded, dtype=np.float32).reshape(-1, len(GENRES) + len(YEARS))


def mean(rows: np.ndarray) -> np.ndarray:
    """Return the mean of the rows, zero if there are none."""
    return np.asarray(rows.sum(axis=0) / max(len(rows), 1))


def viewer_features(past: Past, catalogue: Catalogue) -> dict[str, np.ndarray]:
    """Return the viewer tower's inputs, one row.

    They are the mean directions of liked and of disliked films, and the attributes.
    """
    pooled = [mean(catalogue.vectors[places]) for places in (past.liked, past.disliked)]
    count = np.array([np.log1p(len(past.places)) / 5])
    return {
        "pooled": np.concatenate(pooled, dtype=np.float32)[None],
        "about": np.concatenate([past.about, count], dtype=np.float32)[None],
    }


def ranking_features(
    past: Past, catalogue: Catalogue, candidates: np.ndarray, similarity: np.ndarray
) -> np.ndarray:
    """Return the ranker's inputs for each candidate of this viewer (candidates, 10)."""
    films, taste = catalogue.at(candidates), mean(catalogue.content[past.liked])
    similarities = films.vectors @ catalogue.vectors[past.liked].T
    closest = np.sort(similarities, axis=1)[:, -3:].sum(axis=1) / 3
    columns = [
        similarity,
        closest,
        films.vectors @ mean(catalogue.vectors[past.liked]),
        films.vectors @ mean(catalogue.vectors[past.disliked]),
        films.content[:, : len(GENRES)] @ taste[: len(GENRES)],
        np.abs(films.content - taste)[:, len(GENRES) :].mean(axis=1),
        films.popularity / 5,
        films.stars,
        films.known,
        np.full(len(candidates), np.log1p(len(past.places)) / 5),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def highest(scores: np.ndarray, seen: np.ndarray, count: int = CANDIDATES) -> np.ndarray:
    """Return the indices of the highest scores, the highest first, without the `seen` ones."""
    left = scores.copy()
    left[seen] = -np.inf
    return np.argsort(-left, kind="stable")[: min(count, len(scores) - len(seen))]


def kinds(described: np.ndarray) -> np.ndarray:
    """Return genres as directions (films, 18), given content (films, 26); zero without a genre."""
    genres = described[:, : len(GENRES)]
    return np.asarray(genres / np.sqrt(np.maximum(genres.sum(axis=1, keepdims=True), 1)))


def rerank(scores: np.ndarray, vectors: np.ndarray, count: int, relevance: float) -> np.ndarray:
    """Return indices (count,) chosen one by one, by score and by difference from those chosen.

    This is maximal marginal relevance (Carbonell and Goldstein 1998); with `relevance` 1 it is the
    ranker's order. Scores are scaled to 0 to 1. The similarity is the highest product of `vectors`,
    which are not negative, with those of the films already chosen.
    """
    scaled = (scores - scores.min()) / (np.ptp(scores) or 1)
    similarity = np.zeros(len(scores), dtype=np.float32)
    chosen: list[int] = []
    while len(chosen) < min(count, len(scores)):
        worth = relevance * scaled - (1 - relevance) * similarity
        worth[chosen] = -np.inf
        chosen.append(int(worth.argmax()))
        similarity = np.maximum(similarity, vectors @ vectors[chosen[-1]])
    return np.array(chosen, dtype=np.int64)


@dataclass(frozen=True)
class Stages:
    """Retrieval, ranking and re-ranking; the graphs are ONNX to serve, or torch for parity."""

    viewer_tower: Run
    film_tower: Run
    ranker: Run
    relevance: float

    def taste(self, past: Past, catalogue: Catalogue) -> np.ndarray:
        """Return the viewer's direction (d,)."""
        return np.asarray(self.viewer_tower(viewer_features(past, catalogue))["direction"][0])

    def retrieve(self, past: Past, catalogue: Catalogue) -> tuple[np.ndarray, np.ndarray]:
        """Return indices of the candidates, the nearest first, and their cosines."""
        taste = self.taste(past, catalogue)
        candidates = highest(catalogue.vectors @ taste, past.places)
        return candidates, catalogue.vectors[candidates] @ taste

    def new_films(self, films: np.ndarray) -> Catalogue:
        """Return unrated films as a catalogue, given their content (n, 26)."""
        unrated = [np.zeros(len(films), dtype=np.float32)] * 3
        return Catalogue(self.film_tower({"content": films})["direction"], films, *unrated)

    def rank(
        self, past: Past, catalogue: Catalogue, candidates: np.ndarray, similarity: np.ndarray
    ) -> np.ndarray:
        """Return the ranker's score of each candidate."""
        features = ranking_features(past, catalogue, candidates, similarity)
        return np.asarray(self.ranker({"features": features})["score"][:, 0])


class FilmRetrieval(Model):
    protected = ("gender",)

    def load(self, weights: Path) -> None:
        """Load the graphs, the catalogue and the titles.

        Raises:
            FileNotFoundError: one of them is missing.
        """
        with np.load(weights / "catalogue.npz") as arrays:
            known = {name: arrays[name] for name in arrays}
        relevance = float(known.pop("relevance"))
        self.catalogue = Catalogue(**known)
        self.films = json.loads((weights / "films.json").read_text())
        self.titles = Titles(self.films, self.catalogue.popularity.tolist())
        graphs = {name: open_graph(weights / f"{name}.onnx").run for name in GRAPHS}
        self.stages = Stages(**graphs, relevance=relevance)

    def predict(self, model_input: list[Viewer]) -> list[Suggestions]:
        return [self.suggest(viewer, self.stages) for viewer in model_input]

    def suggest(self, viewer: Viewer, stages: Stages) -> Suggestions:
        """Return the films for a viewer by the given stages."""
        viewer, ignored = self.with_numbers(viewer)
        past, catalogue = Past.from_viewer(viewer), self.catalogue
        if viewer.new_films:
            genres = [each.genres for each in viewer.new_films]
            described = content(genres, [each.year for each in viewer.new_films])
            catalogue = catalogue + stages.new_films(described)
        candidates, similarity = stages.retrieve(past, catalogue)
        scores = stages.rank(past, catalogue, candidates, similarity)
        ranks = np.argsort(np.argsort(-scores, kind="stable"))
        own = kinds(catalogue.content[candidates])
        suggested = [
            Suggestion(
                **self._named(int(candidates[place]), viewer),
                similarity=float(similarity[place]),
                retrieved_at=place + 1,
                score=float(scores[place]),
                ranked_at=int(ranks[place]) + 1,
            )
            for place in rerank(scores, own, viewer.count, stages.relevance).tolist()
        ]
        numbers = np.where(candidates < FILMS, candidates + 1, 0)
        return Suggestions(
            suggested=suggested,
            retrieved=numbers[: viewer.retrieved].tolist(),
            history_used=len(past.places),
            ignored=ignored,
        )

    def with_numbers(self, viewer: Viewer) -> tuple[Viewer, list[str]]:
        """Return the viewer with every film of the history by number, and the titles left out."""
        history, ignored = [each for each in viewer.history if each.film is not None], []
        rated = {each.place for each in history}
        for each in viewer.history:
            if each.title is None:
                continue
            place = self.titles.find(each.title)
            if place is None or place in rated:
                ignored.append(each.title)
            else:
                rated.add(place)
                history.append(Rating(film=place + 1, stars=each.stars))
        return viewer.model_copy(update={"history": history}), ignored

    def _named(self, place: int, viewer: Viewer) -> dict[str, Any]:
        if place >= FILMS:
            new = viewer.new_films[place - FILMS]
            return {"film": None, "title": new.title, "year": new.year, "source": "content"}
        known, source = self.films[place], "taste" if viewer.history else "profile"
        return {"film": place + 1, "title": known["title"], "year": known["year"], "source": source}


publish(FilmRetrieval())

"""Which films should this viewer see next, and how many stars would they get?

Data: MovieLens 100K, 100,000 ratings of 1,682 films by 943 viewers, September 1997 to April 1998.
Task: stars for films not seen yet, and ten films that will be liked; split by time.
Model: biases and latent factors of viewers and films, learnt by alternating least squares, for
the stars; what viewers of the same films saw (an SVD of the matrix with 0 for unrated) for the
order. Who asks need not be known: factors are worked out from the ratings sent, starting at what
age, gender and occupation suggest; a film that few have rated starts at its genres and decade.
Limits: films to 1998, viewers of one American website. Ratings are of films that were chosen, so
nothing is known of those nobody would choose. Without ratings all get much the same films.
"""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import Model, Record, publish

FILMS = 1682
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


def plain(title: str | None) -> str:
    """A title as it is compared."""
    return (title or "").strip().casefold()


class Rating(Record):
    """Stars that the viewer gave to a film, which is named by its number or its title."""

    film: int | None = Field(default=None, ge=1, le=FILMS, description="Of MovieLens 100K")
    title: str | None = Field(
        default=None,
        max_length=100,
        description="Such as `Hunt for Red October, The`; of films that share it, the one that "
        "more have rated",
    )
    stars: int = Field(ge=1, le=5)

    @model_validator(mode="after")
    def _names_one_film(self) -> Self:
        if (self.film is None) == (self.title is None):
            raise ValueError("name the film by film (its number) or by title, one of the two")
        return self


class Viewer(Record):
    """Who asks: their ratings so far, in any order, and what they like to tell of themselves."""

    ratings: list[Rating] = Field(default=[], max_length=2000)
    age: int | None = Field(default=None, ge=5, le=110, description="Years")
    gender: str | None = Field(default=None, pattern="^[FM]$")
    occupation: str | None = Field(default=None, pattern=f"^({'|'.join(OCCUPATIONS)})$")
    genre: str | None = Field(
        default=None, pattern=f"^({'|'.join(GENRES)})$", description="Suggest only films of it"
    )
    films: list[int] = Field(
        default=[], max_length=FILMS, description="Numbers of films whose stars are asked for"
    )
    count: int = Field(default=10, ge=1, le=100, description="How many films to suggest")

    @model_validator(mode="after")
    def _films_exist_and_are_rated_once(self) -> Self:
        if wrong := [film for film in self.films if not 1 <= film <= FILMS]:
            raise ValueError(f"films: no film {wrong[0]}; numbers go from 1 to {FILMS}")
        rated = [each.film or plain(each.title) for each in self.ratings]
        if twice := [film for film, times in Counter(rated).items() if times > 1]:
            raise ValueError(f"ratings: {twice[0]!r} is rated twice; send each film once")
        return self


class Film(Record):
    """A film and how many stars the viewer is expected to give it."""

    film: int
    title: str
    year: int | None
    stars: float = Field(ge=1, le=5)


class Suggestions(Record):
    """Films to see next, the best first, none of them rated by the viewer already."""

    suggested: list[Film]
    asked: list[Film] = Field(description="In the order of `films` in the question")
    mean_stars: float | None = Field(description="Over the films asked for")
    ratings_used: int = Field(ge=0, description="0: by attributes and popularity alone")
    unknown_titles: list[str] = Field(description="Titles sent that no film has; left out")


def attributes(viewers: list[Viewer]) -> np.ndarray:
    """Age, gender and occupation one-hot (viewers, 29); all zero for what is not told."""
    columns = np.zeros((len(viewers), len(AGES) + 3 + len(OCCUPATIONS)))
    for row, told in enumerate(viewers):
        if told.age is not None:
            columns[row, sum(told.age >= border for border in AGES)] = 1
        if told.gender is not None:
            columns[row, len(AGES) + 1 + "FM".index(told.gender)] = 1
        if told.occupation is not None:
            columns[row, len(AGES) + 3 + OCCUPATIONS.index(told.occupation)] = 1
    return columns


def posterior(
    design: np.ndarray, target: np.ndarray, prior: np.ndarray, penalty: np.ndarray
) -> np.ndarray:
    """Coefficients (k,) of least squares that are drawn to `prior`, each as hard as its penalty.

    The ridge regression of one row of a factorization; with no rows in `design` the prior itself.
    """
    surprise = design.T @ (target - design @ prior)
    return np.asarray(prior + np.linalg.solve(design.T @ design + np.diag(penalty), surprise))


class Movies(Model):
    protected = ("gender",)

    def load(self, weights: Path) -> None:
        with np.load(weights / "factors.npz") as arrays:
            self._arrays = {name: arrays[name].astype(np.float64) for name in arrays}
        self._films = json.loads((weights / "films.json").read_text())
        # Titles are shared by remakes, and by films that stand twice in the data.
        ranked = np.argsort(self._arrays["popularity"], kind="stable").tolist()
        self._places = {plain(self._films[place]["title"]): place for place in ranked}
        names = [(each["title"], each["year"]) for each in self._films]
        first = {name: place for place, name in reversed([*enumerate(names)])}
        # The first place of the same film.
        self._same = np.array([first[name] for name in names])
        self._genres = {
            genre: np.array([genre in each["genres"] for each in self._films]) for genre in GENRES
        }

    def predict(self, model_input: list[Viewer]) -> list[Suggestions]:
        return [self.answer(viewer, *self.judged(viewer)) for viewer in model_input]

    def sent(self, viewer: Viewer) -> dict[int, float]:
        """Stars by the film's place, titles looked up; titles that no film has are left out.

        What is sent of one film under its number and its title is averaged.
        """
        given: dict[int, list[int]] = defaultdict(list)
        for each in viewer.ratings:
            place = self._places.get(plain(each.title)) if each.film is None else each.film - 1
            if place is not None:
                given[place].append(each.stars)
        return {place: sum(stars) / len(stars) for place, stars in given.items()}

    def judged(self, viewer: Viewer) -> tuple[np.ndarray, np.ndarray]:
        """Stars expected of each film, not cut off at 1 and 5, and what orders them (1682,)."""
        arrays, sent = self._arrays, self.sent(viewer)
        films, places, given = arrays["films"], list(sent), np.array(list(sent.values()))
        prior = attributes([viewer])[0] @ arrays["attributes"]
        rest = given - arrays["mean"] - films[places, 0]
        design = np.insert(films[places, 1:], 0, 1, axis=1)
        taste = posterior(design, rest, prior, arrays["viewer_penalty"])
        stars = arrays["mean"] + films[:, 0] + taste[0] + films[:, 1:] @ taste[1:]
        seen_by_alike = arrays["axes"] @ (given @ arrays["axes"][places])
        stars_weight, popularity_weight = arrays["order_weights"]
        order = stars_weight * stars + popularity_weight * arrays["popularity"]
        return stars, seen_by_alike + order

    def answer(self, viewer: Viewer, stars: np.ndarray, order: np.ndarray) -> Suggestions:
        """The films of the highest `order` that were not rated, each once, and those asked for."""
        sent = self.sent(viewer)
        may = ~np.isin(self._same, self._same[list(sent)])
        if viewer.genre is not None:
            may &= self._genres[viewer.genre]
        ranked = np.argsort(-order, kind="stable")
        ranked = ranked[may[ranked]]
        once = np.sort(np.unique(self._same[ranked], return_index=True)[1])
        best = ranked[once][: viewer.count].tolist()
        stars = np.clip(stars, 1, 5)
        asked = [film - 1 for film in viewer.films]
        titles = [each.title for each in viewer.ratings if each.title is not None]
        return Suggestions(
            suggested=[self._film(place, stars) for place in best],
            asked=[self._film(place, stars) for place in asked],
            mean_stars=float(stars[asked].mean()) if asked else None,
            ratings_used=len(sent),
            unknown_titles=[title for title in titles if plain(title) not in self._places],
        )

    def _film(self, place: int, stars: np.ndarray) -> Film:
        known = self._films[place]
        return Film(film=place + 1, title=known["title"], year=known["year"], stars=stars[place])


publish(Movies())

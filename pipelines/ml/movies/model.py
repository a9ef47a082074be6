"""Which films should this viewer see next, and how many stars would they get?

Data: MovieLens 100K, 100,000 ratings of 1,682 films by 943 viewers, September 1997 to April 1998.
Task: stars for films not seen yet, and ten films that will be liked; split by time.
Model: biases and latent factors of viewers and films, fitted by alternating least squares, predict
the stars. An SVD of the matrix with 0 for unrated, which reflects who sees which films, gives the
order. Viewers need not be known: their factors are computed from the ratings sent, with a prior
from age, gender and occupation. A film with few ratings has a prior from its genres and decade.
Limits: films to 1998, viewers of one American website. Viewers chose the films that they rated, so
films that nobody would choose are unknown. Without ratings all viewers get similar films.
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
    """Return the title in the form in which titles are compared."""
    return (title or "").strip().casefold()


class Rating(Record):
    """Stars that the viewer gave to a film, identified by its number or its title."""

    film: int | None = Field(default=None, ge=1, le=FILMS, description="Number in MovieLens 100K")
    title: str | None = Field(
        default=None,
        max_length=100,
        description="Such as `Hunt for Red October, The`; if several films share it, the one with "
        "more ratings is meant",
    )
    stars: int = Field(ge=1, le=5)

    @model_validator(mode="after")
    def _names_one_film(self) -> Self:
        if (self.film is None) == (self.title is None):
            raise ValueError("name the film by film (its number) or by title, one of the two")
        return self


class Viewer(Record):
    """A viewer: their ratings so far, in any order, and optional attributes."""

    ratings: list[Rating] = Field(default=[], max_length=2000)
    age: int | None = Field(default=None, ge=5, le=110, description="Years")
    gender: str | None = Field(default=None, pattern="^[FM]$")
    occupation: str | None = Field(default=None, pattern=f"^({'|'.join(OCCUPATIONS)})$")
    genre: str | None = Field(
        default=None,
        pattern=f"^({'|'.join(GENRES)})$",
        description="Suggest only films of this genre",
    )
    films: list[int] = Field(
        default=[], max_length=FILMS, description="Numbers of films whose stars to predict"
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
    """A film, and the number of stars that the viewer is expected to give it."""

    film: int
    title: str
    year: int | None
    stars: float = Field(ge=1, le=5)


class Suggestions(Record):
    """Films to see next, the best first, without those that the viewer has rated."""

    suggested: list[Film]
    requested: list[Film] = Field(description="The requested `films`, in their order")
    mean_stars: float | None = Field(description="Mean over the requested films")
    ratings_used: int = Field(ge=0, description="0: predicted from attributes and popularity alone")
    unknown_titles: list[str] = Field(description="Titles sent that match no film and are ignored")


def attributes(viewers: list[Viewer]) -> np.ndarray:
    """Return one-hot age, gender and occupation (viewers, 29), all zero where not given."""
    columns = np.zeros((len(viewers), len(AGES) + 3 + len(OCCUPATIONS)))
    for row, viewer in enumerate(viewers):
        if viewer.age is not None:
            columns[row, sum(viewer.age >= border for border in AGES)] = 1
        if viewer.gender is not None:
            columns[row, len(AGES) + 1 + "FM".index(viewer.gender)] = 1
        if viewer.occupation is not None:
            columns[row, len(AGES) + 3 + OCCUPATIONS.index(viewer.occupation)] = 1
    return columns


def posterior(
    design: np.ndarray, target: np.ndarray, prior: np.ndarray, penalty: np.ndarray
) -> np.ndarray:
    """Return coefficients (k,) of least squares shrunk towards `prior` by their penalties.

    This is the ridge regression of one row of a factorization. Without rows in `design` it returns
    the prior.
    """
    residual = design.T @ (target - design @ prior)
    return np.asarray(prior + np.linalg.solve(design.T @ design + np.diag(penalty), residual))


class Movies(Model):
    protected = ("gender",)

    def load(self, weights: Path) -> None:
        with np.load(weights / "factors.npz") as arrays:
            self._arrays = {name: arrays[name].astype(np.float64) for name in arrays}
        self._films = json.loads((weights / "films.json").read_text())
        # Remakes share titles, and so do films that the data contain twice.
        ranked = np.argsort(self._arrays["popularity"], kind="stable").tolist()
        self._places = {plain(self._films[place]["title"]): place for place in ranked}
        names = [(each["title"], each["year"]) for each in self._films]
        first = {name: place for place, name in reversed([*enumerate(names)])}
        # The first position of the same film.
        self._same = np.array([first[name] for name in names])
        self._genres = {
            genre: np.array([genre in each["genres"] for each in self._films]) for genre in GENRES
        }

    def predict(self, model_input: list[Viewer]) -> list[Suggestions]:
        return [self.suggest(viewer, *self.score_films(viewer)) for viewer in model_input]

    def sent_stars(self, viewer: Viewer) -> dict[int, float]:
        """Return stars by the film's position; titles are looked up, unknown ones left out.

        Ratings of one film under both its number and its title are averaged.
        """
        given: dict[int, list[int]] = defaultdict(list)
        for each in viewer.ratings:
            place = self._places.get(plain(each.title)) if each.film is None else each.film - 1
            if place is not None:
                given[place].append(each.stars)
        return {place: sum(stars) / len(stars) for place, stars in given.items()}

    def score_films(self, viewer: Viewer) -> tuple[np.ndarray, np.ndarray]:
        """Return each film's expected stars, not clipped to 1 to 5, and its order score (1682,)."""
        arrays, sent = self._arrays, self.sent_stars(viewer)
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

    def suggest(self, viewer: Viewer, stars: np.ndarray, order: np.ndarray) -> Suggestions:
        """Return the unrated films with the highest `order`, each once, and the requested films."""
        sent = self.sent_stars(viewer)
        allowed = ~np.isin(self._same, self._same[list(sent)])
        if viewer.genre is not None:
            allowed &= self._genres[viewer.genre]
        ranked = np.argsort(-order, kind="stable")
        ranked = ranked[allowed[ranked]]
        once = np.sort(np.unique(self._same[ranked], return_index=True)[1])
        suggested = ranked[once][: viewer.count].tolist()
        stars = np.clip(stars, 1, 5)
        requested = [film - 1 for film in viewer.films]
        titles = [each.title for each in viewer.ratings if each.title is not None]
        return Suggestions(
            suggested=[self._film(place, stars) for place in suggested],
            requested=[self._film(place, stars) for place in requested],
            mean_stars=float(stars[requested].mean()) if requested else None,
            ratings_used=len(sent),
            unknown_titles=[title for title in titles if plain(title) not in self._places],
        )

    def _film(self, place: int, stars: np.ndarray) -> Film:
        known = self._films[place]
        return Film(film=place + 1, title=known["title"], year=known["year"], stars=stars[place])


publish(Movies())

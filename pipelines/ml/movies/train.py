"""Neighbours against factors: who rates alike, what is rated alike, and a factorization.

Every candidate learns from the earlier viewers' ratings and is asked about the later viewers, of
whom it is sent the earlier half of their ratings: so it is used, and so the test asks.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.sparse.linalg import svds
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.datasets import fetch
from slipway.training import Candidate, Evaluation, Examples, Fitted, plots

from .data import Truth, table
from .model import FILMS, GENRES, Movies, Suggestions, Viewer, attributes, posterior

AT = 10
LIKED = 4
# How many ratings are sent, where cold start is measured.
SENT = (0, 1, 2, 5, 10, 20, 50)
STARS_WEIGHTS, POPULARITY_WEIGHTS = (0.1, 0.2, 0.4, 0.8), (0.05, 0.1, 0.2, 0.4)
FILM_COUNTS = (1, 5, 20, 100)
DECADES = (1950, 1960, 1970, 1980, 1990)


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
        people = attributes([(each.age, each.gender, each.occupation) for each in viewers])
        return cls(stars, people)

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
            order = np.argsort(-similar)
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
        design = np.concatenate([np.ones((FILMS, 1)), self.films[:, 1:]], axis=1)
        rest = rated.stars - self.mean - self.films[:, 0]
        return solved(design, rest, rated.people @ self.attributes, self.viewer_penalty)

    def __call__(self, rated: Rated) -> np.ndarray:
        tastes = self.tastes(rated)
        stars = self.mean + self.films[:, 0] + tastes[:, :1] + tastes[:, 1:] @ self.films[:, 1:].T
        return np.asarray(stars)


def solved(
    design: np.ndarray, targets: np.ndarray, priors: np.ndarray, penalty: np.ndarray
) -> np.ndarray:
    """A `posterior` for each row of `targets`, over what it has (not nan)."""
    known = ~np.isnan(targets)
    return np.stack(
        [
            posterior(design[here], target[here], prior, penalty)
            for here, target, prior in zip(known, targets, priors, strict=True)
        ]
    )


def factorized(
    rated: Rated, descriptions: np.ndarray, factors: int, penalty: float, rounds: int, seed: int
) -> Factors:
    """Alternating least squares, each side drawn to what is known of it. Koren et al. (2009).

    The side information sets where a row starts (Agarwal and Chen 2009): its effect is learnt
    anew in each round, by a ridge regression of the factors on it.
    """
    rng = np.random.default_rng(seed)
    mean = float(np.nanmean(rated.stars))
    viewer_penalty = np.array([8.0] + [penalty] * factors)
    film_penalty = np.array([6.0] + [penalty] * factors)
    films = np.concatenate(
        [Biases.learnt(rated).films[:, None], rng.normal(0, 0.1, (FILMS, factors))], axis=1
    )
    effects = np.zeros((rated.people.shape[1], 1 + factors))
    seen = rated.known.any(axis=0)
    found = Factors(mean, films, effects, viewer_penalty)
    for _ in range(rounds):
        tastes = found.tastes(rated)
        effects = ridge(rated.people, tastes)
        priors = descriptions @ ridge(descriptions[seen], found.films[seen])
        design = np.concatenate([np.ones((len(tastes), 1)), tastes[:, 1:]], axis=1)
        films = solved(design, (rated.stars - mean - tastes[:, :1]).T, priors, film_penalty)
        found = Factors(mean, films, effects, viewer_penalty)
    return found


def ridge(given: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.asarray(Ridge(alpha=20.0, fit_intercept=False).fit(given, wanted).coef_.T)


def axes_of(rated: Rated, factors: int) -> np.ndarray:
    """Right singular vectors (1682, k) of the matrix with 0 for unrated. Cremonesi et al. (2010).

    A viewer's stars projected on them rank the films: it tells who sees what, and no stars.
    """
    return np.asarray(svds(np.nan_to_num(rated.stars), k=factors, random_state=0)[2].T)


@dataclass(frozen=True)
class Order:
    """What is suggested first: films that go with those rated, of many stars, and popular."""

    axes: np.ndarray
    popularity: np.ndarray
    weights: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def learnt(cls, rated: Rated, factors: int) -> "Order":
        return cls(axes_of(rated, factors), np.log1p(rated.known.sum(axis=0)))

    def __call__(self, sent: Rated, stars: np.ndarray) -> np.ndarray:
        alike = np.nan_to_num(sent.stars) @ self.axes @ self.axes.T
        return np.asarray(alike + self.weights[0] * stars + self.weights[1] * self.popularity)

    def tuned(self, sent: Rated, stars: np.ndarray, then: Rated) -> "Order":
        """With the weights of the highest precision."""
        grid = [replace(self, weights=(a, b)) for a in STARS_WEIGHTS for b in POPULARITY_WEIGHTS]
        return max(grid, key=lambda each: precision(each(sent, stars), sent, then))


def descriptions(films: list[dict[str, Any]]) -> np.ndarray:
    """Genres and decade of the films, and 1 (films, 24)."""
    rows = [
        [genre in film["genres"] for genre in GENRES]
        + [(film["year"] or 1996) >= border for border in DECADES]
        + [True]
        for film in films
    ]
    return np.array(rows, dtype=np.float64)


def catalogue() -> list[dict[str, Any]]:
    """Number, title, year and genres of every film."""
    frame = table(fetch("movielens_100k"), "films.tsv").sort_values("item_id")
    return [
        {
            "title": row["movie_title"],
            "year": int(row["release_year"]) if row["release_year"].isdigit() else None,
            "genres": row["class"].split(" "),
        }
        for row in frame.to_dict("records")
    ]


def rmse(stars: np.ndarray, then: Rated) -> float:
    told = np.clip(stars, 1, 5)[then.known]
    return float(np.sqrt(np.mean((told - then.stars[then.known]) ** 2)))


def precision(order: np.ndarray, sent: Rated, then: Rated) -> float:
    """Of the ten films first in order that were not rated before, how many were liked later.

    A film that was never rated counts as not liked, so the figure is a lower bound.
    """
    best = np.argsort(-np.where(sent.known, -np.inf, order), axis=1, kind="stable")[:, :AT]
    return float(np.take_along_axis(then.stars >= LIKED, best, axis=1).mean())


Learn = Callable[[Rated], Answer]


def learners(films: np.ndarray, factors: list[int], rounds: int, seed: int) -> dict[str, Learn]:
    found: dict[str, Learn] = {
        "baseline": Biases.learnt,
        "user_based": lambda rated: user_based(rated, 40),
        "item_based": lambda rated: item_based(rated, 40),
    }
    for count in factors:
        found[f"svd_{count}"] = lambda rated, count=count: factorized(  # type: ignore[misc]
            rated, films, count, 10.0, rounds, seed
        )
    return found


def scattered(rated: Rated, share: float, seed: int) -> tuple[Rated, Rated]:
    """Ratings kept, and ratings held out at random, the past mixed with the future.

    It is not how the model is used; most published figures for this data are of such splits.
    """
    held = rated.known & (np.random.default_rng(seed).random(rated.stars.shape) < share)
    stars = rated.stars
    return (
        Rated(np.where(held, np.nan, stars), rated.people),
        Rated(np.where(held, stars, np.nan), rated.people),
    )


# Thousands of small systems: a second thread costs more than it brings.
@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator]
def fit(
    *,
    train: Examples[Viewer, Truth],
    weights: Path,
    seed: int,
    validation_share: float,
    factors: list[int],
    order_factors: int,
    rounds: int,
) -> Fitted:
    """Choose by RMSE on the later viewers, then the order of films by precision among ten.

    Neighbours are compared and not served: a server of theirs would hold who rated what.
    """
    cut = int(len(train) * (1 - validation_share))
    known = [{**sent(viewer), **asked(viewer, truth)} for viewer, truth in train]
    past = Rated.of(train.records[:cut], known[:cut])
    later = train.records[cut:]
    asking = Rated.of(later, [sent(viewer) for viewer in later])
    then = Rated.of(later, [asked(*each) for each in list(train)[cut:]])
    everything = Rated.of(train.records, known)
    kept, held = scattered(everything, 0.1, seed)
    films = catalogue()
    taught = learners(descriptions(films), factors, rounds, seed)
    tried, answers = [], {}
    for name, learn in taught.items():
        answer = learn(past)
        answers[name] = answer(asking)
        figures = {
            "rmse": rmse(answers[name], then),
            "precision_at_10": precision(answers[name], asking, then),
            "rmse_random_split": rmse(learn(kept)(kept), held),
        }
        by_sent = [rmse(answer(asking.only(count)), then) for count in SENT]
        curves = {
            "rmse_by_ratings_sent": by_sent,
            "rmse_by_film": by_film(answers[name], past, then),
        }
        tried.append(Candidate(name, figures, {"order": "stars"}, curves))
    order = Order.learnt(past, order_factors)
    rankings = {"popularity": np.tile(order.popularity, (len(later), 1))}
    rankings["pure_svd"] = order(asking, answers["baseline"])
    for name, ranking in rankings.items():
        found = {"precision_at_10": precision(ranking, asking, then)}
        tried.append(Candidate(name, found, {"order": name}))
    servable = [each for each in tried if each.name.startswith("svd_")]
    best = min(servable, key=lambda each: each.metrics["rmse"])
    tuned = order.tuned(asking, answers[best.name], then)
    told = {
        **best.metrics,
        "precision_at_10": precision(tuned(asking, answers[best.name]), asking, then),
    }
    chosen = f"{best.name}_ordered"
    tried.append(Candidate(chosen, told, {"order": list(tuned.weights)}, best.curves))
    model = taught[best.name](everything)
    assert isinstance(model, Factors)
    served = replace(Order.learnt(everything, order_factors), weights=tuned.weights)
    write(model, served, films, weights)

    def native(viewers: list[Viewer]) -> list[Suggestions]:
        writer = Movies()
        writer.load(weights)
        matrix = Rated.of(viewers, [sent(viewer) for viewer in viewers])
        stars = model(matrix)
        orders = served(matrix, stars)
        rows = zip(viewers, stars, orders, strict=True)
        return [writer.answer(*row) for row in rows]

    return Fitted(tried, chosen, native)


def by_film(stars: np.ndarray, past: Rated, then: Rated) -> list[float]:
    """RMSE over films of 0, 1 to 4, 5 to 19, 20 to 99 and 100 or more ratings so far.

    None at all where few viewers leave one of these without a film to be judged by.
    """
    group = np.digitize(past.known.sum(axis=0), FILM_COUNTS)
    found = []
    for place in range(len(FILM_COUNTS) + 1):
        columns = group == place
        there = Rated(then.stars[:, columns], then.people)
        if not there.known.any():
            return []
        found.append(rmse(stars[:, columns], there))
    return found


def write(model: Factors, order: Order, films: list[dict[str, Any]], weights: Path) -> None:
    np.savez(
        weights / "factors.npz",
        mean=model.mean,
        films=model.films,
        attributes=model.attributes,
        viewer_penalty=model.viewer_penalty,
        axes=order.axes,
        popularity=order.popularity,
        order_weights=order.weights,
    )
    (weights / "films.json").write_text(json.dumps(films, ensure_ascii=False) + "\n")


def score(*, answers: list[Suggestions], truths: list[Truth]) -> dict[str, float]:
    told = np.array([film.stars for answer in answers for film in answer.asked])
    given = np.array([stars for truth in truths for stars in truth["stars"]])
    hits, suggested = [], set()
    for answer, truth in zip(answers, truths, strict=True):
        rated = dict(zip((film.film for film in answer.asked), truth["stars"], strict=True))
        best = [film.film for film in answer.suggested[:AT]]
        hits.append(sum(rated.get(film, 0) >= LIKED for film in best) / AT)
        suggested |= set(best)
    return {
        "rmse": float(np.sqrt(np.mean((told - given) ** 2))),
        "mae": float(np.mean(np.abs(told - given))),
        "precision_at_10": float(np.mean(hits)),
        "catalogue_suggested": len(suggested) / FILMS,
        "mean_stars_error": float(told.mean() - given.mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (left, right) = plots.panels(2)
    ranked(left, evaluation)
    by_split(right, evaluation)
    yield "precision", figure
    figure, (left, right) = plots.panels(2)
    labels = [str(count) for count in SENT]
    curve(left, evaluation.candidates, "rmse_by_ratings_sent", labels)
    left.set(xlabel="ratings sent", title="A new viewer (validation)")
    labels = ["0", "1-4", "5-19", "20-99", "100+"]
    curve(right, evaluation.candidates, "rmse_by_film", labels)
    right.set(xlabel="ratings of the film so far", title="A new film (validation)")
    yield "cold_start", figure
    known = [{**sent(viewer), **asked(viewer, truth)} for viewer, truth in evaluation.train]
    rated = Rated.of(evaluation.train.records, known)
    yield "matrix", matrix(rated)
    yield "similarity", similarity(rated, evaluation.weights)


def ranked(axes: Axes, evaluation: Evaluation) -> None:
    told = {each.name: each.metrics["precision_at_10"] for each in evaluation.candidates}
    colours = [plots.ACCENT if name == evaluation.chosen else plots.PALE for name in told]
    axes.bar_label(axes.barh(list(told), list(told.values()), color=colours), fmt=" %.3f")
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_title("Precision among the first ten (validation)")


def by_split(axes: Axes, evaluation: Evaluation) -> None:
    told = [each for each in evaluation.candidates if "rmse" in each.metrics]
    places = np.arange(len(told))
    for shift, metric, label, colour in (
        (-0.2, "rmse", "later viewers (what counts here)", plots.ACCENT),
        (0.2, "rmse_random_split", "ratings held out at random", plots.PALE),
    ):
        values = [each.metrics[metric] for each in told]
        axes.barh(places + shift, values, height=0.4, label=label, color=colour)
    axes.set_yticks(places, [each.name for each in told])
    axes.invert_yaxis()
    axes.set_xlim(left=0.85)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.4, -0.08), ncols=2)
    axes.set_title("RMSE by how one holds out")


def curve(axes: Axes, tried: list[Candidate], name: str, labels: list[str]) -> None:
    for each in tried:
        if each.curves.get(name) and not each.name.endswith("_ordered"):
            axes.plot(labels, each.curves[name], marker="o", markersize=3, label=each.name)
    axes.set_ylabel("RMSE")
    axes.legend(frameon=False)


def matrix(rated: Rated) -> Figure:
    """Who rated what, both in the order of how many ratings they have."""
    known = rated.known
    figure, (left, right) = plots.panels(2)
    viewers, films = (np.argsort(-known.sum(axis=axis), kind="stable") for axis in (1, 0))
    left.imshow(rated.stars[viewers][:, films], aspect="auto", cmap="GnBu", interpolation="nearest")
    left.set(xlabel="films", ylabel="viewers", title=f"Stars: {known.mean():.1%} are known")
    right.plot(np.sort(known.sum(axis=0))[::-1], color=plots.ACCENT, label="of a film")
    right.plot(np.sort(known.sum(axis=1))[::-1], color=plots.INK, label="of a viewer")
    right.set(yscale="log", xlabel="rank", title="Ratings")
    right.legend(frameon=False)
    return figure


def similarity(rated: Rated, weights: Path, count: int = 16) -> Figure:
    """Cosines of the mean-centred columns of the most rated films, the alike side by side."""
    films = json.loads((weights / "films.json").read_text())
    best = np.argsort(-rated.known.sum(axis=0), kind="stable")[:count]
    columns = Biases.learnt(rated).rest(rated).T[best]
    alike = cosine(columns, columns)
    np.fill_diagonal(alike, np.nan)
    order = np.argsort(np.linalg.eigh(np.nan_to_num(alike))[1][:, -1], kind="stable")
    figure, (axes,) = plots.panels(1, height=4.6)
    figure.set_figwidth(6.4)
    shown = axes.imshow(alike[order][:, order], cmap="RdBu", vmin=-0.4, vmax=0.4)
    names = [films[place]["title"] for place in best[order]]
    axes.set_xticks(range(len(best)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(best)), names)
    figure.colorbar(shown, ax=axes, shrink=0.8)
    axes.set_title("Cosine similarity of the most rated films")
    return figure

"""Fit neighbours, factors and an order of films to MovieLens, and compare them on later viewers.

Every candidate learns from the earlier viewers' ratings, and predicts the later half of a later
viewer's ratings from the earlier half, as it does in service and on the test rows. The fewest
factors within one standard error of the lowest RMSE are served.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.datasets import fetch
from slipway.training import Candidate, Examples, Fitted
from slipway.training.arrays import write_arrays
from slipway.training.selection import bootstrap_error, simplest_within_error

from .data import Truth, table
from .model import GENRES, Movies, Suggestions, Viewer
from .order import Order, precision
from .rated import SENT, Rated, asked, sent
from .stars import Answer, Biases, Factors, factorized, item_based, user_based

FILM_COUNTS = (1, 5, 20, 100)
DECADES = (1950, 1960, 1970, 1980, 1990)


def descriptions(films: list[dict[str, Any]]) -> np.ndarray:
    """Genres and decade of the films, and 1 (films, 24)."""
    genres = [[genre in film["genres"] for genre in GENRES] for film in films]
    years = np.array([film["year"] or 1996 for film in films])[:, None]
    return np.column_stack([genres, years >= DECADES, np.ones(len(films))])


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
    squared = (np.clip(stars, 1, 5)[then.known] - then.stars[then.known]) ** 2
    return float(np.sqrt(np.mean(squared)))


def rmse_error(stars: np.ndarray, then: Rated, seed: int) -> float:
    """Return the standard error of `rmse`, by resampling viewers: one viewer's errors are alike."""
    squared = np.nansum((np.clip(stars, 1, 5) - then.stars) ** 2, axis=1)
    counts = then.known.sum(axis=1)

    def of_viewers(places: np.ndarray) -> float:
        return float(np.sqrt(squared[places].sum() / counts[places].sum()))

    return bootstrap_error(of_viewers, len(squared), seed=seed)


def learners(
    films: np.ndarray, factors: list[int], rounds: int, seed: int
) -> dict[str, Callable[[Rated], Answer]]:
    """Return what learns stars, by name; factorizations stand last, from the fewest factors on."""
    svd = partial(factorized, descriptions=films, penalty=10.0, rounds=rounds, seed=seed)
    return {
        "baseline": Biases.learnt,
        "user_based": partial(user_based, neighbours=40),
        "item_based": partial(item_based, neighbours=40),
        **{f"svd_{count}": partial(svd, factors=count) for count in sorted(factors)},
    }


def scattered(rated: Rated, share: float, seed: int) -> tuple[Rated, Rated]:
    """Ratings kept, and ratings held out at random, the past mixed with the future.

    It is not how the model is used; most published figures for this data are of such splits.
    """
    held = np.random.default_rng(seed).random(rated.stars.shape) < share
    kept, out = np.where(held, np.nan, rated.stars), np.where(held, rated.stars, np.nan)
    return Rated(kept, rated.people), Rated(out, rated.people)


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
    later = Examples(train.records[cut:], train.truths[cut:])
    past, everything = Rated.of_all(train.head(cut)), Rated.of_all(train)
    asking = Rated.of(later.records, [sent(viewer) for viewer in later.records])
    then = Rated.of(later.records, [asked(*each) for each in later])
    kept, held = scattered(everything, 0.1, seed)
    films = catalogue()
    taught = learners(descriptions(films), factors, rounds, seed)
    tried, answers = [], {}
    for name, learn in taught.items():
        answer = learn(past)
        stars = answers[name] = answer(asking)
        figures = {
            "rmse": rmse(stars, then),
            "precision_at_10": precision(stars, asking, then),
            "rmse_random_split": rmse(learn(kept)(kept), held),
            "rmse_se": rmse_error(stars, then, seed),
        }
        curves = {
            "rmse_by_ratings_sent": [rmse(answer(asking.only(count)), then) for count in SENT],
            "rmse_by_film": by_film(stars, past, then),
        }
        tried.append(Candidate(name, figures, {"order": "stars"}, curves))
    servable = [each for each in tried if each.name.startswith("svd_")]
    best = simplest_within_error(servable, "rmse", best="lowest")
    order = Order.learnt(past, order_factors)
    rankings = {"popularity": order.popularity, "pure_svd": order(asking, answers["baseline"])}
    for name, ranking in rankings.items():
        figures = {"precision_at_10": precision(ranking, asking, then)}
        tried.append(Candidate(name, figures, {"order": name}))
    chosen, stars = f"{best.name}_ordered", answers[best.name]
    tuned = order.tuned(asking, stars, then)
    figures = best.metrics | {"precision_at_10": precision(tuned(asking, stars), asking, then)}
    tried.append(Candidate(chosen, figures, {"order": list(tuned.order_weights)}, best.curves))
    model = taught[best.name](everything)
    assert isinstance(model, Factors)
    served = replace(Order.learnt(everything, order_factors), order_weights=tuned.order_weights)
    # As model.py names them.
    write_arrays(weights / "factors.npz", **vars(model), **vars(served))
    (weights / "films.json").write_text(json.dumps(films, ensure_ascii=False) + "\n")

    def native(viewers: list[Viewer]) -> list[Suggestions]:
        writer = Movies()
        writer.load(weights)
        matrix = Rated.of(viewers, [sent(viewer) for viewer in viewers])
        stars = model(matrix)
        rows = zip(viewers, stars, served(matrix, stars), strict=True)
        return [writer.answer(*row) for row in rows]

    return Fitted(tried, chosen, native)


def by_film(stars: np.ndarray, past: Rated, then: Rated) -> list[float]:
    """RMSE over films of 0, 1 to 4, 5 to 19, 20 to 99 and 100 or more ratings so far.

    None at all where few viewers leave one of these without a film to be judged by.
    """
    group = np.digitize(past.known.sum(axis=0), FILM_COUNTS)
    kinds = [group == place for place in range(len(FILM_COUNTS) + 1)]
    if not all(then.known[:, kind].any() for kind in kinds):
        return []
    return [rmse(stars[:, kind], Rated(then.stars[:, kind], then.people)) for kind in kinds]

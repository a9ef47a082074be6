"""Fit neighbours, factors and an order of films to MovieLens, and compare them on later viewers.

Every candidate learns from the earlier viewers' ratings. It predicts the later half of a later
viewer's ratings from the earlier half, as in service and on the test rows. The model with the
fewest factors within one standard error of the lowest RMSE is served.
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
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.arrays import write_arrays
from slipway.training.selection import bootstrap_error, simplest_within_error

from .data import Label, table
from .model import GENRES, Movies, Suggestions, Viewer
from .order import Order, precision
from .rated import SENT, Rated, later_ratings, sent_ratings
from .stars import Biases, Factors, StarModel, factorize, item_based, user_based

FILM_COUNTS = (1, 5, 20, 100)
DECADES = (1950, 1960, 1970, 1980, 1990)


def descriptions(films: list[dict[str, Any]]) -> np.ndarray:
    """Return genres and decade of the films, and a constant column (films, 24)."""
    genres = [[genre in film["genres"] for genre in GENRES] for film in films]
    years = np.array([film["year"] or 1996 for film in films])[:, None]
    return np.column_stack([genres, years >= DECADES, np.ones(len(films))])


def catalogue() -> list[dict[str, Any]]:
    """Return title, year and genres of every film, in the order of their numbers."""
    frame = table(fetch("movielens_100k"), "films.tsv").sort_values("item_id")
    return [
        {
            "title": row["movie_title"],
            "year": int(row["release_year"]) if row["release_year"].isdigit() else None,
            "genres": row["class"].split(" "),
        }
        for row in frame.to_dict("records")
    ]


def rmse(stars: np.ndarray, held: Rated) -> float:
    squared = (np.clip(stars, 1, 5)[held.known] - held.stars[held.known]) ** 2
    return float(np.sqrt(np.mean(squared)))


def rmse_error(stars: np.ndarray, held: Rated, seed: int) -> float:
    """Return the standard error of `rmse`, by resampling viewers: errors of one are correlated."""
    squared = np.nansum((np.clip(stars, 1, 5) - held.stars) ** 2, axis=1)
    counts = held.known.sum(axis=1)

    def resampled(places: np.ndarray) -> float:
        return float(np.sqrt(squared[places].sum() / counts[places].sum()))

    return bootstrap_error(resampled, len(squared), seed=seed)


def learners(
    films: np.ndarray, factors: list[int], rounds: int, seed: int
) -> dict[str, Callable[[Rated], StarModel]]:
    """Return the functions that fit a model of stars, by name; the most factors come last."""
    svd = partial(factorize, descriptions=films, penalty=10.0, rounds=rounds, seed=seed)
    return {
        "baseline": Biases.fit,
        "user_based": partial(user_based, neighbours=40),
        "item_based": partial(item_based, neighbours=40),
        **{f"svd_{count}": partial(svd, factors=count) for count in sorted(factors)},
    }


def random_holdout(rated: Rated, share: float, seed: int) -> tuple[Rated, Rated]:
    """Return ratings kept, and ratings held out at random, past and future mixed.

    The model is not used like this, but most published results for this data have such splits.
    """
    held = np.random.default_rng(seed).random(rated.stars.shape) < share
    kept, out = np.where(held, np.nan, rated.stars), np.where(held, rated.stars, np.nan)
    return Rated(kept, rated.people), Rated(out, rated.people)


# It solves thousands of small systems, where a second thread costs more than it saves.
@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator]
def fit(
    *,
    train: LabelledRows[Viewer, Label],
    weights: Path,
    seed: int,
    validation_share: float,
    factors: list[int],
    order_factors: int,
    rounds: int,
) -> Fitted:
    """Choose factors by RMSE on later viewers, then the order of films by precision at ten.

    Neighbours are compared and not served: the served files would contain who rated what.
    """
    cut = int(len(train) * (1 - validation_share))
    later = LabelledRows(train.records[cut:], train.labels[cut:])
    past, everything = Rated.from_labelled_rows(train.head(cut)), Rated.from_labelled_rows(train)
    earlier_half = Rated.from_ratings(
        later.records, [sent_ratings(viewer) for viewer in later.records]
    )
    later_half = Rated.from_ratings(later.records, [later_ratings(*each) for each in later])
    kept, held = random_holdout(everything, 0.1, seed)
    films = catalogue()
    fitters = learners(descriptions(films), factors, rounds, seed)
    tried, stars_by_model = [], {}
    for name, fit_model in fitters.items():
        predict = fit_model(past)
        stars = stars_by_model[name] = predict(earlier_half)
        figures = {
            "rmse": rmse(stars, later_half),
            "precision_at_10": precision(stars, earlier_half, later_half),
            "rmse_random_split": rmse(fit_model(kept)(kept), held),
            "rmse_se": rmse_error(stars, later_half, seed),
        }
        curves = {
            "rmse_by_ratings_sent": [
                rmse(predict(earlier_half.only(count)), later_half) for count in SENT
            ],
            "rmse_by_film": by_film(stars, past, later_half),
        }
        tried.append(Candidate(name, figures, {"order": "stars"}, curves))
    servable = [each for each in tried if each.name.startswith("svd_")]
    best = simplest_within_error(servable, "rmse", best="lowest")
    order = Order.fit(past, order_factors)
    rankings = {
        "popularity": order.popularity,
        "pure_svd": order(earlier_half, stars_by_model["baseline"]),
    }
    for name, ranking in rankings.items():
        figures = {"precision_at_10": precision(ranking, earlier_half, later_half)}
        tried.append(Candidate(name, figures, {"order": name}))
    chosen, stars = f"{best.name}_ordered", stars_by_model[best.name]
    tuned = order.tune(earlier_half, stars, later_half)
    figures = best.metrics | {
        "precision_at_10": precision(tuned(earlier_half, stars), earlier_half, later_half)
    }
    tried.append(Candidate(chosen, figures, {"order": list(tuned.order_weights)}, best.curves))
    model = fitters[best.name](everything)
    assert isinstance(model, Factors)
    served = replace(Order.fit(everything, order_factors), order_weights=tuned.order_weights)
    # The field names are the array names that model.py reads.
    write_arrays(weights / "factors.npz", **vars(model), **vars(served))
    (weights / "films.json").write_text(json.dumps(films, ensure_ascii=False) + "\n")

    def framework_predict(viewers: list[Viewer]) -> list[Suggestions]:
        writer = Movies()
        writer.load(weights)
        matrix = Rated.from_ratings(viewers, [sent_ratings(viewer) for viewer in viewers])
        stars = model(matrix)
        rows = zip(viewers, stars, served(matrix, stars), strict=True)
        return [writer.suggest(*row) for row in rows]

    return Fitted(tried, chosen, framework_predict)


def by_film(stars: np.ndarray, past: Rated, held: Rated) -> list[float]:
    """Return the RMSE over films with 0, 1 to 4, 5 to 19, 20 to 99 and 100 or more ratings so far.

    The list is empty where, with few viewers, one of these groups has no held-out rating.
    """
    group = np.digitize(past.known.sum(axis=0), FILM_COUNTS)
    kinds = [group == place for place in range(len(FILM_COUNTS) + 1)]
    if not all(held.known[:, kind].any() for kind in kinds):
        return []
    return [rmse(stars[:, kind], Rated(held.stars[:, kind], held.people)) for kind in kinds]

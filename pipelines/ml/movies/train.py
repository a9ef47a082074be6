"""Neighbours against factors: who rates alike, what is rated alike, and a factorization.

Every candidate learns from the earlier viewers' ratings and is asked about the later viewers, of
whom it is sent the earlier half of their ratings: so it is used, and so the test asks.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.datasets import fetch
from slipway.training import Candidate, Evaluation, Examples, Fitted, plots

from .data import Truth, table
from .model import FILMS, GENRES, Movies, Suggestions, Viewer
from .order import AT, LIKED, Order, precision
from .rated import Rated, asked, sent
from .stars import Answer, Biases, Factors, cosine, factorized, item_based, user_based

# How many ratings are sent, where cold start is measured.
SENT = (0, 1, 2, 5, 10, 20, 50)
FILM_COUNTS = (1, 5, 20, 100)
# By curve: the title, what is counted, and the counts.
COLD_STARTS: dict[str, tuple[str, str, Sequence[object]]] = {
    "rmse_by_ratings_sent": ("A new viewer", "ratings sent", SENT),
    "rmse_by_film": ("A new film", "its ratings so far", ("0", "1-4", "5-19", "20-99", "100+")),
}
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
    told = np.clip(stars, 1, 5)[then.known]
    return float(np.sqrt(np.mean((told - then.stars[then.known]) ** 2)))


def learners(
    films: np.ndarray, factors: list[int], rounds: int, seed: int
) -> dict[str, Callable[[Rated], Answer]]:
    svd = partial(factorized, descriptions=films, penalty=10.0, rounds=rounds, seed=seed)
    return {
        "baseline": Biases.learnt,
        "user_based": partial(user_based, neighbours=40),
        "item_based": partial(item_based, neighbours=40),
        **{f"svd_{count}": partial(svd, factors=count) for count in factors},
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
        }
        curves = {
            "rmse_by_ratings_sent": [rmse(answer(asking.only(count)), then) for count in SENT],
            "rmse_by_film": by_film(stars, past, then),
        }
        tried.append(Candidate(name, figures, {"order": "stars"}, curves))
    servable = [each for each in tried if each.name.startswith("svd_")]
    best = min(servable, key=lambda each: each.metrics["rmse"])
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
    np.savez(weights / "factors.npz", **vars(model), **vars(served))
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
    tried, chosen = evaluation.candidates, evaluation.chosen
    figure, (left, right) = plots.panels(2)
    names, title = [each.name for each in tried], "Precision among the first ten (validation)"
    precise = [each.metrics["precision_at_10"] for each in tried]
    plots.bars(left, names, precise, title, lying=True, form="{:.3f}", size=9, chosen=chosen)
    told = [each for each in tried if "rmse" in each.metrics]
    errors = {
        "later viewers (what counts here)": [each.metrics["rmse"] for each in told],
        "ratings held out at random": [each.metrics["rmse_random_split"] for each in told],
    }
    plots.bars(right, [each.name for each in told], errors, "RMSE by how one holds out", lying=True)
    right.margins(x=0.05)
    right.set_xlim(left=0.85)
    yield "precision", figure
    figure, axes = plots.panels(2)
    for panel, (name, (title, label, counts)) in zip(axes, COLD_STARTS.items(), strict=True):
        for each in tried:
            if each.curves.get(name) and not each.name.endswith("_ordered"):
                at = [str(count) for count in counts]
                panel.plot(at, each.curves[name], marker="o", markersize=3, label=each.name)
        panel.set(xlabel=label, ylabel="RMSE", title=f"{title} (validation)")
        panel.legend()
    yield "cold_start", figure
    rated = Rated.of_all(evaluation.train)
    yield "matrix", matrix(rated)
    yield "similarity", similarity(rated, evaluation.weights)


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
    right.legend()
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
    names = [films[place]["title"] for place in best[order]]
    title = "Cosine similarity of the most rated films"
    plots.heat(axes, alike[order][:, order], names, names, title, reach=0.4, size=8)
    return figure

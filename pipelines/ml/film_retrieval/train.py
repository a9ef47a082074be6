"""Training of towers, ranker and re-ranking, each chosen on later viewers.

All are validated as they will be used: with the earlier half of a viewer's ratings, or without any.
Each stage is the simplest candidate within one standard error, over viewers, of the best.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import pdist
from scipy.stats import sem
from torch import nn

from slipway.datasets import fetch
from slipway.deep import Plan, export_onnx, predict
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.arrays import write_arrays
from slipway.training.selection import simplest_within_error

from .data import Label
from .halves import Halves, cases
from .metrics import AT, per_viewer, retrieval_metrics
from .model import (
    FILMS,
    GENRES,
    LIKED,
    Catalogue,
    FilmRetrieval,
    Past,
    Run,
    Stages,
    Suggestions,
    Viewer,
    content,
    highest,
    kinds,
    ranking_features,
    rerank,
)
from .towers import (
    FEATURES,
    Ranker,
    Rated,
    Recipe,
    Towers,
    catalogue,
    train_ranker,
    train_towers,
)

# The towers that are compared; those with in-batch negatives work for any size of catalogue.
RECIPES = {
    "towers_batch": Recipe("batch", logq=False),
    "towers_batch_logq": Recipe("batch"),
    "towers_mixed": Recipe("mixed"),
    "towers_all_films": Recipe("all", logq=False),
    "towers_numbers_only": Recipe("mixed", content=False),
    "towers_content_only": Recipe("mixed", number=False),
}
# From the simplest, which has neither a correction nor further negatives.
SCALABLE = ("towers_batch", "towers_batch_logq", "towers_mixed")
# Metrics of viewers by which the stages are chosen.
CHOSEN_BY = ("recall_at_100", "ndcg_at_10")
Order = Callable[[Past], np.ndarray]
"""Maps a viewer's past to films, the best first."""


def run_of(module: nn.Module, output: str) -> Run:
    def run(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {output: predict(module, *map(torch.from_numpy, feeds.values())).numpy()}

    return run


def stages_of(towers: Towers, last: nn.Module | None = None, relevance: float = 1.0) -> Stages:
    """Return stages of torch modules; without a ranker they can only retrieve."""
    viewers, films = (run_of(each, "direction") for each in (towers.viewers, towers.films))
    return Stages(viewers, films, run_of(last or nn.Identity(), "score"), relevance)


def validate(order: Order, validation: Halves, described: np.ndarray) -> dict[str, float]:
    """Return metrics of viewers with their history, and of the same viewers without."""
    warm, cold = (
        [(order(past), liked) for past, liked in each]
        for each in (validation.warm, validation.cold)
    )
    metrics = retrieval_metrics(warm)
    metrics["diversity"] = diversity([films for films, _ in warm], described)
    metrics |= {f"cold_{name}": value for name, value in retrieval_metrics(cold).items()}
    values = per_viewer(warm)
    return metrics | {f"{name}_se": float(sem(values[name])) for name in CHOSEN_BY}


def item_weights(rated: Rated, penalty: float) -> np.ndarray:
    """Return the weights of EASE (films, films), by which liked films recommend others.

    Steck (2019). The closed form uses the inverse of how often two films are liked together; the
    diagonal is zero.
    """
    liked = (rated.stars >= LIKED).astype(np.float64)
    inverse = np.linalg.inv(liked.T @ liked + penalty * np.eye(FILMS))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return np.asarray(weights)


def by_items(past: Past, weights: np.ndarray, often: np.ndarray) -> np.ndarray:
    """Return the hundred films that the liked ones recommend most, or popular ones without any."""
    return highest(weights[past.liked].sum(axis=0) + 1e-6 * often, past.places)


def retrieve(past: Past, films: Catalogue, stages: Stages) -> np.ndarray:
    """Return the hundred retrieved films."""
    return stages.retrieve(past, films)[0]


def rank(past: Past, films: Catalogue, stages: Stages) -> np.ndarray:
    """Return the hundred films by score, or with a relevance below 1 the ten after re-ranking."""
    candidates, similarity = stages.retrieve(past, films)
    scores = stages.rank(past, films, candidates, similarity)
    if stages.relevance == 1:
        return np.asarray(candidates[np.argsort(-scores, kind="stable")])
    own = kinds(films.content[candidates])
    return np.asarray(candidates[rerank(scores, own, AT, stages.relevance)])


def diversity(orders: Sequence[np.ndarray], described: np.ndarray) -> float:
    """Return the mean Jaccard distance by genre between two of the ten films."""
    genres = (described[order[:AT], : len(GENRES)] > 0 for order in orders)
    return float(np.mean([pdist(each, "jaccard").mean() for each in genres]))


def cross_fit(
    halves: Halves, learn: Callable[[Rated], Towers], folds: int, hidden: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return ranking features of retrieved films, and which were liked, for unseen viewers.

    The towers for each fold are trained on the others; viewers count with and without a history. A
    share `hidden` of the films is shown to the ranker as new, so that it learns about new films.
    """
    rng = np.random.default_rng(seed)
    fold = np.arange(len(halves.about)) % folds
    features, liked = [], []
    for number in range(folds):
        others, own = halves.at(fold != number), halves.at(fold == number)
        towers = learn(others.rated)
        films = catalogue(towers, others.rated, rng.random(FILMS) < hidden)
        stages = stages_of(towers)
        for past, wanted in own.warm + own.cold:
            candidates, similarity = stages.retrieve(past, films)
            features.append(ranking_features(past, films, candidates, similarity))
            liked.append(wanted[candidates])
    return np.stack(features), np.stack(liked)


def fit(
    *,
    train: LabelledRows[Viewer, Label],
    weights: Path,
    seed: int,
    validation_share: float,
    folds: int,
    ease_penalty: float,
    towers: dict[str, Any],
    ranking: dict[str, Any],
    hidden_units: int,
    hidden_films: float,
    relevances: list[float],
) -> Fitted:
    """Choose towers, ranker and re-ranking on the latest viewers; then train on all."""
    halves, films = Halves.from_rows(train), describe_films()
    numbers = content([each["genres"] for each in films], [each["year"] for each in films])
    cut = int(len(train) * (1 - validation_share))
    learn, validation = halves.at(slice(cut)), halves.at(slice(cut, None))
    plan, listed = (Plan(schedule="one_cycle", **each) for each in (towers, ranking))
    towers_of = partial(train_towers, content=numbers, plan=plan, seed=seed)

    def candidate(name: str, order: Order, **parameters: Any) -> Candidate:
        return Candidate(name, validate(order, validation, numbers), parameters)

    often = (learn.rated.stars >= LIKED).mean(axis=0)
    items = partial(by_items, weights=item_weights(learn.rated, ease_penalty), often=often)
    tried = [
        candidate("baseline", lambda past: highest(often, past.places)),
        candidate("ease", items, penalty=ease_penalty),
    ]
    trained = {}
    for name, recipe in RECIPES.items():
        trained[name] = towers_of(learn.rated, recipe=recipe)
        known = catalogue(trained[name], learn.rated)
        order = partial(retrieve, films=known, stages=stages_of(trained[name]))
        tried.append(candidate(name, order, **asdict(recipe)))
    scalable = [each for each in tried if each.name in SCALABLE]
    towers_chosen = simplest_within_error(scalable, "recall_at_100", best="highest").name
    best = trained[towers_chosen]
    tried += new_films(learn.rated, validation, best, towers_of, hidden_films, seed)

    known = catalogue(best, learn.rated)
    learn_best = partial(towers_of, recipe=best.recipe)
    lists = cross_fit(learn, learn_best, folds, hidden_films, seed)
    rankers = {}
    for name, hidden in (("ranked_linear", 0), ("ranked_network", hidden_units)):
        rankers[name] = train_ranker(*lists, hidden, listed, seed)
        order = partial(rank, films=known, stages=stages_of(best, rankers[name]))
        tried.append(candidate(name, order, hidden=hidden))
    # From the simplest: the linear ranker has the fewest parameters.
    listed_by = [each for each in tried if each.name in rankers]
    first = simplest_within_error(listed_by, "ndcg_at_10", best="highest")
    again = []
    for relevance in relevances:
        stages = stages_of(best, rankers[first.name], relevance)
        order = partial(rank, films=known, stages=stages)
        chain = {"relevance": relevance, "towers": towers_chosen, "ranker": first.name}
        again.append(candidate(f"reranked_{relevance:g}", order, **chain))
        # A recall at a hundred is meaningless for ten films.
        for name in ("recall_at_100", "cold_recall_at_100", "recall_at_100_se"):
            del again[-1].metrics[name]
    tried += again
    # The purpose of re-ranking is diversity: of the candidates within one standard error the most
    # diverse is chosen, the one with the lowest relevance.
    diverse_first = sorted(again, key=lambda each: float(each.parameters["relevance"]))
    chosen = simplest_within_error(diverse_first, "ndcg_at_10", best="highest")

    relevance = chosen.parameters["relevance"]
    final = learn_best(halves.rated)
    lists = cross_fit(halves, learn_best, folds, hidden_films, seed)
    last = train_ranker(*lists, first.parameters["hidden"], listed, seed)
    export(final, last, catalogue(final, halves.rated), films, relevance, weights)
    served = stages_of(final, last, relevance)

    def framework_predict(viewers: list[Viewer]) -> list[Suggestions]:
        model = FilmRetrieval()
        model.load(weights)
        return [model.suggest(viewer, served) for viewer in viewers]

    return Fitted(tried, chosen.name, framework_predict)


def new_films(
    rated: Rated,
    validation: Halves,
    knowing: Towers,
    towers_of: Callable[..., Towers],
    share: float,
    seed: int,
) -> Iterator[Candidate]:
    """Yield the recall of films that are held out of training and retrieved by content.

    They are compared with the same films known, and with towers without dropout of numbers. Only
    films with ten ratings or more are held out, so that the comparison is meaningful.
    """
    rng = np.random.default_rng(seed)
    often = np.flatnonzero((rated.stars > 0).sum(axis=0) >= 10)
    hidden = np.zeros(FILMS, dtype=bool)
    hidden[rng.choice(often, max(int(len(often) * share), 1), replace=False)] = True
    without = rated.without(hidden)
    unseen = cases(validation.sent * ~hidden, validation.then * hidden, validation.about)
    recipe = knowing.recipe
    for name, towers, given in (
        ("known", knowing, rated),
        ("by_content", towers_of(without, recipe=recipe), without),
        ("no_dropout", towers_of(without, recipe=replace(recipe, dropout=0.0)), without),
    ):
        films, stages = catalogue(towers, given), stages_of(towers)
        orders = [(retrieve(past, films, stages), liked) for past, liked in unseen]
        recall = retrieval_metrics(orders)["recall_at_100"] if orders else 0.0
        metrics = {"new_film_recall_at_100": recall}
        yield Candidate(f"new_films_{name}", metrics, {"films": int(hidden.sum())})


def export(
    towers: Towers,
    last: Ranker,
    known: Catalogue,
    films: list[dict[str, Any]],
    relevance: float,
    weights: Path,
) -> None:
    width, about = towers.recipe.width, towers.viewers.layers[0].in_features
    viewer = {"pooled": 2 * width, "about": about - 2 * width}
    parts: dict[str, tuple[nn.Module, dict[str, int], str]] = {
        "viewer_tower": (towers.viewers, viewer, "direction"),
        "film_tower": (towers.films, {"content": known.content.shape[1]}, "direction"),
        "ranker": (last, {"features": FEATURES}, "score"),
    }
    for name, (module, widths, output) in parts.items():
        inputs = {each: torch.zeros(2, columns) for each, columns in widths.items()}
        export_onnx(module, inputs, [output], weights, f"{name}.onnx")
    write_arrays(weights / "catalogue.npz", relevance=relevance, **vars(known))
    (weights / "films.json").write_text(json.dumps(films, ensure_ascii=False) + "\n")


def describe_films() -> list[dict[str, Any]]:
    """Return the title, year and genres of every film."""
    frame = pd.read_csv(fetch("movielens_100k").path("films.tsv"), sep="\t")
    frame = frame.set_axis(["film", "title", "year", "genres"], axis=1).sort_values("film")
    return [
        {
            "title": row["title"],
            "year": int(row["year"]) if row["year"].isdigit() else None,
            "genres": [each for each in row["genres"].split(" ") if each != "unknown"],
        }
        for row in frame.to_dict("records")
    ]

"""Training: towers, ranker and re-ranking, each chosen on later viewers, and their export.

All is judged as it will be used: with the earlier half of what a viewer rated, or with nothing.
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
from slipway.training import Candidate, Examples, Fitted
from slipway.training.arrays import write_arrays
from slipway.training.selection import simplest_within_error

from .data import Truth
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
    reranked,
)
from .towers import FEATURES, Ranker, Rated, Recipe, Towers, catalogue, learnt, ranker

# What the chosen towers are compared with; those of in-batch negatives work for any catalogue.
RECIPES = {
    "towers_batch": Recipe("batch", logq=False),
    "towers_batch_logq": Recipe("batch"),
    "towers_mixed": Recipe("mixed"),
    "towers_all_films": Recipe("all", logq=False),
    "towers_numbers_only": Recipe("mixed", content=False),
    "towers_content_only": Recipe("mixed", number=False),
}
# The simplest first: it corrects for nothing and draws no further negatives.
SCALABLE = ("towers_batch", "towers_batch_logq", "towers_mixed")
# Metrics of viewers by which the stages are chosen.
CHOSEN_BY = ("recall_at_100", "ndcg_at_10")
Order = Callable[[Past], np.ndarray]
"""Films for a viewer, the best first."""


def run_of(module: nn.Module, output: str) -> Run:
    def run(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {output: predict(module, *map(torch.from_numpy, feeds.values())).numpy()}

    return run


def staged(towers: Towers, last: nn.Module | None = None, relevance: float = 1.0) -> Stages:
    """Without a ranker to retrieve with alone."""
    viewers, films = (run_of(each, "direction") for each in (towers.viewers, towers.films))
    return Stages(viewers, films, run_of(last or nn.Identity(), "score"), relevance)


def validated(order: Order, judged: Halves, described: np.ndarray) -> dict[str, float]:
    """Return metrics of viewers with their history, and of the same without."""
    warm, cold = (
        [(order(past), liked) for past, liked in each] for each in (judged.warm, judged.cold)
    )
    found = retrieval_metrics(warm)
    found["diversity"] = diversity([films for films, _ in warm], described)
    found |= {f"cold_{name}": value for name, value in retrieval_metrics(cold).items()}
    values = per_viewer(warm)
    return found | {f"{name}_se": float(sem(values[name])) for name in CHOSEN_BY}


def item_weights(rated: Rated, penalty: float) -> np.ndarray:
    """EASE (Steck 2019): weights (films, films) by which liked films speak for others.

    In closed form, from the inverse of how often two films are liked together; a film never speaks
    for itself.
    """
    liked = (rated.stars >= LIKED).astype(np.float64)
    inverse = np.linalg.inv(liked.T @ liked + penalty * np.eye(FILMS))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return np.asarray(weights)


def by_items(past: Past, weights: np.ndarray, often: np.ndarray) -> np.ndarray:
    """The hundred films for which those liked speak most; for want of any, the popular ones."""
    return highest(weights[past.liked].sum(axis=0) + 1e-6 * often, past.places)


def retrieved(past: Past, films: Catalogue, stages: Stages) -> np.ndarray:
    return stages.retrieved(past, films)[0]


def ranked(past: Past, films: Catalogue, stages: Stages) -> np.ndarray:
    """The hundred by their scores; where relevance is not all, the ten after re-ranking."""
    candidates, similarity = stages.retrieved(past, films)
    scores = stages.ranked(past, films, candidates, similarity)
    if stages.relevance == 1:
        return np.asarray(candidates[np.argsort(-scores, kind="stable")])
    own = kinds(films.content[candidates])
    return np.asarray(candidates[reranked(scores, own, AT, stages.relevance)])


def diversity(orders: Sequence[np.ndarray], described: np.ndarray) -> float:
    """How unlike the ten films are by genre: the mean Jaccard distance of two of them."""
    genres = (described[order[:AT], : len(GENRES)] > 0 for order in orders)
    return float(np.mean([pdist(each, "jaccard").mean() for each in genres]))


def crossed(
    halves: Halves, learn: Callable[[Rated], Towers], folds: int, hidden: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """What is retrieved for viewers whom the towers never saw, and what of it they liked.

    Each fold of the viewers by towers of the others, with a history and without. A share `hidden`
    of the films is shown to the ranker as new, so that it knows of such.
    """
    rng = np.random.default_rng(seed)
    fold = np.arange(len(halves.about)) % folds
    features, liked = [], []
    for number in range(folds):
        others, own = halves.at(fold != number), halves.at(fold == number)
        towers = learn(others.rated)
        films = catalogue(towers, others.rated, rng.random(FILMS) < hidden)
        stages = staged(towers)
        for past, wanted in own.warm + own.cold:
            candidates, similarity = stages.retrieved(past, films)
            features.append(ranking_features(past, films, candidates, similarity))
            liked.append(wanted[candidates])
    return np.stack(features), np.stack(liked)


def fit(
    *,
    train: Examples[Viewer, Truth],
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
    """Choose towers, ranker and re-ranking on the viewers who came last; then learn from all."""
    halves, films = Halves.of(train), described()
    numbers = content([each["genres"] for each in films], [each["year"] for each in films])
    cut = int(len(train) * (1 - validation_share))
    learn, judged = halves.at(slice(cut)), halves.at(slice(cut, None))
    plan, listed = (Plan(schedule="one_cycle", **each) for each in (towers, ranking))
    towers_of = partial(learnt, content=numbers, plan=plan, seed=seed)

    def candidate(name: str, order: Order, **parameters: Any) -> Candidate:
        return Candidate(name, validated(order, judged, numbers), parameters)

    often = (learn.rated.stars >= LIKED).mean(axis=0)
    items = partial(by_items, weights=item_weights(learn.rated, ease_penalty), often=often)
    tried = [
        candidate("baseline", lambda past: highest(often, past.places)),
        candidate("ease", items, penalty=ease_penalty),
    ]
    made = {}
    for name, recipe in RECIPES.items():
        made[name] = towers_of(learn.rated, recipe=recipe)
        known = catalogue(made[name], learn.rated)
        order = partial(retrieved, films=known, stages=staged(made[name]))
        tried.append(candidate(name, order, **asdict(recipe)))
    scalable = [each for each in tried if each.name in SCALABLE]
    towers_chosen = simplest_within_error(scalable, "recall_at_100", best="highest").name
    best = made[towers_chosen]
    tried += new_films(learn.rated, judged, best, towers_of, hidden_films, seed)

    known = catalogue(best, learn.rated)
    learn_best = partial(towers_of, recipe=best.recipe)
    lists = crossed(learn, learn_best, folds, hidden_films, seed)
    rankers = {}
    for name, hidden in (("ranked_linear", 0), ("ranked_network", hidden_units)):
        rankers[name] = ranker(*lists, hidden, listed, seed)
        order = partial(ranked, films=known, stages=staged(best, rankers[name]))
        tried.append(candidate(name, order, hidden=hidden))
    # The linear one comes first: it has the fewest parameters.
    listed_by = [each for each in tried if each.name in rankers]
    first = simplest_within_error(listed_by, "ndcg_at_10", best="highest")
    again = []
    for relevance in relevances:
        stages = staged(best, rankers[first.name], relevance)
        order = partial(ranked, films=known, stages=stages)
        chain = {"relevance": relevance, "towers": towers_chosen, "ranker": first.name}
        again.append(candidate(f"reranked_{relevance:g}", order, **chain))
        # Of ten films a recall at a hundred says nothing.
        for name in ("recall_at_100", "cold_recall_at_100", "recall_at_100_se"):
            del again[-1].metrics[name]
    tried += again
    # Diversity is what re-ranking is for: of those whose order is as good within one standard
    # error the most diverse is chosen, which gives relevance the least weight.
    diverse_first = sorted(again, key=lambda each: float(each.parameters["relevance"]))
    chosen = simplest_within_error(diverse_first, "ndcg_at_10", best="highest")

    relevance = chosen.parameters["relevance"]
    final = learn_best(halves.rated)
    lists = crossed(halves, learn_best, folds, hidden_films, seed)
    last = ranker(*lists, first.parameters["hidden"], listed, seed)
    export(final, last, catalogue(final, halves.rated), films, relevance, weights)
    served = staged(final, last, relevance)

    def native(viewers: list[Viewer]) -> list[Suggestions]:
        model = FilmRetrieval()
        model.load(weights)
        return [model.answer(viewer, served) for viewer in viewers]

    return Fitted(tried, chosen.name, native)


def new_films(
    rated: Rated,
    judged: Halves,
    knowing: Towers,
    towers_of: Callable[..., Towers],
    share: float,
    seed: int,
) -> Iterator[Candidate]:
    """Films taken out of training altogether: how many of those liked are retrieved by content?

    Against the same films known, and against towers whose films always had their number. Only
    films with ten ratings or more are taken out, so that being known means something.
    """
    rng = np.random.default_rng(seed)
    often = np.flatnonzero((rated.stars > 0).sum(axis=0) >= 10)
    hidden = np.zeros(FILMS, dtype=bool)
    hidden[rng.choice(often, max(int(len(often) * share), 1), replace=False)] = True
    without = rated.without(hidden)
    unseen = cases(judged.sent * ~hidden, judged.then * hidden, judged.about)
    recipe = knowing.recipe
    for name, towers, given in (
        ("known", knowing, rated),
        ("by_content", towers_of(without, recipe=recipe), without),
        ("no_dropout", towers_of(without, recipe=replace(recipe, dropout=0.0)), without),
    ):
        films, stages = catalogue(towers, given), staged(towers)
        found = [(retrieved(past, films, stages), liked) for past, liked in unseen]
        recall = retrieval_metrics(found)["recall_at_100"] if found else 0.0
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


def described() -> list[dict[str, Any]]:
    """Title, year and genres of every film."""
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

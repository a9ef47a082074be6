"""Retrieval by different towers, then ranking, then re-ranking, each judged on later viewers.

All is judged as it will be used: with the earlier half of what a viewer rated, or with nothing.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from slipway.datasets import fetch
from slipway.deep import Plan, export_onnx
from slipway.training import Candidate, Evaluation, Examples, Fitted, plots

from .data import Truth
from .model import (
    CANDIDATES,
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
    attributes,
    content,
    kinds,
    ranking_features,
    reranked,
)
from .towers import FEATURES, Ranker, Rated, Recipe, Towers, catalogue, learnt, ranker

AT = 10
# What the chosen towers are compared with; those of in-batch negatives work for any catalogue.
RECIPES = {
    "towers_batch": Recipe("batch", logq=False),
    "towers_batch_logq": Recipe("batch"),
    "towers_mixed": Recipe("mixed"),
    "towers_all_films": Recipe("all", logq=False),
    "towers_numbers_only": Recipe("mixed", content=False),
    "towers_content_only": Recipe("mixed", number=False),
}
SCALABLE = ("towers_batch", "towers_batch_logq", "towers_mixed")
# Re-ranking may cost so much of the ranker's NDCG.
KEPT = 0.98
SCALE = Path(__file__).with_name("scale.json")


@dataclass(frozen=True)
class Asked:
    """Viewers by their past, and which films they liked next (viewers, films)."""

    pasts: list[Past]
    liked: np.ndarray

    @classmethod
    def of(cls, sent: np.ndarray, then: np.ndarray, about: np.ndarray) -> "Asked":
        """Those who liked a film next; stars (viewers, films) sent and given next."""
        rows = np.flatnonzero((then >= LIKED).any(axis=1))
        pasts = []
        for row in rows:
            places = np.flatnonzero(sent[row])
            pasts.append(Past(places, sent[row, places].astype(np.int64), about[row]))
        return cls(pasts, then[rows] >= LIKED)


@dataclass(frozen=True)
class Halves:
    """Viewers' stars in the order sent and given next (viewers, films), and who they are."""

    sent: np.ndarray
    then: np.ndarray
    about: np.ndarray

    @classmethod
    def of(cls, rows: Examples[Viewer, Truth]) -> "Halves":
        sent = np.zeros((len(rows), FILMS), dtype=np.float32)
        then = np.zeros_like(sent)
        for row, (viewer, truth) in enumerate(rows):
            for each in viewer.history:
                sent[row, each.film - 1] = each.stars
            then[row, np.array(truth["films"]) - 1] = truth["stars"]
        return cls(sent, then, np.stack([attributes(viewer) for viewer in rows.records]))

    def at(self, rows: np.ndarray) -> "Halves":
        return Halves(self.sent[rows], self.then[rows], self.about[rows])

    @property
    def rated(self) -> Rated:
        return Rated(self.sent + self.then, self.about)

    @property
    def warm(self) -> Asked:
        return Asked.of(self.sent, self.then, self.about)

    @property
    def cold(self) -> Asked:
        """The same viewers, of whom only age, gender and occupation are told."""
        return Asked.of(np.zeros_like(self.sent), self.sent + self.then, self.about)


def run_of(module: nn.Module, output: str) -> Run:
    def run(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        module.eval()
        with torch.inference_mode():
            told = module(*(torch.from_numpy(each) for each in feeds.values()))
        return {output: told.numpy()}

    return run


def staged(towers: Towers, ranking: nn.Module, relevance: float = 1.0) -> Stages:
    return Stages(
        run_of(towers.viewers, "direction"),
        run_of(towers.films, "direction"),
        run_of(ranking, "score"),
        relevance,
    )


def figures(orders: Sequence[np.ndarray], liked: np.ndarray) -> dict[str, float]:
    """Of films in order (viewers, up to 100) against those liked next (viewers, films).

    Recall is of what can be found: of 120 liked films a hundred. Precision and NDCG (Järvelin and
    Kekäläinen 2002, gains 0 and 1) are of the first ten.
    """
    discounts = 1 / np.log2(np.arange(2, AT + 2))
    found = []
    for order, own in zip(orders, liked, strict=True):
        hits, count = own[order], int(own.sum())
        first = hits[:AT]
        best = discounts[:count].sum()
        gained = first @ discounts[: len(first)] / best
        found.append((hits.sum() / min(count, CANDIDATES), first.sum() / AT, gained))
    recall, precision, ndcg = np.mean(found, axis=0).tolist()
    return {"recall_at_100": recall, "precision_at_10": precision, "ndcg_at_10": ndcg}


def judge(
    order: Callable[[Asked], list[np.ndarray]], judged: Halves, described: np.ndarray
) -> dict[str, float]:
    """Figures of viewers with their history, and of the same without."""
    warm, cold = judged.warm, judged.cold
    found = order(warm)
    without = figures(order(cold), cold.liked)
    told = figures(found, warm.liked) | {"diversity": diversity(found, described)}
    return told | {f"cold_{name}": value for name, value in without.items()}


def popular(asked: Asked, rated: Rated) -> list[np.ndarray]:
    """The hundred films that most viewers liked, without those seen."""
    order = np.argsort(-(rated.stars >= LIKED).sum(axis=0), kind="stable")
    return [order[~np.isin(order, past.places)][:CANDIDATES] for past in asked.pasts]


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


def by_items(asked: Asked, rated: Rated, penalty: float) -> list[np.ndarray]:
    """The hundred films for which those liked speak most; for want of any, the popular ones."""
    weights, often = item_weights(rated, penalty), (rated.stars >= LIKED).mean(axis=0)
    orders = []
    for past in asked.pasts:
        order = np.argsort(-(weights[past.liked].sum(axis=0) + 1e-6 * often), kind="stable")
        orders.append(order[~np.isin(order, past.places)][:CANDIDATES])
    return orders


def retrieved(asked: Asked, films: Catalogue, stages: Stages) -> list[np.ndarray]:
    return [stages.retrieved(past, films)[0] for past in asked.pasts]


def ranked(asked: Asked, films: Catalogue, stages: Stages) -> list[np.ndarray]:
    found = []
    for past in asked.pasts:
        candidates, similarity = stages.retrieved(past, films)
        scores = stages.ranked(past, films, candidates, similarity)
        found.append(candidates[np.argsort(-scores, kind="stable")])
    return found


def chosen_ten(asked: Asked, films: Catalogue, stages: Stages) -> list[np.ndarray]:
    """The first ten after re-ranking."""
    found = []
    for past in asked.pasts:
        candidates, similarity = stages.retrieved(past, films)
        scores = stages.ranked(past, films, candidates, similarity)
        order = reranked(scores, kinds(films.content[candidates]), AT, stages.relevance)
        found.append(candidates[order])
    return found


def diversity(orders: Sequence[np.ndarray], described: np.ndarray) -> float:
    """How unlike the ten films are by genre: 1 less the mean Jaccard index of two of them."""
    found = []
    for order in orders:
        genres = described[order[:AT], : len(GENRES)]
        both, sizes = genres @ genres.T, genres.sum(axis=1)
        either = np.maximum(sizes[:, None] + sizes - both, 1)
        found.append(1 - (both / either)[np.triu_indices(len(genres), 1)].mean())
    return float(np.mean(found))


@dataclass(frozen=True)
class Lists:
    """What was retrieved for viewers that the towers never saw, and what of it they liked."""

    features: np.ndarray
    liked: np.ndarray

    @classmethod
    def crossed(
        cls, halves: Halves, learn: Callable[[Rated], Towers], folds: int, hidden: float, seed: int
    ) -> "Lists":
        """Each fold of the viewers by towers of the others, with a history and without.

        A share `hidden` of the films is shown to the ranker as new, so that it knows of such.
        """
        rng = np.random.default_rng(seed)
        fold = np.arange(len(halves.about)) % folds
        features, liked = [], []
        for number in range(folds):
            others, own = halves.at(fold != number), halves.at(fold == number)
            towers = learn(others.rated)
            films = catalogue(towers, others.rated, rng.random(FILMS) < hidden)
            stages = staged(towers, nn.Identity())
            for asked in (own.warm, own.cold):
                for past, wanted in zip(asked.pasts, asked.liked, strict=True):
                    candidates, similarity = stages.retrieved(past, films)
                    features.append(ranking_features(past, films, candidates, similarity))
                    liked.append(wanted[candidates])
        return cls(np.stack(features), np.stack(liked))


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
    rows, cut = np.arange(len(train)), int(len(train) * (1 - validation_share))
    learn, judged = halves.at(rows[:cut]), halves.at(rows[cut:])
    plan, listed = Plan(schedule="one_cycle", **towers), Plan(schedule="one_cycle", **ranking)

    def towers_of(recipe: Recipe) -> Callable[[Rated], Towers]:
        return lambda rated: learnt(rated, numbers, recipe, plan, seed)

    tried = [
        Candidate("baseline", judge(partial(popular, rated=learn.rated), judged, numbers)),
        Candidate(
            "ease",
            judge(partial(by_items, rated=learn.rated, penalty=ease_penalty), judged, numbers),
            {"penalty": ease_penalty},
        ),
    ]
    made = {}
    for name, recipe in RECIPES.items():
        made[name] = towers_of(recipe)(learn.rated)
        known = catalogue(made[name], learn.rated)
        order = partial(retrieved, films=known, stages=staged(made[name], nn.Identity()))
        tried.append(Candidate(name, judge(order, judged, numbers), asdict(recipe)))
    by_name = {each.name: each for each in tried}
    best = max(SCALABLE, key=lambda name: by_name[name].metrics["recall_at_100"])
    recipe = RECIPES[best]
    tried += new_films(learn.rated, judged, made[best], towers_of, hidden_films, seed)

    known = catalogue(made[best], learn.rated)
    lists = Lists.crossed(learn, towers_of(recipe), folds, hidden_films, seed)
    rankers = {}
    for name, hidden in (("ranked_linear", 0), ("ranked_network", hidden_units)):
        rankers[name] = ranker(lists.features, lists.liked, hidden, listed, seed)
        order_by = partial(ranked, films=known, stages=staged(made[best], rankers[name]))
        tried.append(Candidate(name, judge(order_by, judged, numbers), {"hidden": hidden}))
    first = max(tried[-2:], key=lambda each: each.metrics["ndcg_at_10"])
    again = []
    for relevance in relevances:
        stages = staged(made[best], rankers[first.name], relevance)
        metrics = judge(partial(chosen_ten, films=known, stages=stages), judged, numbers)
        # Of ten films a recall at a hundred says nothing.
        metrics = {key: value for key, value in metrics.items() if "recall" not in key}
        again.append(Candidate(f"reranked_{relevance:g}", metrics, {"relevance": relevance}))
    tried += again
    enough = [e for e in again if e.metrics["ndcg_at_10"] >= KEPT * first.metrics["ndcg_at_10"]]
    chosen = max(enough or again[:1], key=lambda each: each.metrics["diversity"])

    relevance = chosen.parameters["relevance"]
    lists = Lists.crossed(halves, towers_of(recipe), folds, hidden_films, seed)
    final = towers_of(recipe)(halves.rated)
    last = ranker(lists.features, lists.liked, first.parameters["hidden"], listed, seed)
    served = staged(final, last, relevance)
    export(final, last, catalogue(final, halves.rated), films, relevance, weights)

    def native(viewers: list[Viewer]) -> list[Suggestions]:
        model = FilmRetrieval()
        model.load(weights)
        return [model.answer(viewer, served) for viewer in viewers]

    return Fitted(tried, chosen.name, native)


def new_films(
    rated: Rated,
    judged: Halves,
    knowing: Towers,
    towers_of: Callable[[Recipe], Callable[[Rated], Towers]],
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
    asked = Asked.of(judged.sent * ~hidden, judged.then * hidden, judged.about)
    recipe = knowing.recipe
    for name, towers, given in (
        ("new_films_known", knowing, rated),
        ("new_films_by_content", towers_of(recipe)(without), without),
        ("new_films_no_dropout", towers_of(replace(recipe, dropout=0.0))(without), without),
    ):
        found = retrieved(asked, catalogue(towers, given), staged(towers, nn.Identity()))
        recall = figures(found, asked.liked)["recall_at_100"] if found else 0.0
        yield Candidate(name, {"new_film_recall_at_100": recall}, {"films": int(hidden.sum())})


def export(
    towers: Towers,
    last: Ranker,
    known: Catalogue,
    films: list[dict[str, Any]],
    relevance: float,
    weights: Path,
) -> None:
    def rows(width: int) -> torch.Tensor:
        return torch.zeros(2, width)

    width, about = towers.recipe.width, towers.viewers.layers[0].in_features
    inputs = {"pooled": rows(2 * width), "about": rows(about - 2 * width)}
    export_onnx(towers.viewers, inputs, ["direction"], weights, "viewer_tower.onnx")
    inputs = {"content": rows(known.content.shape[1])}
    export_onnx(towers.films, inputs, ["direction"], weights, "film_tower.onnx")
    export_onnx(last, {"features": rows(FEATURES)}, ["score"], weights, "ranker.onnx")
    arrays = {each.name: getattr(known, each.name) for each in fields(known)}
    np.savez(weights / "catalogue.npz", relevance=relevance, **arrays)
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


def score(*, answers: list[Suggestions], truths: list[Truth]) -> dict[str, float]:
    """Recall is of the hundred retrieved, precision and NDCG are of the ten suggested."""
    found: dict[str, float] = {}
    suggested = set()
    for prefix, cold in (("", False), ("cold_", True)):
        first, hundred, liked = [], [], []
        for answer, truth in zip(answers, truths, strict=True):
            own = np.zeros(FILMS, dtype=bool)
            own[np.array(truth["films"])[np.array(truth["stars"]) >= LIKED] - 1] = True
            if truth["cold"] == cold and own.any():
                first.append(np.array([(each.film or 0) - 1 for each in answer.suggested]))
                hundred.append(np.array(answer.retrieved) - 1)
                liked.append(own)
                suggested |= set(first[-1].tolist())
        if liked:
            told = figures(first, np.stack(liked))
            told["recall_at_100"] = figures(hundred, np.stack(liked))["recall_at_100"]
            found |= {f"{prefix}{name}": value for name, value in told.items()}
            found[f"{prefix}viewers"] = float(len(liked))
    return found | {"catalogue_suggested": len(suggested) / FILMS}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    tried = {each.name: each for each in evaluation.candidates}
    figure, (left, right) = plots.panels(2)
    names = ["baseline", "ease", *RECIPES]
    bars(left, tried, names, {"recall_at_100": "with a history", "cold_recall_at_100": "without"})
    left.set_title("Retrieval: recall at 100 (validation)")
    names = [name for name in tried if name.startswith("new_films")]
    bars(right, tried, names, {"new_film_recall_at_100": "of new films"})
    right.axvline(CANDIDATES / FILMS, color=plots.INK, linestyle=":", label="by chance")
    right.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
    right.set_title("Films held out of training")
    yield "retrieval_and_cold_start", figure
    figure, (left, right) = plots.panels(2)
    stages(left, tried, evaluation)
    again = [each for name, each in tried.items() if name.startswith(("ranked_n", "reranked"))]
    right.plot(
        [each.metrics["diversity"] for each in again],
        [each.metrics["ndcg_at_10"] for each in again],
        marker="o",
        color=plots.ACCENT,
    )
    for each in again:
        place = (each.metrics["diversity"], each.metrics["ndcg_at_10"])
        name = each.name.removeprefix("reranked_").removesuffix("_network")
        right.annotate(name, place, (4, 4), textcoords="offset points", fontsize=6)
    right.set(
        xlabel="diversity of genres",
        ylabel="NDCG at 10",
        title="What diversity costs, by relevance",
    )
    right.margins(x=0.25)
    yield "stages", figure
    figure, (left, right) = plots.panels(2)
    indexes(left, right, json.loads(SCALE.read_text()))
    yield "scale", figure


def bars(
    axes: Axes, tried: dict[str, Candidate], names: list[str], metrics: dict[str, str]
) -> None:
    height = 0.8 / len(metrics)
    for step, (metric, label) in enumerate(metrics.items()):
        places = np.arange(len(names)) + (step - (len(metrics) - 1) / 2) * height
        values = [tried[name].metrics[metric] for name in names]
        colour = (plots.ACCENT, plots.PALE)[step]
        shown = axes.barh(places, values, height, color=colour, label=label)
        axes.bar_label(shown, fmt=" %.3f", fontsize=7)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    # Below: within the axes it would lie on a bar.
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2, fontsize=7)


def stages(axes: Axes, tried: dict[str, Candidate], evaluation: Evaluation) -> None:
    """NDCG after each stage, of those that lead to what is served."""
    best = max(SCALABLE, key=lambda name: tried[name].metrics["recall_at_100"])
    listed = max(
        (name for name in tried if name.startswith("ranked")),
        key=lambda name: tried[name].metrics["ndcg_at_10"],
    )
    labels = {"baseline": "popularity", best: "retrieved", listed: "ranked"}
    labels[evaluation.chosen] = "re-ranked"
    shown = {label: Candidate(label, tried[name].metrics) for name, label in labels.items()}
    metrics = {"ndcg_at_10": "with a history", "cold_ndcg_at_10": "without"}
    bars(axes, shown, list(shown), metrics)
    axes.set_title("NDCG at 10 after each stage (validation)")


def indexes(left: Axes, right: Axes, told: dict[str, Any]) -> None:
    """What `scale.py` measured, which is no part of a run."""
    for name, index in told["indexes"].items():
        points = index["searches"]
        left.plot(
            [each["p50_ms"] for each in points],
            [each["recall"] for each in points],
            marker="o",
            markersize=3,
            label=f"{name}, {index['mib']:,.0f} MiB, built in {index['build_s']:,.0f} s",
        )
    left.set(xscale="log", xlabel="one search, median ms", ylabel="recall at 100 against exact")
    left.set_title(f"{told['items']:,} simulated items")
    left.legend(frameon=False, fontsize=7, loc="lower right")
    names = list(told["request_ms"])
    for shift, key, colour in ((-0.2, "p50", plots.ACCENT), (0.2, "p99", plots.PALE)):
        values = [told["request_ms"][name][key] for name in names]
        shown = right.barh(np.arange(len(names)) + shift, values, 0.4, color=colour, label=key)
        right.bar_label(shown, fmt=" %.2f", fontsize=7)
    right.set_yticks(range(len(names)), names)
    right.invert_yaxis()
    right.set(xscale="log", xlabel="ms", title="One request")
    right.margins(x=0.25)
    right.legend(frameon=False)

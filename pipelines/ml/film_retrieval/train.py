"""Retrieval by different towers, then ranking, then re-ranking, each judged on later viewers.

All is judged as it will be used: with the earlier half of what a viewer rated, or with nothing.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.spatial.distance import pdist
from torch import nn

from slipway.datasets import fetch
from slipway.deep import Plan, export_onnx, predict
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
    highest,
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
Order = Callable[[Past], np.ndarray]
"""Films for a viewer, the best first."""
Asked = tuple[Past, np.ndarray]
"""A viewer by their past, and which films they liked next (films,)."""


def asked(sent: np.ndarray, then: np.ndarray, about: np.ndarray) -> list[Asked]:
    """Those who liked a film next; stars (viewers, films) sent and given next, and who they are."""
    found = []
    for stars, liked, who in zip(sent, then >= LIKED, about, strict=True):
        if liked.any():
            places = np.flatnonzero(stars)
            found.append((Past(places, stars[places].astype(np.int64), who), liked))
    return found


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

    def at(self, rows: np.ndarray | slice) -> "Halves":
        return Halves(self.sent[rows], self.then[rows], self.about[rows])

    @property
    def rated(self) -> Rated:
        return Rated(self.sent + self.then, self.about)

    @property
    def warm(self) -> list[Asked]:
        return asked(self.sent, self.then, self.about)

    @property
    def cold(self) -> list[Asked]:
        """The same viewers, of whom only age, gender and occupation are told."""
        return asked(np.zeros_like(self.sent), self.sent + self.then, self.about)


def run_of(module: nn.Module, output: str) -> Run:
    def run(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {output: predict(module, *map(torch.from_numpy, feeds.values())).numpy()}

    return run


def staged(towers: Towers, last: nn.Module | None = None, relevance: float = 1.0) -> Stages:
    """Without a ranker to retrieve with alone."""
    viewers, films = (run_of(each, "direction") for each in (towers.viewers, towers.films))
    return Stages(viewers, films, run_of(last or nn.Identity(), "score"), relevance)


def figures(found: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Of each viewer's films in order (up to 100,) and those liked next (films,).

    Recall is of what can be found: of 120 liked films a hundred. Precision and NDCG (Järvelin and
    Kekäläinen 2002, gains 0 and 1) are of the first ten.
    """
    discounts = 1 / np.log2(np.arange(2, AT + 2))
    told = []
    for order, liked in found:
        hits, count = liked[order], int(liked.sum())
        first = hits[:AT]
        gained = first @ discounts[: len(first)] / discounts[:count].sum()
        told.append((hits.sum() / min(count, CANDIDATES), first.sum() / AT, gained))
    names = ("recall_at_100", "precision_at_10", "ndcg_at_10")
    return dict(zip(names, np.mean(told, axis=0).tolist(), strict=True))


def judge(order: Order, judged: Halves, described: np.ndarray) -> dict[str, float]:
    """Figures of viewers with their history, and of the same without."""
    warm, cold = (
        [(order(past), liked) for past, liked in each] for each in (judged.warm, judged.cold)
    )
    told = figures(warm) | {"diversity": diversity([films for films, _ in warm], described)}
    return told | {f"cold_{name}": value for name, value in figures(cold).items()}


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
        return Candidate(name, judge(order, judged, numbers), parameters)

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
    best = made[leading(tried, "recall_at_100", SCALABLE).name]
    tried += new_films(learn.rated, judged, best, towers_of, hidden_films, seed)

    known = catalogue(best, learn.rated)
    learn_best = partial(towers_of, recipe=best.recipe)
    lists = crossed(learn, learn_best, folds, hidden_films, seed)
    rankers = {}
    for name, hidden in (("ranked_linear", 0), ("ranked_network", hidden_units)):
        rankers[name] = ranker(*lists, hidden, listed, seed)
        order = partial(ranked, films=known, stages=staged(best, rankers[name]))
        tried.append(candidate(name, order, hidden=hidden))
    first = leading(tried, "ndcg_at_10", rankers)
    again = []
    for relevance in relevances:
        stages = staged(best, rankers[first.name], relevance)
        order = partial(ranked, films=known, stages=stages)
        again.append(candidate(f"reranked_{relevance:g}", order, relevance=relevance))
        # Of ten films a recall at a hundred says nothing.
        for name in ("recall_at_100", "cold_recall_at_100"):
            del again[-1].metrics[name]
    tried += again
    enough = [e for e in again if e.metrics["ndcg_at_10"] >= KEPT * first.metrics["ndcg_at_10"]]
    chosen = leading(enough or again[:1], "diversity")

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


def leading(tried: Iterable[Candidate], metric: str, names: Collection[str] = ()) -> Candidate:
    """The best of those named, or of all where none is."""
    of_these = (each for each in tried if not names or each.name in names)
    return max(of_these, key=lambda each: each.metrics[metric])


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
    told = asked(judged.sent * ~hidden, judged.then * hidden, judged.about)
    recipe = knowing.recipe
    for name, towers, given in (
        ("known", knowing, rated),
        ("by_content", towers_of(without, recipe=recipe), without),
        ("no_dropout", towers_of(without, recipe=replace(recipe, dropout=0.0)), without),
    ):
        films, stages = catalogue(towers, given), staged(towers)
        found = [(retrieved(past, films, stages), liked) for past, liked in told]
        recall = figures(found)["recall_at_100"] if found else 0.0
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
    np.savez(weights / "catalogue.npz", relevance=relevance, **vars(known))
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
    suggested: set[int] = set()
    for prefix, cold in (("", False), ("cold_", True)):
        first, hundred = [], []
        for answer, truth in zip(answers, truths, strict=True):
            liked = np.zeros(FILMS, dtype=bool)
            liked[np.array(truth["films"])[np.array(truth["stars"]) >= LIKED] - 1] = True
            if truth["cold"] == cold and liked.any():
                places = [(each.film or 0) - 1 for each in answer.suggested]
                suggested.update(places)
                first.append((np.array(places), liked))
                hundred.append((np.array(answer.retrieved) - 1, liked))
        if first:
            told = figures(first) | {"recall_at_100": figures(hundred)["recall_at_100"]}
            told["viewers"] = float(len(first))
            found |= {f"{prefix}{name}": value for name, value in told.items()}
    return found | {"catalogue_suggested": len(suggested) / FILMS}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    tried = {each.name: each.metrics for each in evaluation.candidates}

    def bars(axes: Axes, shown: dict[str, str], metrics: dict[str, str], title: str) -> None:
        """Candidates and metrics, each with what it is called in the picture."""
        values = {kind: [tried[each][name] for each in shown] for name, kind in metrics.items()}
        plots.bars(axes, list(shown.values()), values, title, lying=True, form="{:.3f}")

    figure, (left, right) = plots.panels(2)
    shown = {name: name for name in ("baseline", "ease", *RECIPES)}
    metrics = {"recall_at_100": "with a history", "cold_recall_at_100": "without"}
    bars(left, shown, metrics, "Retrieval: recall at 100 (validation)")
    shown = {name: name for name in tried if name.startswith("new_films")}
    bars(right, shown, {"new_film_recall_at_100": "of new films"}, "Films held out of training")
    right.axvline(CANDIDATES / FILMS, color=plots.INK, linestyle=":", label="by chance")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
    yield "retrieval_and_cold_start", figure

    figure, (left, right) = plots.panels(2)
    best = leading(evaluation.candidates, "recall_at_100", SCALABLE).name
    listed = leading(evaluation.candidates, "ndcg_at_10", ("ranked_linear", "ranked_network")).name
    shown = {"baseline": "popularity", best: "retrieved", listed: "ranked"}
    shown[evaluation.chosen] = "re-ranked"
    metrics = {"ndcg_at_10": "with a history", "cold_ndcg_at_10": "without"}
    bars(left, shown, metrics, "NDCG at 10 after each stage (validation)")
    again = [e for e in evaluation.candidates if e.name.startswith(("ranked_n", "reranked"))]
    found = pd.DataFrame([each.metrics for each in again])
    right.plot(found["diversity"], found["ndcg_at_10"], marker="o", color=plots.ACCENT)
    for each in again:
        place = (each.metrics["diversity"], each.metrics["ndcg_at_10"])
        label = str(each.parameters.get("relevance", 1))
        right.annotate(label, place, (4, 4), textcoords="offset points", fontsize=6)
    right.set(xlabel="diversity of genres (relevance 1: as ranked)", ylabel="NDCG at 10")
    right.set_title("What diversity costs, by relevance")
    right.margins(x=0.25)
    yield "stages", figure

    # What `scale.py` measured, which is no part of a run.
    figure, (left, right) = plots.panels(2)
    told = json.loads(SCALE.read_text())
    for name, index in told["indexes"].items():
        found = pd.DataFrame(index["searches"])
        label = f"{name}, {index['mib']:,.0f} MiB, built in {index['build_s']:,.0f} s"
        left.plot(found["p50_ms"], found["recall"], marker="o", markersize=3, label=label)
    left.set(xscale="log", xlabel="one search, median ms", ylabel="recall at 100 against exact")
    left.set_title(f"{told['items']:,} simulated items")
    left.legend(fontsize=7, loc="lower right")
    steps = told["request_ms"]
    values = {share: [each[share] for each in steps.values()] for share in ("p50", "p99")}
    plots.bars(right, list(steps), values, "One request", lying=True, form="{:.2f}")
    right.set(xscale="log", xlabel="ms")
    right.legend()
    yield "scale", figure

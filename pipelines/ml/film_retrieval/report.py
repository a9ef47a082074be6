"""Test metrics of the suggestions, and pictures of the stages and of the results of `scale.py`."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.datasets import fetch
from slipway.reporting import Evaluation, plots
from slipway.reporting.baseline_rows import train_and_test_rows
from slipway.reporting.uncertainty import metric_with_interval
from slipway.training import LabelledRows

from .data import Label, splits
from .metrics import per_viewer, retrieval_metrics
from .model import CANDIDATES, FILMS, LIKED, NewFilm, Rating, Suggestions, Viewer, highest

EXAMPLE_STARS = {
    "Star Wars": 5,
    "The Empire Strikes Back": 5,
    "Alien (1979)": 4,
    "Sleepless in Seattle": 2,
}
EXAMPLES = [
    Viewer(
        history=[Rating(title=title, stars=stars) for title, stars in EXAMPLE_STARS.items()],
        age=31,
        new_films=[
            NewFilm(title="Starship Example", year=1998, genres=["Action", "Sci-Fi"]),
            NewFilm(title="Wedding Example", year=1998, genres=["Comedy", "Romance"]),
        ],
        count=5,
    ),
    Viewer(age=60, gender="F", occupation="librarian", count=3, retrieved=5),
]

SCALE = Path(__file__).with_name("scale.json")


def score(*, predictions: list[Suggestions], labels: list[Label]) -> dict[str, float]:
    """Return recall of the hundred retrieved films, precision and NDCG of the ten suggested.

    The baseline suggests the films that most training viewers liked, without those rated before.
    """
    train, test = train_and_test_rows(__file__, splits, fetch("movielens_100k"), labels)
    often = liked_counts(train)
    result: dict[str, float] = {}
    suggested: set[int] = set()
    for prefix, cold in (("", False), ("cold_", True)):
        first, hundred, popular = [], [], []
        for prediction, (viewer, label) in zip(predictions, test, strict=True):
            liked = np.zeros(FILMS, dtype=bool)
            liked[liked_films(label)] = True
            if label["cold"] == cold and liked.any():
                places = [(each.film or 0) - 1 for each in prediction.suggested]
                suggested.update(places)
                first.append((np.array(places), liked))
                hundred.append((np.array(prediction.retrieved) - 1, liked))
                seen = np.array([each.place for each in viewer.history], dtype=int)
                popular.append((highest(often, seen), liked))
        if first:
            gained = per_viewer(first)["ndcg_at_10"]
            metrics = retrieval_metrics(first)
            metrics["recall_at_100"] = retrieval_metrics(hundred)["recall_at_100"]
            # The interval resamples viewers.
            metrics |= metric_with_interval("ndcg_at_10", partial(mean_of, gained), len(gained))
            metrics["baseline_ndcg_at_10"] = retrieval_metrics(popular)["ndcg_at_10"]
            metrics["viewers"] = float(len(first))
            metrics["liked_films"] = float(np.mean([liked.sum() for _, liked in first]))
            result |= {f"{prefix}{name}": value for name, value in metrics.items()}
    return result | {"catalogue_suggested": len(suggested) / FILMS}


def mean_of(values: np.ndarray, rows: np.ndarray) -> float:
    return float(values[rows].mean())


def liked_films(label: Label) -> np.ndarray:
    """Return the indices of the films that the viewer liked next."""
    return np.array(label["films"])[np.array(label["stars"]) >= LIKED] - 1


def liked_counts(rows: LabelledRows[Viewer, Label]) -> np.ndarray:
    """Return how many viewers liked each film (films,), in the request or next."""
    counts = np.zeros(FILMS)
    for viewer, label in rows:
        counts[liked_films(label)] += 1
        counts[[each.place for each in viewer.history if each.stars >= LIKED]] += 1
    return counts


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    tried = {each.name: each.metrics for each in evaluation.candidates}

    def bars(axes: Axes, shown: dict[str, str], metrics: dict[str, str], title: str) -> None:
        """Draw bars; both mappings go from a name to its label in the picture."""
        values = {kind: [tried[each][name] for each in shown] for name, kind in metrics.items()}
        plots.bars(axes, list(shown.values()), values, title, horizontal=True, fmt="{:.3f}")

    figure, (left, right) = plots.panels(2)
    shown = {name: name for name in tried if name.startswith(("baseline", "ease", "towers"))}
    metrics = {"recall_at_100": "with a history", "cold_recall_at_100": "without"}
    bars(left, shown, metrics, "Retrieval: recall at 100 (validation)")
    shown = {name: name for name in tried if name.startswith("new_films")}
    bars(right, shown, {"new_film_recall_at_100": "of new films"}, "Films held out of training")
    right.axvline(CANDIDATES / FILMS, color=plots.INK, linestyle=":", label="by chance")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
    yield "retrieval_and_cold_start", figure

    figure, (left, right) = plots.panels(2)
    chosen = next(each for each in evaluation.candidates if each.name == evaluation.chosen)
    towers, ranker = chosen.parameters["towers"], chosen.parameters["ranker"]
    shown = {"baseline": "popularity", towers: "retrieved", ranker: "ranked"}
    shown[chosen.name] = "re-ranked"
    metrics = {"ndcg_at_10": "with a history", "cold_ndcg_at_10": "without"}
    bars(left, shown, metrics, "NDCG at 10 after each stage (validation)")
    again = [e for e in evaluation.candidates if e.name.startswith((ranker, "reranked"))]
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

    # The results of `scale.py`, which is not a stage.
    figure, (left, right) = plots.panels(2)
    measured = json.loads(SCALE.read_text())
    for name, index in measured["indexes"].items():
        found = pd.DataFrame(index["searches"])
        label = f"{name}, {index['mib']:,.0f} MiB, built in {index['build_s']:,.0f} s"
        left.plot(found["p50_ms"], found["recall"], marker="o", markersize=3, label=label)
    left.set(xscale="log", xlabel="one search, median ms", ylabel="recall at 100 against exact")
    left.set_title(f"{measured['items']:,} simulated items")
    left.legend(fontsize=7, loc="lower right")
    steps = measured["request_ms"]
    values = {share: [each[share] for each in steps.values()] for share in ("p50", "p99")}
    plots.bars(right, list(steps), values, "One request", horizontal=True, fmt="{:.2f}")
    right.set(xlabel="ms")
    right.legend()
    yield "scale", figure

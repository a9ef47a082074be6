"""Score stars and suggestions; draw precision, cold start, the rating matrix and similar films."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots

from .data import Truth
from .model import FILMS, Rating, Suggestions, Viewer
from .order import AT, LIKED
from .rated import SENT, Rated
from .stars import Biases, cosine

EXAMPLES = [
    Viewer(
        ratings=[
            Rating(title="Star Wars", stars=5),
            Rating(title="Empire Strikes Back, The", stars=5),
            Rating(title="Alien", stars=4),
            Rating(title="Sleepless in Seattle", stars=2),
        ],
        age=31,
        films=[1, 181],
        count=5,
    ),
    Viewer(gender="F", occupation="librarian", genre="Mystery", count=3),
]

# By curve: the title, what is counted, and the counts.
COLD_STARTS: dict[str, tuple[str, str, Sequence[object]]] = {
    "rmse_by_ratings_sent": ("A new viewer", "ratings sent", SENT),
    "rmse_by_film": ("A new film", "its ratings so far", ("0", "1-4", "5-19", "20-99", "100+")),
}


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

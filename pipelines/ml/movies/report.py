"""Score stars and suggestions; draw precision, cold start, the rating matrix and similar films."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from slipway.datasets import fetch
from slipway.reporting import Evaluation, plots
from slipway.reporting.baseline_rows import train_and_test_rows
from slipway.reporting.uncertainty import metric_with_interval, over_groups

from .data import Label, splits
from .model import FILMS, Rating, Suggestions, Viewer
from .order import AT, LIKED, precision
from .rated import SENT, Rated, later_ratings, sent_ratings
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

# For each curve: the title, the label of the axis, and the groups.
COLD_STARTS: dict[str, tuple[str, str, Sequence[object]]] = {
    "rmse_by_ratings_sent": ("A new viewer", "ratings sent", SENT),
    "rmse_by_film": ("A new film", "its ratings so far", ("0", "1-4", "5-19", "20-99", "100+")),
}


def score(*, predictions: list[Suggestions], labels: list[Label]) -> dict[str, float]:
    """Return errors of the stars and the precision; the baseline is the biases alone."""
    y_pred = np.array([film.stars for prediction in predictions for film in prediction.requested])
    y_true = np.array([stars for label in labels for stars in label["stars"]])
    hits, suggested = [], set()
    for prediction, label in zip(predictions, labels, strict=True):
        rated = dict(zip((film.film for film in prediction.requested), label["stars"], strict=True))
        best = [film.film for film in prediction.suggested[:AT]]
        hits.append(sum(rated.get(film, 0) >= LIKED for film in best) / AT)
        suggested |= set(best)
    by_biases, by_popularity = simple_rules(labels)
    squares = (y_pred - y_true) ** 2
    # Ratings of one viewer are alike, so viewers are resampled.
    counts = [len(label["stars"]) for label in labels]
    viewers = np.split(np.arange(len(squares)), np.cumsum(counts)[:-1])
    by_viewer = over_groups(lambda rows: float(np.sqrt(squares[rows].mean())), viewers)
    return {
        **metric_with_interval("rmse", by_viewer, len(viewers)),
        "baseline_rmse": float(np.sqrt(np.mean((by_biases - y_true) ** 2))),
        "mae": float(np.mean(np.abs(y_pred - y_true))),
        "precision_at_10": float(np.mean(hits)),
        "popularity_precision_at_10": by_popularity,
        "catalogue_suggested": len(suggested) / FILMS,
        "mean_stars_error": float(y_pred.mean() - y_true.mean()),
    }


def simple_rules(labels: list[Label]) -> tuple[np.ndarray, float]:
    """Return the stars of biases alone (ratings,), and the precision of the most rated films.

    The stars are those of the ratings to predict, in their order.
    """
    train, test = train_and_test_rows(__file__, splits, fetch("movielens_100k"), labels)
    known = Rated.from_labelled_rows(train)
    sent, later = (
        Rated.from_ratings(test.records, ratings)
        for ratings in (
            [sent_ratings(viewer) for viewer in test.records],
            [later_ratings(*row) for row in test],
        )
    )
    rows = zip(Biases.fit(known)(sent), test.records, strict=True)
    stars = [stars[np.array(viewer.films) - 1] for stars, viewer in rows]
    most_rated = known.known.sum(axis=0).astype(float)
    return np.clip(np.concatenate(stars), 1, 5), precision(most_rated, sent, later)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    tried, chosen = evaluation.candidates, evaluation.chosen
    figure, (left, right) = plots.panels(2)
    names, title = [each.name for each in tried], "Precision among the first ten (validation)"
    precise = [each.metrics["precision_at_10"] for each in tried]
    plots.bars(left, names, precise, title, horizontal=True, fmt="{:.3f}", size=9, chosen=chosen)
    with_stars = [each for each in tried if "rmse" in each.metrics]
    errors = {
        "later viewers (what counts here)": [each.metrics["rmse"] for each in with_stars],
        "ratings held out at random": [each.metrics["rmse_random_split"] for each in with_stars],
    }
    plots.bars(
        right,
        [each.name for each in with_stars],
        errors,
        "RMSE by how one holds out",
        horizontal=True,
    )
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
    rated = Rated.from_labelled_rows(evaluation.train)
    yield "matrix", matrix(rated)
    yield "similarity", similarity(rated, evaluation.weights)


def matrix(rated: Rated) -> Figure:
    """Draw the rating matrix, with viewers and films in the order of their number of ratings."""
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
    """Draw cosines of mean-centred columns of the most rated films, similar ones side by side."""
    films = json.loads((weights / "films.json").read_text())
    best = np.argsort(-rated.known.sum(axis=0), kind="stable")[:count]
    columns = Biases.fit(rated).residuals(rated).T[best]
    alike = cosine(columns, columns)
    np.fill_diagonal(alike, np.nan)
    order = np.argsort(np.linalg.eigh(np.nan_to_num(alike))[1][:, -1], kind="stable")
    figure, (axes,) = plots.panels(1, height=4.6)
    figure.set_figwidth(6.4)
    names = [films[place]["title"] for place in best[order]]
    title = "Cosine similarity of the most rated films"
    plots.heatmap(axes, alike[order][:, order], names, names, title, limit=0.4, size=8)
    return figure

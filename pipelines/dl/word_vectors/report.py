"""Score the served answers beside the baseline's, and draw words, analogies and training."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import onnx
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

from slipway.reporting import Evaluation, plots

from .model import Answer, Neighbours, Query, WordVectors
from .questions import GroupBootstrap

EXAMPLES = [
    Query(positive=["king", "woman"], negative=["man"]),
    Query(positive=["funny"], count=8),
    Query(positive=["better", "bad"], negative=["good"]),
    Query(positive=["france", "italian"], negative=["italy"]),
    Query(positive=["hitchcock"], count=8),
    Query(positive=["flibbertigibbet"]),
]
# Pairs whose arrows the first picture shows.
PAIRS = {
    "family": "man woman, king queen, actor actress, husband wife, son daughter, boy girl",
    "degree": "good better, bad worse, small smaller, large larger, high higher, strong stronger",
}
# Words that start the groups of the map; each group is a word's nearest neighbours.
GROUPS = "actor director horror music war doctor london car family terrible wonderful monday"
COLOURS = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]


def score(*, predictions: list[Neighbours], labels: list[Answer]) -> dict[str, float]:
    """Return the share of right answers, that of the baseline, and the difference.

    Intervals are bootstrapped over groups of pairs. `accuracy_at_5` counts an answer among five.
    """
    right = rights(predictions, labels)
    counted = np.array([label.by_counts == label.word for label in labels])
    among = [
        any(near.word == label.word for near in each.neighbours)
        for each, label in zip(predictions, labels, strict=True)
    ]
    bootstrap = GroupBootstrap(
        [(each.pairs[0], each.pairs[1]) for each in labels], [each.category for each in labels]
    )
    low, high = interval(bootstrap.resampled(right, seed=7))
    # The same draws for both, so that their difference has the interval of paired answers.
    gains = bootstrap.resampled(right, seed=7) - bootstrap.resampled(counted, seed=7)
    gain_low, gain_high = interval(gains)
    return {
        "accuracy": float(right.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "accuracy_at_5": float(np.mean(among)),
        "baseline_accuracy": float(counted.mean()),
        "gain": float(right.mean() - counted.mean()),
        "gain_low": gain_low,
        "gain_high": gain_high,
    }


def rights(predictions: Sequence[Neighbours], labels: Sequence[Answer]) -> np.ndarray:
    """Return whether the nearest word is the right one, (rows,)."""
    return np.array(
        [
            bool(each.neighbours) and each.neighbours[0].word == label.word
            for each, label in zip(predictions, labels, strict=True)
        ]
    )


def interval(resampled: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval by percentiles."""
    low, high = np.quantile(resampled, [0.025, 0.975]).tolist()
    return low, high


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    model = WordVectors()
    model.load(evaluation.weights)
    words = json.loads((evaluation.weights / "vocabulary.json").read_text())
    vectors = dict(zip(words, units(evaluation.weights / "model.onnx"), strict=True))
    figure, axes = plt.subplots(1, 3, figsize=(11.6, 4.2), width_ratios=(1, 1, 1.15))
    for panel, (name, pairs) in zip(axes, PAIRS.items(), strict=False):
        arrows(panel, name, pairs, vectors)
    requests(axes[2], model.predict(EXAMPLES))
    yield "analogies", figure
    figure, panel = plt.subplots(figsize=(9.6, 6.4))
    word_map(panel, model, vectors)
    yield "map", figure
    figure, panel = plt.subplots(figsize=(9.2, 5.2))
    by_category(panel, evaluation)
    yield "categories", figure
    figure, (left, right) = plots.panels(2, height=3.8)
    learning(left, evaluation)
    similarity(right, evaluation)
    yield "learning", figure


def units(file: Path) -> np.ndarray:
    """Return the vectors of length 1 (words, width) that the graph holds."""
    arrays = [onnx.numpy_helper.to_array(each) for each in onnx.load(file).graph.initializer]
    found: np.ndarray = max(arrays, key=lambda each: each.size)
    return found


def arrows(axes: Axes, name: str, pairs: str, vectors: dict[str, np.ndarray]) -> None:
    """Draw an arrow from the first to the second word of each pair, as a PCA sees them."""
    both = [pair.split() for pair in pairs.split(", ")]
    known = [each for each in both if set(each) <= vectors.keys()]
    axes.set_title(f"Differences: {name}")
    axes.set_axis_off()
    if len(known) < 2:
        return
    ends = np.stack([vectors[word] for pair in known for word in pair])
    # One axis along the mean arrow, the other along what differs most besides.
    along = (ends[1::2] - ends[::2]).mean(axis=0)
    along /= np.linalg.norm(along)
    rest = ends - ends.mean(axis=0)
    rest -= (rest @ along)[:, None] * along
    across = np.linalg.svd(rest, full_matrices=False)[2][0]
    places = np.stack([ends @ along, ends @ across], axis=1)
    # Words of one pair at nearly one height: the lines are spread by rank, so that none collide.
    heights = np.argsort(np.argsort(places[::2, 1] + places[1::2, 1]))
    for row, pair in enumerate(known):
        (start, _), (stop, _) = places[2 * row : 2 * row + 2]
        height = heights[row]
        style = {"arrowstyle": "->", "color": plots.ACCENT, "lw": 1.4}
        axes.annotate("", (stop, height), (start, height), arrowprops=style)
        sides = ("right", "left") if start < stop else ("left", "right")
        for word, place, side in zip(pair, (start, stop), sides, strict=True):
            offset = (-4 if side == "right" else 4, 0)
            axes.annotate(
                word, (place, height), offset, textcoords="offset points", ha=side, va="center"
            )
    low, high = places[:, 0].min(), places[:, 0].max()
    axes.set(xlim=(low - 0.6 * (high - low), high + 0.6 * (high - low)), ylim=(-0.6, len(known)))


def requests(axes: Axes, predictions: Sequence[Neighbours]) -> None:
    """Write the examples and their nearest words."""
    axes.set_axis_off()
    axes.set_title("Requests and the nearest words")
    height = 1.0
    for query, each in zip(EXAMPLES, predictions, strict=True):
        text = " + ".join(query.positive) + "".join(f" - {word}" for word in query.negative)
        axes.text(0, height, text, weight="bold", color=plots.ACCENT, va="top", size=9)
        near = [f"{found.word} {found.similarity:.2f}" for found in each.neighbours[:4]]
        answer = ", ".join(near) or f"unknown: {', '.join(each.unknown_words)}"
        axes.text(0.03, height - 0.055, answer, va="top", size=8.5)
        height -= 0.165
    axes.set(xlim=(0, 1), ylim=(0, 1.02))


def word_map(axes: Axes, model: WordVectors, vectors: dict[str, np.ndarray]) -> None:
    """Draw words near to some others by t-SNE, each group in its colour."""
    starts = [word for word in GROUPS.split() if word in vectors]
    groups: dict[str, str] = {}
    for start in starts:
        (found,) = model.predict([Query(positive=[start], count=8)])
        for word in (start, *(near.word for near in found.neighbours)):
            groups.setdefault(word, start)
    names = list(groups)
    axes.set_axis_off()
    axes.set_title("Words and their neighbours, by t-SNE")
    if len(names) < 10:
        return
    near = np.stack([vectors[word] for word in names])
    # The exact method: that of Barnes and Hut adds in an order that threads decide.
    perplexity = min(10, len(names) // 4)
    search = TSNE(perplexity=perplexity, init="pca", method="exact", random_state=0)
    places = spread_out(search.fit_transform(near), names)
    for word, place in zip(names, places, strict=True):
        colour = COLOURS[2 * starts.index(groups[word]) % 20 + starts.index(groups[word]) // 10]
        weight = "bold" if word == groups[word] else "normal"
        style: dict[str, Any] = {"size": 8, "ha": "center", "va": "center", "weight": weight}
        axes.text(place[0], place[1], word, color=colour, **style)
    low, high = places[:, 1].min() - 0.03, places[:, 1].max() + 0.03
    axes.set(xlim=(-0.05, 1.05), ylim=(low, high))


def spread_out(places: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return places (words, 2) from 0 to 1, moved until no word is written over another."""
    places = (places - places.min(axis=0)) / np.ptp(places, axis=0)
    widths = 0.0055 * np.array([len(word) + 2 for word in names])
    for _ in range(400):
        apart = places[:, None] - places[None]
        # How far two words overlap in width and in height; both must for one to be written over.
        over = np.stack([widths[:, None] + widths[None], np.full(apart.shape[:2], 0.027)], axis=2)
        over -= np.abs(apart)
        np.fill_diagonal(over[:, :, 1], 0)
        hit = (over > 0).all(axis=2)
        if not hit.any():
            break
        up = np.where(apart[:, :, 1] > 0, 1, np.where(apart[:, :, 1] < 0, -1, 0))
        places[:, 1] += (0.3 * hit * up * over[:, :, 1]).sum(axis=1)
    return places


def by_category(axes: Axes, evaluation: Evaluation) -> None:
    """Draw the share of right test answers in each category, with the baseline's."""
    labels: list[Answer] = evaluation.test.labels
    right = rights(evaluation.predictions, labels)
    counted = np.array([label.by_counts == label.word for label in labels])
    categories = np.array([label.category for label in labels])
    names = sorted(set(categories), key=lambda each: -right[categories == each].mean())
    counts = [(categories == each).sum() for each in names]
    plain = [re.sub(r"^gram\d-", "", each).replace("-", " ") for each in names]
    shown = [f"{each} ({count})" for each, count in zip(plain, counts, strict=True)]
    series = {
        "served": [100 * right[categories == each].mean() for each in names],
        "baseline (counts)": [100 * counted[categories == each].mean() for each in names],
    }
    plots.bars(axes, shown, series, "Right answers by category", horizontal=True, fmt="{:.0f}")
    axes.set_xlabel("right answers (%); in brackets the number of test questions")


def learning(axes: Axes, evaluation: Evaluation) -> None:
    """Draw validation accuracy by epoch, and lines of what has no epochs or was made elsewhere."""
    plots.curves(axes, evaluation.candidates, "accuracy", "Validation accuracy by epoch")
    lines = [
        (each.name, each.metrics["accuracy"], ":")
        for each in evaluation.candidates
        if not each.curves
    ]
    lines += [(name, each["accuracy"], "--") for name, each in references().items()]
    for number, (name, value, style) in enumerate(lines):
        axes.axhline(value, linestyle=style, color=COLOURS[4 + 2 * number], label=name, lw=1.2)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", integer=True)
    axes.legend(fontsize=7, ncols=2, loc="lower right")


def similarity(axes: Axes, evaluation: Evaluation) -> None:
    """Draw the correlation of cosines with people's judgement, of candidates and references."""
    metrics = {each.name: each.metrics for each in evaluation.candidates}
    metrics |= references()
    series = {
        title: [each[name] for each in metrics.values()]
        for title, name in (("WordSim-353", "wordsim353"), ("SimLex-999", "simlex999"))
    }
    plots.bars(
        axes,
        list(metrics),
        series,
        "Correlation (Spearman) with people",
        horizontal=True,
        fmt="{:.2f}",
    )
    axes.set_xlabel("")


def references() -> dict[str, dict[str, float]]:
    """Return what `python -m pipelines.dl.word_vectors.compare` measured of others' vectors."""
    found: dict[str, dict[str, float]] = json.loads(
        Path(__file__).with_name("references.json").read_text()
    )
    return found

"""Test metrics of the served predictions, and pictures of groups, n-grams and words."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import accuracy_score, f1_score

from slipway.reporting import Evaluation, plots
from slipway.reporting.uncertainty import baseline_metric, metric_with_interval
from slipway.training import Candidate
from slipway.training.resampled import RowMetric

from .model import Posting, Topic, words

# Invented, because real people wrote the postings.
EXAMPLES = [
    Posting(
        text="Re: Orbit of the new probe. The launch was delayed, but the shuttle will carry the "
        "satellite into orbit next month; does anyone know how long the solar panels last?"
    ),
    Posting(
        text="For sale: 14 inch monitor, hardly used, asking $120 or best offer, shipping included."
    ),
]


def score(*, predictions: list[Topic], labels: list[str]) -> dict[str, float]:
    y_pred = [each.newsgroup for each in predictions]
    among = [
        label in [guess.newsgroup for guess in each.guesses]
        for each, label in zip(predictions, labels, strict=True)
    ]
    each_f1 = f1_score(labels, y_pred, average=None, labels=sorted(set(labels)), zero_division=0.0)
    # The baseline predicts one group for all. None has a higher macro F1 than the largest one here.
    largest = [Counter(labels).most_common(1)[0][0]] * len(labels)
    macro, baseline = (macro_f1_by_rows(labels, each) for each in (y_pred, largest))
    accuracy = float(accuracy_score(labels, y_pred))
    probability = float(np.mean([each.probability for each in predictions]))
    return {
        # Over postings. Some answer each other, so the true interval is wider.
        **metric_with_interval("macro_f1", macro, len(labels)),
        **baseline_metric("macro_f1", baseline, len(labels)),
        "accuracy": accuracy,
        "among_three": float(np.mean(among)),
        "worst_f1": float(np.min(each_f1)),
        "mean_probability": probability,
        "probability_error": abs(probability - accuracy),
    }


def macro_f1_by_rows(y_true: list[str], y_pred: list[str]) -> RowMetric:
    """Return the macro F1 over the true groups, as a function of row numbers."""
    names, codes = np.unique([*y_true, *y_pred], return_inverse=True)
    true, predicted = np.split(codes, 2)
    groups = np.unique(true)

    def macro_f1(rows: np.ndarray) -> float:
        right = true[rows][true[rows] == predicted[rows]]
        hits, either = (
            np.bincount(each, minlength=len(names))[groups]
            for each in (right, np.concatenate([true[rows], predicted[rows]]))
        )
        # F1 is twice the hits, divided by the rows of the group and the rows predicted as it.
        return float(np.mean(2 * hits / np.maximum(either, 1)))

    return macro_f1


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    y_true = evaluation.test.labels
    y_pred = [each.newsgroup for each in evaluation.predictions]
    groups = sorted(set(y_true) | set(y_pred))
    figure, (axes,) = plots.panels(1, height=7.6)
    figure.set_figwidth(8.4)
    plots.confusion(axes, y_true, y_pred, groups)
    yield "confusion", figure
    figure, (left, right) = plots.panels(2, height=4.6)
    by_group(left, y_true, y_pred, groups)
    ranges(right, evaluation.candidates)
    yield "groups_and_ngrams", figure
    hidden = writers([each.text for each in evaluation.train.records])
    yield "words", strongest_terms(evaluation.weights, hidden)


def by_group(axes: Axes, y_true: list[str], y_pred: list[str], groups: list[str]) -> None:
    """Draw the F1 of each newsgroup."""
    values = f1_score(y_true, y_pred, average=None, labels=groups, zero_division=0.0)
    order = np.argsort(-values)
    names, title = [groups[place] for place in order], "F1 by newsgroup (test rows)"
    plots.bars(axes, names, values[order], title, horizontal=True, fmt="{:.2f}")


def ranges(axes: Axes, tried: list[Candidate]) -> None:
    """Draw the macro F1 of each classifier with single words, and with pairs too."""
    figures = {each.name: each.metrics["macro_f1"] for each in tried}
    kinds = sorted(name.removesuffix("_pairs") for name in figures if name.endswith("_pairs"))
    values = {end: [figures[f"{kind}_{end}"] for kind in kinds] for end in ("words", "pairs")}
    title, colours = "Macro F1 by n-grams (validation)", (plots.PALE, plots.ACCENT)
    plots.bars(axes, kinds, values, title, fmt="{:.3f}", colours=colours)
    axes.tick_params(axis="x", rotation=20)
    axes.set_ylim(0.8, 1.0)


def writers(texts: list[str]) -> set[str]:
    """Return names: words that are part of a citation three times in ten or more."""
    every, kept = (
        Counter(word for text in texts for word in words(text, keep_citations=keep))
        for keep in (True, False)
    )
    return {word for word, count in every.items() if kept[word] <= 0.7 * count}


def strongest_terms(weights: Path, hidden: set[str], count: int = 6) -> Figure:
    """Draw the terms with the largest weights for each newsgroup, without the names of writers."""
    import onnx
    from onnx import numpy_helper

    content = json.loads((weights / "terms.json").read_text())
    graph = onnx.load(weights / "model.onnx").graph
    arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    figure, (axes,) = plots.panels(1, height=4.4)
    figure.set_figwidth(9.2)
    axes.axis("off")
    shown = [place for place, term in enumerate(content["terms"]) if not hidden & {*term.split()}]
    for row, group in enumerate(content["groups"]):
        best = np.argsort(-arrays["coefficients"][shown, row])[:count]
        axes.text(0.0, -row, group, weight="bold", size=8)
        axes.text(0.28, -row, ", ".join(content["terms"][shown[each]] for each in best), size=8)
    axes.set_ylim(-len(content["groups"]), 1)
    axes.set_title("Terms that speak most for a newsgroup, without writers' names")
    return figure

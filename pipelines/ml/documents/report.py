"""Scores of the served topics on the test postings, and pictures of groups, n-grams and words."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import accuracy_score, f1_score

from slipway.reporting import Evaluation, plots
from slipway.training import Candidate

from .model import Posting, Topic, words

# Invented: the postings are real people's.
EXAMPLES = [
    Posting(
        text="Re: Orbit of the new probe. The launch was delayed, but the shuttle will carry the "
        "satellite into orbit next month; does anyone know how long the solar panels last?"
    ),
    Posting(
        text="For sale: 14 inch monitor, hardly used, asking $120 or best offer, shipping included."
    ),
]


def score(*, answers: list[Topic], truths: list[str]) -> dict[str, float]:
    told = [each.newsgroup for each in answers]
    among = [
        truth in [guess.newsgroup for guess in each.guesses]
        for each, truth in zip(answers, truths, strict=True)
    ]
    each_f1 = f1_score(truths, told, average=None, labels=sorted(set(truths)), zero_division=0.0)
    accuracy = float(accuracy_score(truths, told))
    probability = float(np.mean([each.probability for each in answers]))
    return {
        "macro_f1": float(np.mean(each_f1)),
        "accuracy": accuracy,
        "among_three": float(np.mean(among)),
        "worst_f1": float(np.min(each_f1)),
        "mean_probability": probability,
        "probability_error": abs(probability - accuracy),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    truths = evaluation.test.truths
    told = [each.newsgroup for each in evaluation.answers]
    groups = sorted(set(truths) | set(told))
    figure, (axes,) = plots.panels(1, height=7.6)
    figure.set_figwidth(8.4)
    plots.confusion(axes, truths, told, groups)
    yield "confusion", figure
    figure, (left, right) = plots.panels(2, height=4.6)
    by_group(left, truths, told, groups)
    ranges(right, evaluation.candidates)
    yield "groups_and_ngrams", figure
    hidden = writers([each.text for each in evaluation.train.records])
    yield "words", speaking(evaluation.weights, hidden)


def by_group(axes: Axes, truths: list[str], told: list[str], groups: list[str]) -> None:
    values = f1_score(truths, told, average=None, labels=groups, zero_division=0.0)
    order = np.argsort(-values)
    names, title = [groups[place] for place in order], "F1 by newsgroup (test rows)"
    plots.bars(axes, names, values[order], title, lying=True, form="{:.2f}")


def ranges(axes: Axes, tried: list[Candidate]) -> None:
    """Each classifier with single words and with pairs too."""
    figures = {each.name: each.metrics["macro_f1"] for each in tried}
    kinds = sorted(name.removesuffix("_pairs") for name in figures if name.endswith("_pairs"))
    values = {end: [figures[f"{kind}_{end}"] for kind in kinds] for end in ("words", "pairs")}
    title, colours = "Macro F1 by n-grams (validation)", (plots.PALE, plots.ACCENT)
    plots.bars(axes, kinds, values, title, form="{:.3f}", colours=colours)
    axes.tick_params(axis="x", rotation=20)
    axes.set_ylim(0.8, 1.0)


def writers(texts: list[str]) -> set[str]:
    """Names: words that stand where someone is answered three times in ten or more."""
    every, kept = (
        Counter(word for text in texts for word in words(text, keep_citations=keep))
        for keep in (True, False)
    )
    return {word for word, count in every.items() if kept[word] <= 0.7 * count}


def speaking(weights: Path, hidden: set[str], count: int = 6) -> Figure:
    """The terms that speak most for each newsgroup; no names of people who wrote there."""
    import onnx
    from onnx import numpy_helper

    told = json.loads((weights / "terms.json").read_text())
    graph = onnx.load(weights / "model.onnx").graph
    arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    figure, (axes,) = plots.panels(1, height=4.4)
    figure.set_figwidth(9.2)
    axes.axis("off")
    shown = [place for place, term in enumerate(told["terms"]) if not hidden & {*term.split()}]
    for row, group in enumerate(told["groups"]):
        best = np.argsort(-arrays["coefficients"][shown, row])[:count]
        axes.text(0.0, -row, group, weight="bold", size=8)
        axes.text(0.28, -row, ", ".join(told["terms"][shown[each]] for each in best), size=8)
    axes.set_ylim(-len(told["groups"]), 1)
    axes.set_title("Terms that speak most for a newsgroup, without writers' names")
    return figure

"""Binary relevance against chains of classifiers, with class weights and thresholds a topic.

Folds are spans of time: what is told of a story again on the same day stays on one side.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.sparse import csr_matrix, hstack, issparse
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, hamming_loss
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from slipway.datasets import fetch
from slipway.training import Candidate, Evaluation, Examples, Fitted, plots

from .data import genes
from .model import ARRAYS, TERMS, TOPICS, Story, Subjects, chained, subjects, words

CUTS = np.linspace(0.05, 0.95, 37)
# Order of the chain (None: no chain) and class weights.
METHODS: dict[str, tuple[str | None, str | None]] = {
    "binary_relevance": (None, None),
    "binary_relevance_balanced": (None, "balanced"),
    "chain_frequent_first": ("frequent", None),
    "chain_frequent_first_balanced": ("frequent", "balanced"),
    "chain_rare_first": ("rare", None),
    "chain_random": ("random", None),
}
CHAINS = ("chain_frequent_first", "chain_rare_first", "chain_random")


f1 = partial(f1_score, zero_division=0.0)


@dataclass(frozen=True)
class Linear:
    """A linear classifier a label, and what each earlier answer in `order` adds to its score."""

    weights: np.ndarray
    intercepts: np.ndarray
    links: np.ndarray
    order: list[int]

    def log_odds(self, rows: Any) -> np.ndarray:
        """(rows, labels) of vectors (rows, terms)."""
        return chained(np.asarray(rows @ self.weights + self.intercepts), self.links, self.order)


def ordered(truths: np.ndarray, how: str | None, seed: int) -> list[int]:
    order = np.argsort(-truths.sum(axis=0), kind="stable")
    if how == "random":
        order = np.random.default_rng(seed).permutation(truths.shape[1])
    return [int(each) for each in (order[::-1] if how == "rare" else order)]


def learnt(rows: Any, truths: np.ndarray, method: str, strength: float, seed: int) -> Linear:
    """A logistic regression a label; in a chain the true labels before it are columns too."""
    how, class_weight = METHODS[method]
    (_, terms), labels = rows.shape, truths.shape[1]
    order = ordered(truths, how, seed)
    weights, intercepts = np.zeros((terms, labels)), np.full(labels, -10.0)
    links = np.zeros((labels, labels))
    for step, place in enumerate(order):
        known = order[:step] if how else []
        # With no story of the topic, or none without it, there is nothing to learn.
        if truths[:, place].min() == truths[:, place].max():
            continue
        # Of texts, with more words than stories, the dual problem is solved 7 times faster.
        made = LogisticRegression(
            C=strength,
            class_weight=class_weight,
            solver="liblinear",
            dual=issparse(rows),
            tol=0.01,
            max_iter=1000,
            random_state=seed,
        ).fit(hstack([rows, csr_matrix(truths[:, known], dtype=float)]).tocsr(), truths[:, place])
        weights[:, place] = made.coef_[0, :terms]
        links[known, place] = made.coef_[0, terms:]
        intercepts[place] = made.intercept_[0]
    return Linear(weights, intercepts, links, order)


def thresholds(probabilities: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Of the best F1 a label (labels,). Yang, A Study of Thresholding Strategies (2001)."""
    found = []
    for told, truth in zip(probabilities.T, truths.T, strict=True):
        said = told >= CUTS[:, None]
        right, either = (said & truth).sum(axis=1), said.sum(axis=1) + truth.sum()
        found.append(CUTS[np.argmax(2 * right / np.maximum(either, 1))])
    return np.array(found)


def figures(truths: np.ndarray, told: np.ndarray) -> dict[str, float]:
    """Of yes and no (rows, labels)."""
    return {
        "macro_f1": float(f1(truths, told, average="macro")),
        "micro_f1": float(f1(truths, told, average="micro")),
        "hamming_loss": float(hamming_loss(truths, told)),
        "all_right": float(accuracy_score(truths, told)),
    }


def compared(
    parts: list[tuple[np.ndarray, Any, Any]], truths: np.ndarray, strength: float, seed: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each candidate's name, thresholds for all rows, and held-out answers.

    `parts` are the folds: places of its rows, vectors of the others, vectors of its own.
    """
    told = {name: np.empty(truths.shape) for name in ("baseline", *METHODS)}
    for places, others, own in parts:
        rest = np.delete(truths, places, axis=0)
        told["baseline"][places] = rest.mean(axis=0)
        for name in METHODS:
            told[name][places] = expit(learnt(others, rest, name, strength, seed).log_odds(own))
    told["chain_ensemble"] = np.mean([told[name] for name in CHAINS], axis=0)
    for name, probabilities in told.items():
        yield name, np.full(truths.shape[1], 0.5), probabilities >= 0.5
        answers = np.empty(truths.shape, dtype=bool)
        for own, _, _ in parts:
            # A fold's answers are judged with thresholds from the other folds.
            others, rest = (np.delete(each, own, axis=0) for each in (probabilities, truths))
            answers[own] = probabilities[own] >= thresholds(others, rest)
        yield f"{name}_thresholds", thresholds(probabilities, truths), answers


def parted(rows: np.ndarray, folds: int, scale: Any) -> list[tuple[np.ndarray, Any, Any]]:
    """Parts to compare on, each made vectors by a scale of the rows that are learnt from."""
    return [
        (own, scale.fit_transform(rows[rest]), scale.transform(rows[own]))
        for rest, own in KFold(folds).split(rows)
    ]


def vectorizer(terms: int) -> TfidfVectorizer:
    return TfidfVectorizer(analyzer=words, min_df=2, max_features=terms, sublinear_tf=True)


def indicator(topics: list[list[str]]) -> np.ndarray:
    return np.array([[name in each for name in TOPICS] for each in topics])


def fit(
    *,
    train: Examples[Story, list[str]],
    weights: Path,
    seed: int,
    folds: int,
    terms: int,
    strength: float,
    genes_rows: int,
) -> Fitted:
    """Choose by cross-validated macro F1 among single models, and fit that on all rows."""
    texts, truths = [each.text for each in train.records], indicator(train.truths)
    numbers, groups = genes(fetch("yeast_multilabel"), genes_rows)
    elsewhere = compared(parted(numbers, folds, StandardScaler()), groups, 1.0, seed)
    yeast = {name: f1(groups, answers, average="macro") for name, _, answers in elsewhere}
    counted = vectorizer(terms)
    parts = parted(np.array(texts, dtype=object), folds, counted)
    tried, cuts = [], {}
    for name, cuts[name], answers in compared(parts, truths, strength, seed):
        metrics = figures(truths, answers) | {"macro_f1_yeast": float(yeast[name])}
        by_topic = f1(truths, answers, average=None).tolist()
        tried.append(Candidate(name, metrics, curves={"f1": by_topic}))
    allowed = [each for each in tried if each.name.removesuffix("_thresholds") in METHODS]
    chosen = max(allowed, key=lambda each: each.metrics["macro_f1"]).name
    method = chosen.removesuffix("_thresholds")
    best = learnt(counted.fit_transform(texts), truths, method, strength, seed)
    export(best, counted, cuts[chosen], weights)

    def native(stories: list[Story]) -> list[Subjects]:
        rows = counted.transform([each.text for each in stories])
        return subjects(best.log_odds(rows), cuts[chosen], np.diff(rows.indptr).tolist())

    return Fitted(tried, chosen, native)


def export(best: Linear, counted: TfidfVectorizer, cuts: np.ndarray, weights: Path) -> None:
    told = {"terms": counted.get_feature_names_out().tolist(), "order": best.order}
    (weights / TERMS).write_text(json.dumps(told) + "\n")
    np.savez(
        weights / ARRAYS,
        rarity=counted.idf_,
        weights=best.weights.astype(np.float32),
        intercepts=best.intercepts,
        links=best.links,
        thresholds=cuts,
    )


def score(*, answers: list[Subjects], truths: list[list[str]]) -> dict[str, float]:
    told, true = indicator([each.topics for each in answers]), indicator(truths)
    return figures(true, told) | {
        "topics_told": float(told.sum(axis=1).mean()),
        "topics_true": float(true.sum(axis=1).mean()),
        "stories_of_none": float((~true.any(axis=1)).mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "yeast", plots.candidates(evaluation.candidates, evaluation.chosen, "macro_f1_yeast")
    truths = indicator(evaluation.train.truths)
    figure, (left, right) = plots.panels(2, height=5)
    correlations(left, truths)
    together(right, truths)
    yield "correlations", figure
    figure, (left, right) = plots.panels(2, height=5)
    told = indicator([each.topics for each in evaluation.answers])
    by_topic = f1(indicator(evaluation.test.truths), told, average=None)
    names = [f"{name}, {count}" for name, count in zip(TOPICS, truths.sum(axis=0), strict=True)]
    title = "F1 by topic and its training\nstories (test rows)"
    plots.weights(left, names, by_topic, title)
    left.tick_params("y", labelsize=7)
    by_rarity(right, evaluation.candidates)
    yield "imbalance", figure


def correlations(axes: Axes, truths: np.ndarray) -> None:
    """Pearson's correlation of yes and no, which for two such columns is called phi."""
    with np.errstate(invalid="ignore"):  # of a topic that no story has
        told = np.nan_to_num(np.corrcoef(truths.T.astype(float)))
    plots.heat(axes, told, TOPICS, TOPICS, "Correlation of topics (training)", reach=1, size=6)


def together(axes: Axes, truths: np.ndarray, shown: int = 16) -> None:
    """Which topic tells another."""
    both = truths.T.astype(float) @ truths
    share = both / np.maximum(both.diagonal()[:, None], 1)
    np.fill_diagonal(share, 0)
    order = np.argsort(-share, axis=None)[:shown]
    pairs = [divmod(place, len(TOPICS)) for place in order.tolist()]
    names = [f"{TOPICS[one]} → {TOPICS[other]}" for one, other in pairs]
    title = "Share of the first topic's stories\nthat are of the second too"
    plots.weights(axes, names, [share[pair] for pair in pairs], title)


def by_rarity(axes: Axes, tried: list[Candidate]) -> None:
    shown = {
        each.name: [np.mean(third) for third in np.array_split(each.curves["f1"], 3)]
        for each in tried
        if each.name.startswith(("binary", "chain_frequent_first"))
    }
    thirds, colours = ("most frequent", "between", "rarest third"), [f"C{n}" for n in range(8)]
    plots.bars(axes, thirds, shown, "Mean F1 by frequency (validation)", colours=colours)
    axes.set_ylim(0.4, 1.25)
    axes.legend(fontsize=6, ncols=2, loc="upper center")

"""Fit binary relevance and chains of classifiers, with class weights and a threshold per topic.

Folds are spans of time, so a story repeated on the same day stays on one side. The simplest single
model within one standard error of the best macro F1 is served.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack, issparse
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.datasets import fetch
from slipway.training import Candidate, Examples, Fitted
from slipway.training.arrays import write_arrays
from slipway.training.selection import bootstrap_error, simplest_within_error

from .data import genes
from .metrics import f1, indicator, multilabel_metrics
from .model import ARRAYS, TERMS, Story, Subjects, chained, subjects, words

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


def macro_f1_error(y_true: np.ndarray, y_pred: np.ndarray, seed: int) -> float:
    """Return the standard error of macro F1 (rows, labels), by resampling rows."""
    both = (y_true & y_pred).astype(np.float64)
    either = y_true.astype(np.float64) + y_pred

    def of_rows(places: np.ndarray) -> float:
        counts = np.bincount(places, minlength=len(both))
        return float(np.mean(2 * (counts @ both) / np.maximum(counts @ either, 1)))

    return bootstrap_error(of_rows, len(both), seed=seed)


def simplicity(candidate: Candidate) -> tuple[bool, bool]:
    """Return a key that orders single models from the one with the fewest numbers to the most.

    Class weights add none to a model, thresholds one per topic, a chain one per pair of topics.
    """
    return candidate.name.startswith("chain"), candidate.name.endswith("_thresholds")


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


# Sums of floats depend on how threads share them out.
@threadpool_limits.wrap(limits=1)
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
    """Choose by cross-validated macro F1 among single models, and fit the chosen on all rows."""
    texts, truths = [each.text for each in train.records], indicator(train.truths)
    numbers, groups = genes(fetch("yeast_multilabel"), genes_rows)
    elsewhere = compared(parted(numbers, folds, StandardScaler()), groups, 1.0, seed)
    yeast = {name: f1(groups, answers, average="macro") for name, _, answers in elsewhere}
    counted = vectorizer(terms)
    parts = parted(np.array(texts, dtype=object), folds, counted)
    tried, cuts = [], {}
    for name, cuts[name], answers in compared(parts, truths, strength, seed):
        metrics = multilabel_metrics(truths, answers) | {
            "macro_f1_yeast": float(yeast[name]),
            "macro_f1_se": macro_f1_error(truths, answers, seed),
        }
        by_topic = f1(truths, answers, average=None).tolist()
        tried.append(Candidate(name, metrics, curves={"f1": by_topic}))
    allowed = [each for each in tried if each.name.removesuffix("_thresholds") in METHODS]
    allowed.sort(key=simplicity)
    chosen = simplest_within_error(allowed, "macro_f1", best="highest").name
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
    write_arrays(
        weights / ARRAYS,
        rarity=counted.idf_,
        weights=best.weights.astype(np.float32),
        intercepts=best.intercepts,
        links=best.links,
        thresholds=cuts,
    )

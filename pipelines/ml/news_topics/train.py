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
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.arrays import write_arrays
from slipway.training.selection import bootstrap_error, simplest_within_error

from .data import genes
from .metrics import f1, indicator, multilabel_metrics
from .model import ARRAYS, TERMS, Story, Subjects, chain_log_odds, subjects, words

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
    """One linear classifier per label, and what each earlier prediction in `order` adds to it."""

    weights: np.ndarray
    intercepts: np.ndarray
    links: np.ndarray
    order: list[int]

    def log_odds(self, rows: Any) -> np.ndarray:
        """Return log odds (rows, labels) for vectors (rows, terms)."""
        return chain_log_odds(
            np.asarray(rows @ self.weights + self.intercepts), self.links, self.order
        )


def chain_order(y_true: np.ndarray, how: str | None, seed: int) -> list[int]:
    """Return the labels in the order of the chain: frequent first, rare first or random."""
    order = np.argsort(-y_true.sum(axis=0), kind="stable")
    if how == "random":
        order = np.random.default_rng(seed).permutation(y_true.shape[1])
    return [int(each) for each in (order[::-1] if how == "rare" else order)]


def fit_linear(rows: Any, y_true: np.ndarray, method: str, strength: float, seed: int) -> Linear:
    """Fit a logistic regression per label; in a chain, earlier true labels are columns too."""
    how, class_weight = METHODS[method]
    (_, terms), labels = rows.shape, y_true.shape[1]
    order = chain_order(y_true, how, seed)
    weights, intercepts = np.zeros((terms, labels)), np.full(labels, -10.0)
    links = np.zeros((labels, labels))
    for step, place in enumerate(order):
        known = order[:step] if how else []
        # There is nothing to learn if no story, or every story, has the topic.
        if y_true[:, place].min() == y_true[:, place].max():
            continue
        # With more words than stories, the dual problem is solved 7 times faster.
        classifier = LogisticRegression(
            C=strength,
            class_weight=class_weight,
            solver="liblinear",
            dual=issparse(rows),
            tol=0.01,
            max_iter=1000,
            random_state=seed,
        ).fit(hstack([rows, csr_matrix(y_true[:, known], dtype=float)]).tocsr(), y_true[:, place])
        weights[:, place] = classifier.coef_[0, :terms]
        links[known, place] = classifier.coef_[0, terms:]
        intercepts[place] = classifier.intercept_[0]
    return Linear(weights, intercepts, links, order)


def thresholds(probabilities: np.ndarray, y_true: np.ndarray) -> np.ndarray:
    """Return the threshold of the best F1 of each label (labels,).

    Yang, A Study of Thresholding Strategies (2001).
    """
    found = []
    for y_prob, labels in zip(probabilities.T, y_true.T, strict=True):
        y_pred = y_prob >= CUTS[:, None]
        right, either = (y_pred & labels).sum(axis=1), y_pred.sum(axis=1) + labels.sum()
        found.append(CUTS[np.argmax(2 * right / np.maximum(either, 1))])
    return np.array(found)


def macro_f1_error(y_true: np.ndarray, y_pred: np.ndarray, seed: int) -> float:
    """Return the standard error of macro F1 (rows, labels), by resampling rows."""
    both = (y_true & y_pred).astype(np.float64)
    either = y_true.astype(np.float64) + y_pred

    def resampled(places: np.ndarray) -> float:
        counts = np.bincount(places, minlength=len(both))
        return float(np.mean(2 * (counts @ both) / np.maximum(counts @ either, 1)))

    return bootstrap_error(resampled, len(both), seed=seed)


def simplicity(candidate: Candidate) -> tuple[bool, bool]:
    """Return a key that sorts single models by their number of parameters.

    Class weights add none to a model, thresholds one per topic, a chain one per pair of topics.
    """
    return candidate.name.startswith("chain"), candidate.name.endswith("_thresholds")


def held_out_predictions(
    parts: list[tuple[np.ndarray, Any, Any]], y_true: np.ndarray, strength: float, seed: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield each candidate's name, its thresholds from all rows, and its held-out predictions.

    Each fold in `parts` has its row numbers, the vectors of the other rows, and its own vectors.
    """
    y_prob = {name: np.empty(y_true.shape) for name in ("baseline", *METHODS)}
    for places, others, own in parts:
        rest = np.delete(y_true, places, axis=0)
        y_prob["baseline"][places] = rest.mean(axis=0)
        for name in METHODS:
            y_prob[name][places] = expit(
                fit_linear(others, rest, name, strength, seed).log_odds(own)
            )
    y_prob["chain_ensemble"] = np.mean([y_prob[name] for name in CHAINS], axis=0)
    for name, probabilities in y_prob.items():
        yield name, np.full(y_true.shape[1], 0.5), probabilities >= 0.5
        y_pred = np.empty(y_true.shape, dtype=bool)
        for own, _, _ in parts:
            # A fold's predictions use thresholds from the other folds.
            others, rest = (np.delete(each, own, axis=0) for each in (probabilities, y_true))
            y_pred[own] = probabilities[own] >= thresholds(others, rest)
        yield f"{name}_thresholds", thresholds(probabilities, y_true), y_pred


def vectorized_folds(rows: np.ndarray, folds: int, scale: Any) -> list[tuple[np.ndarray, Any, Any]]:
    """Return the folds of `held_out_predictions`; `scale` is fitted on each fold's other rows."""
    return [
        (own, scale.fit_transform(rows[rest]), scale.transform(rows[own]))
        for rest, own in KFold(folds).split(rows)
    ]


def vectorizer(terms: int) -> TfidfVectorizer:
    return TfidfVectorizer(analyzer=words, min_df=2, max_features=terms, sublinear_tf=True)


# Sums of floats depend on how threads divide them.
@threadpool_limits.wrap(limits=1)
def fit(
    *,
    train: LabelledRows[Story, list[str]],
    weights: Path,
    seed: int,
    folds: int,
    terms: int,
    strength: float,
    genes_rows: int,
) -> Fitted:
    """Choose a single model by cross-validated macro F1, and fit it on all training rows."""
    texts, y_true = [each.text for each in train.records], indicator(train.labels)
    numbers, groups = genes(fetch("yeast_multilabel"), genes_rows)
    elsewhere = held_out_predictions(
        vectorized_folds(numbers, folds, StandardScaler()), groups, 1.0, seed
    )
    yeast = {name: f1(groups, y_pred, average="macro") for name, _, y_pred in elsewhere}
    tfidf = vectorizer(terms)
    parts = vectorized_folds(np.array(texts, dtype=object), folds, tfidf)
    tried, cuts = [], {}
    for name, cuts[name], y_pred in held_out_predictions(parts, y_true, strength, seed):
        metrics = multilabel_metrics(y_true, y_pred) | {
            "macro_f1_yeast": float(yeast[name]),
            "macro_f1_se": macro_f1_error(y_true, y_pred, seed),
        }
        by_topic = f1(y_true, y_pred, average=None).tolist()
        tried.append(Candidate(name, metrics, curves={"f1": by_topic}))
    allowed = [each for each in tried if each.name.removesuffix("_thresholds") in METHODS]
    allowed.sort(key=simplicity)
    chosen = simplest_within_error(allowed, "macro_f1", best="highest").name
    method = chosen.removesuffix("_thresholds")
    best = fit_linear(tfidf.fit_transform(texts), y_true, method, strength, seed)
    export(best, tfidf, cuts[chosen], weights)

    def framework_predict(stories: list[Story]) -> list[Subjects]:
        rows = tfidf.transform([each.text for each in stories])
        return subjects(best.log_odds(rows), cuts[chosen], np.diff(rows.indptr).tolist())

    return Fitted(tried, chosen, framework_predict)


def export(best: Linear, tfidf: TfidfVectorizer, cuts: np.ndarray, weights: Path) -> None:
    vocabulary = {"terms": tfidf.get_feature_names_out().tolist(), "order": best.order}
    (weights / TERMS).write_text(json.dumps(vocabulary) + "\n")
    write_arrays(
        weights / ARRAYS,
        rarity=tfidf.idf_,
        weights=best.weights.astype(np.float32),
        intercepts=best.intercepts,
        links=best.links,
        thresholds=cuts,
    )

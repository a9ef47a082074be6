"""Grid search over one pipeline of cleaning, vectorizer and classifier.

Validation rows are drawn at random from the training postings, and the test postings are later. So
validation metrics are higher: threads and writers are the same. Of the linear models without
citations, the simplest within one standard error of the best macro F1 is served.
"""

import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.graph import write_graph
from slipway.training.selection import bootstrap_error, simplest_within_error

from .model import Posting, Topic, topics, words

SCORES = ("macro_f1", "accuracy", "macro_f1_se")
TEMPERATURES = np.geomspace(0.5, 16, 31)


class Words(BaseEstimator, TransformerMixin):  # type: ignore[misc]
    """The first step of the pipeline: it cleans texts as the service does."""

    def __init__(self, keep_citations: bool = False) -> None:
        self.keep_citations = keep_citations

    def fit(self, texts: list[str], groups: object = None) -> Self:
        return self

    def transform(self, texts: list[str]) -> list[str]:
        return [" ".join(words(text, keep_citations=self.keep_citations)) for text in texts]

    def __sklearn_is_fitted__(self) -> bool:
        return True


# The baseline always predicts the largest group.
BASELINE = DummyClassifier()


def pipeline(terms: int, memory: str | None = None) -> Pipeline:
    """Return the pipeline; the grid replaces its classifier, the baseline.

    `memory` is a folder in which the results of the first steps are cached.
    """
    vectorizer = TfidfVectorizer(
        tokenizer=str.split,
        token_pattern=None,
        lowercase=False,
        min_df=2,
        max_features=terms,
        sublinear_tf=True,
        dtype=np.float32,
    )
    steps = [("words", Words()), ("tfidf", vectorizer), ("classifier", BASELINE)]
    return Pipeline(steps, memory=memory)


def grid(seed: int, trees: int) -> list[dict[str, list[Any]]]:
    """Return ranges of n-grams with classifiers and their strengths, from the simplest.

    Single words are simpler than pairs; naive Bayes, which counts, is simpler than the SVM, which
    optimizes; then stronger smoothing or penalty is simpler. The last point keeps the citations, to
    show how much they reveal.
    """
    single, pairs = (1, 1), (1, 2)
    bayes = [ComplementNB(alpha=alpha) for alpha in (0.5, 0.1)]
    svm = [LinearSVC(C=strength, random_state=seed) for strength in (0.3, 1.0)]
    forest = RandomForestClassifier(trees, min_samples_leaf=2, random_state=seed, n_jobs=1)
    return [
        {"tfidf__ngram_range": [single], "classifier": [BASELINE, *bayes, *svm, forest]},
        {"tfidf__ngram_range": [pairs], "classifier": [*bayes, *svm]},
        {"words__keep_citations": [True], "tfidf__ngram_range": [single], "classifier": svm[-1:]},
    ]


def named(setting: dict[str, Any]) -> str:
    """Return the name of a point of the grid, for example `svm_1_pairs`."""
    classifier = setting["classifier"]
    if isinstance(classifier, DummyClassifier):
        return "baseline"
    kinds = {LinearSVC: "svm", ComplementNB: "naive_bayes", RandomForestClassifier: "forest"}
    strength = getattr(classifier, "C", getattr(classifier, "alpha", None))
    parts = [
        kinds[type(classifier)],
        "" if strength is None else f"{strength:g}",
        "words" if setting["tfidf__ngram_range"] == (1, 1) else "pairs",
        "citations" if setting.get("words__keep_citations") else "",
    ]
    return "_".join(part for part in parts if part)


def scored(model: Pipeline, texts: list[str], groups: list[str], *, seed: int) -> dict[str, float]:
    """Return `SCORES` of a fitted pipeline on validation postings; a scorer for the grid search."""
    known, places = np.unique([*groups, *model.predict(texts)], return_inverse=True)
    y_true, y_pred = np.split(places, 2)
    resampled = partial(macro_f1, y_true, y_pred, len(known))
    return {
        "macro_f1": resampled(np.arange(len(y_true))),
        "accuracy": float(np.mean(y_true == y_pred)),
        "macro_f1_se": bootstrap_error(resampled, len(y_true), seed=seed),
    }


def macro_f1(y_true: np.ndarray, y_pred: np.ndarray, classes: int, rows: np.ndarray) -> float:
    """Return scikit-learn's macro F1 over the rows numbered `rows`, of classes 0, 1, ..."""
    cells = np.bincount(y_true[rows] * classes + y_pred[rows], minlength=classes**2)
    table = cells.reshape(classes, classes)
    counts = table.sum(axis=0) + table.sum(axis=1)
    # A class that is neither a label nor a prediction of these rows has no F1.
    return float(np.mean(2 * np.diag(table)[counts > 0] / counts[counts > 0]))


def search_grid(
    texts: list[str], groups: list[str], settings: list[dict[str, Any]], terms: int, seed: int
) -> list[tuple[Candidate, dict[str, Any]]]:
    """Score every point of the grid on a held-out quarter of the rows."""
    held = StratifiedShuffleSplit(n_splits=1, test_size=0.25, random_state=seed)
    # The words and terms of one range are the same for every classifier, so they are cached.
    with TemporaryDirectory() as memory:
        search = GridSearchCV(
            pipeline(terms, memory),
            settings,
            scoring=partial(scored, seed=seed),
            refit=False,
            cv=held,
            error_score="raise",
        ).fit(texts, groups)
    tried = []
    for place, setting in enumerate(search.cv_results_["params"]):
        metrics = {name: float(search.cv_results_[f"mean_test_{name}"][place]) for name in SCORES}
        parameters = {name: str(value) for name, value in setting.items()}
        tried.append((Candidate(named(setting), metrics, parameters), setting))
    return tried


def servable(candidate: Candidate) -> bool:
    """Return whether the candidate is a linear model that sees no citations."""
    name = candidate.name
    return name.startswith(("svm", "naive_bayes")) and not name.endswith("citations")


def scores(model: Pipeline, texts: list[str]) -> np.ndarray:
    """Return a score for each newsgroup (rows, 20), on any scale."""
    matrix = model[:-1].transform(texts)
    weights, intercepts = linear(model[-1])
    return np.asarray(matrix @ weights.T + intercepts)


def linear(classifier: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (20, terms) and intercepts (20,) of a linear classifier.

    The mean over the groups is subtracted from each term's weights, which does not change a
    softmax: the weights of naive Bayes are near 10, where float32 has four digits less for their
    differences.
    """
    if isinstance(classifier, ComplementNB):
        weights, intercepts = classifier.feature_log_prob_, np.zeros(len(classifier.classes_))
    else:
        weights, intercepts = classifier.coef_, classifier.intercept_
    return weights - weights.mean(axis=0), intercepts


def softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    held = scores * temperature
    return np.asarray(np.exp(held - logsumexp(held, axis=1, keepdims=True)))


def temperature_of(model: Pipeline, texts: list[str], groups: list[str]) -> float:
    """Return the temperature with the lowest log-loss on held-out rows. Guo et al. (2017)."""
    kept = [place for place in range(len(texts)) if place % 5]
    model.fit([texts[place] for place in kept], [groups[place] for place in kept])
    held = scores(model, texts[::5])
    places = np.searchsorted(model.classes_, groups[::5])
    rows = np.arange(len(places))
    losses = [-np.log(softmax(held, each)[rows, places] + 1e-12).mean() for each in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def fit(
    *, train: LabelledRows[Posting, str], weights: Path, seed: int, terms: int, trees: int
) -> Fitted:
    """Choose by macro F1 over the grid, and fit the chosen point on all training postings."""
    texts, groups = [each.text for each in train.records], list(train.labels)
    tried = search_grid(texts, groups, grid(seed, trees), terms, seed)
    settings = {candidate.name: setting for candidate, setting in tried}
    allowed = [candidate for candidate, _ in tried if servable(candidate)]
    chosen = simplest_within_error(allowed, "macro_f1", best="highest").name
    best = pipeline(terms).set_params(**settings[chosen])
    temperature = temperature_of(best, texts, groups)
    best.fit(texts, groups)
    export(best, temperature, weights)

    def framework_predict(postings: list[Posting]) -> list[Topic]:
        texts = [each.text for each in postings]
        known = np.diff(best[:-1].transform(texts).indptr)
        return topics(softmax(scores(best, texts), temperature), known, best.classes_.tolist())

    return Fitted([candidate for candidate, _ in tried], chosen, framework_predict)


def export(model: Pipeline, temperature: float, weights: Path) -> None:
    """Write the graph from `terms` (rows, terms) to `probabilities`.

    It weights the terms and scales each row to length 1.
    """
    from onnx import helper

    vectorizer = model["tfidf"]
    names = vectorizer.get_feature_names_out().tolist()
    content = {"groups": model.classes_.tolist(), "terms": names}
    (weights / "terms.json").write_text(json.dumps(content) + "\n")
    coefficients, intercepts = linear(model[-1])
    constants = {
        "idf": vectorizer.idf_,
        "last": np.array([1]),
        "least": np.array(1e-12),
        "coefficients": coefficients.T * temperature,
        "intercepts": intercepts * temperature,
    }
    nodes = [
        helper.make_node("Mul", ["terms", "idf"], ["weighted"]),
        helper.make_node("ReduceL2", ["weighted", "last"], ["length"], keepdims=1),
        helper.make_node("Max", ["length", "least"], ["divisor"]),
        helper.make_node("Div", ["weighted", "divisor"], ["unit"]),
        helper.make_node("Gemm", ["unit", "coefficients", "intercepts"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    inputs, outputs = {"terms": len(names)}, {"probabilities": len(intercepts)}
    write_graph(weights / "model.onnx", nodes, inputs=inputs, outputs=outputs, constants=constants)

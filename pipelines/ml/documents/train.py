"""Vectorizer and classifier in one pipeline, and a grid over all of it.

The test postings are later than the training ones. Validation rows are drawn at random from the
training ones, so its figures are higher: threads go on, and the same people write.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from slipway.training import Candidate, Evaluation, Examples, Fitted, plots
from slipway.training.graph import write_graph

from .model import Posting, Topic, topics, words

SCORES = {"macro_f1": "f1_macro", "accuracy": "accuracy"}
TEMPERATURES = np.geomspace(0.5, 16, 31)


class Words(BaseEstimator, TransformerMixin):  # type: ignore[misc]
    """The first step of the pipeline: texts to words, as the service cleans them."""

    def __init__(self, keep_citations: bool = False) -> None:
        self.keep_citations = keep_citations

    def fit(self, texts: list[str], groups: object = None) -> Self:
        return self

    def transform(self, texts: list[str]) -> list[str]:
        return [" ".join(words(text, keep_citations=self.keep_citations)) for text in texts]

    def __sklearn_is_fitted__(self) -> bool:
        return True


# The baseline, under scikit-learn's name: a rule that reads nothing, and says the largest group.
BASELINE = DummyClassifier()


def pipeline(terms: int, memory: str | None = None) -> Pipeline:
    """Up to the classifier, whose place the baseline keeps until the grid sets one.

    `memory` is a folder where what the first steps made is kept.
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
    """Ranges of n-grams, classifiers and their strengths; what citations give away, once."""
    single, pairs = (1, 1), (1, 2)
    svm = [LinearSVC(C=strength, random_state=seed) for strength in (0.3, 1.0)]
    bayes = [ComplementNB(alpha=alpha) for alpha in (0.1, 0.5)]
    forest = RandomForestClassifier(trees, min_samples_leaf=2, random_state=seed, n_jobs=1)
    return [
        {"tfidf__ngram_range": [single], "classifier": [BASELINE, *svm, *bayes, forest]},
        {"tfidf__ngram_range": [pairs], "classifier": [*svm, *bayes]},
        {"words__keep_citations": [True], "tfidf__ngram_range": [single], "classifier": svm[-1:]},
    ]


def named(setting: dict[str, Any]) -> str:
    """`svm_1_pairs` and the like."""
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


def searched(
    texts: list[str], groups: list[str], settings: list[dict[str, Any]], terms: int, seed: int
) -> list[tuple[Candidate, dict[str, Any]]]:
    """Every point of the grid, on a quarter of the rows held out."""
    held = StratifiedShuffleSplit(n_splits=1, test_size=0.25, random_state=seed)
    # The words and terms of one range are the same for every classifier: kept, not made again.
    with TemporaryDirectory() as memory:
        search = GridSearchCV(
            pipeline(terms, memory), settings, scoring=SCORES, refit=False, cv=held
        ).fit(texts, groups)
    found = []
    for place, setting in enumerate(search.cv_results_["params"]):
        metrics = {name: float(search.cv_results_[f"mean_test_{name}"][place]) for name in SCORES}
        told = {name: str(value) for name, value in setting.items()}
        found.append((Candidate(named(setting), metrics, told), setting))
    return found


def servable(candidate: Candidate) -> bool:
    """A linear model that does not see who is answered."""
    name = candidate.name
    return name.startswith(("svm", "naive_bayes")) and not name.endswith("citations")


def scores(model: Pipeline, texts: list[str]) -> np.ndarray:
    """Of each newsgroup (rows, 20), any scale."""
    matrix = model[:-1].transform(texts)
    weights, intercepts = linear(model[-1])
    return np.asarray(matrix @ weights.T + intercepts)


def linear(classifier: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weights (20, terms) and intercepts (20,) of a linear classifier.

    Each term's weights have their mean over the groups taken off, which no softmax sees: naive
    Bayes has all of them near 10, where float32 has four digits less for their differences.
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
    """How sharp the scores must be, on rows held out. Guo et al. (2017)."""
    kept = [place for place in range(len(texts)) if place % 5]
    model.fit([texts[place] for place in kept], [groups[place] for place in kept])
    told = scores(model, texts[::5])
    places = np.searchsorted(model.classes_, groups[::5])
    rows = np.arange(len(places))
    losses = [-np.log(softmax(told, each)[rows, places] + 1e-12).mean() for each in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def fit(
    *, train: Examples[Posting, str], weights: Path, seed: int, terms: int, trees: int
) -> Fitted:
    """Choose by macro F1 over the grid, and fit the chosen on all training postings."""
    texts, groups = [each.text for each in train.records], list(train.truths)
    found = searched(texts, groups, grid(seed, trees), terms, seed)
    allowed = [pair for pair in found if servable(pair[0])]
    chosen, setting = max(allowed, key=lambda pair: pair[0].metrics["macro_f1"])
    best = pipeline(terms).set_params(**setting)
    temperature = temperature_of(best, texts, groups)
    best.fit(texts, groups)
    export(best, temperature, weights)

    def native(postings: list[Posting]) -> list[Topic]:
        asked = [each.text for each in postings]
        known = np.diff(best[:-1].transform(asked).indptr)
        return topics(softmax(scores(best, asked), temperature), known, best.classes_.tolist())

    return Fitted([pair[0] for pair in found], chosen.name, native)


def export(model: Pipeline, temperature: float, weights: Path) -> None:
    """One graph: `terms` (rows, terms), weighted and brought to length 1, to `probabilities`."""
    from onnx import helper

    vectorizer = model["tfidf"]
    names = vectorizer.get_feature_names_out().tolist()
    told = {"groups": model.classes_.tolist(), "terms": names}
    (weights / "terms.json").write_text(json.dumps(told) + "\n")
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

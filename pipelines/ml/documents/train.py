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
from slipway.training.tabular import OPSET

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
        {
            "words__keep_citations": [True],
            "tfidf__ngram_range": [single],
            "classifier": svm[-1:],
        },
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
    held = np.arange(len(texts)) % 5 == 0
    kept = [text for text, out in zip(texts, held, strict=True) if not out]
    model.fit(kept, np.array(groups)[~held])
    told = scores(model, [text for text, out in zip(texts, held, strict=True) if out])
    places = np.searchsorted(model.classes_, np.array(groups)[held])
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
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    vectorizer = model["tfidf"]
    names = vectorizer.get_feature_names_out().tolist()
    told = {"groups": model.classes_.tolist(), "terms": names}
    (weights / "terms.json").write_text(json.dumps(told) + "\n")
    coefficients, intercepts = linear(model[-1])
    constants = {
        "idf": vectorizer.idf_,
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
    graph = helper.make_graph(
        nodes,
        "documents",
        [helper.make_tensor_value_info("terms", TensorProto.FLOAT, [None, len(names)])],
        [
            helper.make_tensor_value_info(
                "probabilities", TensorProto.FLOAT, [None, len(intercepts)]
            )
        ],
        [
            numpy_helper.from_array(np.array([1], dtype=np.int64), "last"),
            *(
                numpy_helper.from_array(value.astype(np.float32), name)
                for name, value in constants.items()
            ),
        ],
    )
    opsets = [helper.make_opsetid(*each) for each in sorted(OPSET.items())]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(made)
    (weights / "model.onnx").write_bytes(made.SerializeToString(deterministic=True))


def score(*, answers: list[Topic], truths: list[str]) -> dict[str, float]:
    told = [each.newsgroup for each in answers]
    among = [
        truth in [guess.newsgroup for guess in each.guesses]
        for each, truth in zip(answers, truths, strict=True)
    ]
    each_f1 = f1_score(truths, told, average=None, labels=sorted(set(truths)), zero_division=0.0)
    right = np.array(told) == np.array(truths)
    return {
        "macro_f1": float(np.mean(each_f1)),
        "accuracy": float(accuracy_score(truths, told)),
        "among_three": float(np.mean(among)),
        "worst_f1": float(np.min(each_f1)),
        "mean_probability": float(np.mean([each.probability for each in answers])),
        "probability_error": abs(
            float(np.mean([each.probability for each in answers]) - right.mean())
        ),
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
    texts = [each.text for each in evaluation.train.records]
    yield "words", speaking(evaluation.weights, writers(texts))


def by_group(axes: Axes, truths: list[str], told: list[str], groups: list[str]) -> None:
    values = f1_score(truths, told, average=None, labels=groups, zero_division=0.0)
    order = np.argsort(-values)
    bars = axes.barh([groups[place] for place in order], values[order], color=plots.ACCENT)
    axes.bar_label(bars, fmt=" %.2f", fontsize=7)
    axes.invert_yaxis()
    axes.set_title("F1 by newsgroup (test rows)")


def ranges(axes: Axes, tried: list[Candidate]) -> None:
    """Each classifier with single words and with pairs too."""
    figures = {each.name: each.metrics["macro_f1"] for each in tried}
    kinds = sorted({name.removesuffix("_words") for name in figures if name.endswith("_words")})
    kinds = [kind for kind in kinds if f"{kind}_pairs" in figures]
    places = np.arange(len(kinds))
    for shift, end, colour in ((-0.2, "words", plots.PALE), (0.2, "pairs", plots.ACCENT)):
        values = [figures[f"{kind}_{end}"] for kind in kinds]
        bars = axes.bar(places + shift, values, width=0.4, label=end, color=colour)
        axes.bar_label(bars, fmt="%.3f", fontsize=7)
    axes.set_xticks(places, kinds, rotation=20)
    axes.set_ylim(0.8, 1.0)
    axes.legend(frameon=False, ncols=2, loc="upper left")
    axes.set_title("Macro F1 by n-grams (validation)")


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

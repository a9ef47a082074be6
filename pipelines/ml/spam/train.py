"""Train naive Bayes and logistic regression over word counts and TF-IDF.

The simplest candidate within one standard error of the best cross-validated F1 is served.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline

from slipway.kits.tabular.study import PipelineStudy
from slipway.training import Fitted, LabelledRows

from .model import Email, Verdict, features, verdicts, words

SCORES = ("f1", "precision", "recall", "average_precision")


def pipelines() -> dict[str, Pipeline]:
    """Return the candidates by name: bag of words, TF-IDF, and weights for the minority.

    The simplest comes first: a constant, naive Bayes (which only counts), logistic regression
    (which is optimized). TF-IDF and class weights are one more step each.
    """

    # Not sublinear: skl2onnx implements that differently, and probabilities differ by 0.03.
    def tfidf(estimator: Any) -> Pipeline:
        return make_pipeline(TfidfTransformer(), estimator)

    def logistic(**options: Any) -> LogisticRegression:
        return LogisticRegression(C=20.0, max_iter=2000, **options)

    return {
        "baseline": make_pipeline(DummyClassifier(strategy="constant", constant=True)),
        "naive_bayes_counts": make_pipeline(MultinomialNB(alpha=0.1)),
        "naive_bayes_tfidf": tfidf(MultinomialNB(alpha=0.1)),
        "naive_bayes_even_prior": tfidf(MultinomialNB(alpha=0.1, fit_prior=False)),
        "logistic_tfidf": tfidf(logistic()),
        "logistic_balanced": tfidf(logistic(class_weight="balanced")),
    }


def vocabulary(emails: list[Email], size: int) -> list[str]:
    """Return the `size` words in the most messages, at least three, in alphabetical order.

    A word in one or two messages is as often a name as a topic.
    """
    messages = Counter(word for email in emails for word in set(words(email)))
    common = sorted(messages.items(), key=lambda item: (-item[1], item[0]))[:size]
    return sorted(word for word, count in common if count >= 3)


def fit(
    *, train: LabelledRows[Email, bool], weights: Path, seed: int, folds: int, vocabulary_size: int
) -> Fitted:
    """Choose a candidate by the cross-validated F1 of spam, and fit it on all training rows.

    The vocabulary comes from all training rows at once: it depends on how common words are, not on
    labels.
    """
    known = vocabulary(train.records, vocabulary_size)
    places = {word: place for place, word in enumerate(known)}
    counts = csr_matrix(features(train.records, places)["counts"])
    spam = np.array(train.labels)
    splits = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    study = PipelineStudy(
        pipelines(), SCORES, parameters=lambda name, _: {"estimator": name, "words": len(known)}
    )
    study.compare(counts, spam, splits, folds=folds)
    best = study.fit_best(counts, spam)
    (weights / "vocabulary.json").write_text(json.dumps(known))
    (weights / "word_weights.json").write_text(json.dumps(word_weights(best)))

    def framework_predict(emails: list[Email]) -> list[Verdict]:
        return verdicts(best.predict_proba(csr_matrix(features(emails, places)["counts"]))[:, 1])

    return study.export(best, {"counts": len(known)}, weights, framework_predict)


def word_weights(pipeline: Pipeline) -> list[float]:
    """Return the log odds of spam that each word adds per unit of its weight."""
    estimator = pipeline[-1]
    if hasattr(estimator, "coef_"):
        odds = estimator.coef_[0]
    else:
        odds = estimator.feature_log_prob_[1] - estimator.feature_log_prob_[0]
    return [float(f"{value:.6g}") for value in odds]

"""Comparison of an RNN, a GRU and an LSTM with equal budgets, and with no recurrence at all.

The simplest network within one standard error of the best accuracy is trained on all reviews. The
baseline is logistic regression over TF-IDF of words.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from torch import nn

from slipway.deep import Plan
from slipway.kits.classifier import ClassifierStudy
from slipway.kits.metrics.classes import class_metrics, share_error
from slipway.kits.study import Arrays, Tensors
from slipway.kits.text.vocabulary import PADDING, Vocabulary, words
from slipway.training import Candidate, Fitted, LabelledRows

from .model import Review, Sentiment, sentiments
from .network import AttentiveReader, ExportedReader, Recipe
from .words import WordCounts, to_tokens

# From the simplest to the most complex.
RECIPES = {
    "no_recurrence": Recipe(),
    "rnn": Recipe("rnn"),
    "gru": Recipe("gru"),
    "lstm": Recipe("lstm"),
}


class ReviewStudy(ClassifierStudy[Recipe]):
    """A study of networks whose exported graph also has the attention."""

    # The kit's type is that of its own single output.
    outputs = ("probabilities", "attention")  # type: ignore[assignment]
    counts: WordCounts

    def feed(self, inputs: Tensors) -> Tensors:
        # One thread: the steps of a recurrent network are too small to be divided. With two, which
        # wait for each other at each step, a batch took many times as long on a busy machine.
        torch.set_num_threads(1)
        return inputs

    def augmented(self, inputs: Tensors, targets: Tensors, recipe: Recipe) -> tuple[Any, Any]:
        # The padding that all reviews of a batch have is not computed.
        tokens = inputs["tokens"]
        longest = int((tokens != PADDING).sum(dim=1).max())
        return {"tokens": tokens[:, :longest]}, targets

    def exported(self, module: nn.Module) -> nn.Module:
        assert isinstance(module, AttentiveReader)
        return ExportedReader(module)

    def predictions(self, records: list[Any], outputs: Arrays) -> Sequence[Sentiment]:
        return sentiments(records, outputs["probabilities"], outputs["attention"], self.counts)


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return the hyperparameters of the training, the same for all candidates."""
    return Plan(epochs, 0.006, "one_cycle", batch=64, weight_decay=0.05, clip=1.0)


def fit(
    *,
    train: LabelledRows[Review, str],
    weights: Path,
    seed: int,
    held_out: int,
    subset: int,
    epochs: int,
    vocabulary_size: int,
) -> Fitted:
    """Choose a reader by its accuracy on held-out reviews; then train it on all of them."""
    vocabulary = Vocabulary.from_texts((each.text for each in train.records), vocabulary_size)
    vocabulary.write(weights)

    def tokens(reviews: list[Review]) -> Arrays:
        return {"tokens": to_tokens([each.text for each in reviews], vocabulary)}

    def network(recipe: Recipe) -> AttentiveReader:
        return AttentiveReader(recipe, len(vocabulary))

    study = ReviewStudy(Sentiment, tokens, network, weights=weights, seed=seed, plan=plan)
    study.compare(train, RECIPES, held_out=held_out, subset=subset, epochs=epochs)
    parts = study.split(study.tensors(train), held_out, subset)
    baseline = validated(fit_counts(parts[0].rows, vocabulary), parts[1].rows)
    study.counts = fit_counts(train, vocabulary)
    study.counts.write(weights)
    study.counts = WordCounts.read(weights, vocabulary)
    return study.refit_best(train, references=[baseline])


def fit_counts(rows: LabelledRows[Review, str], vocabulary: Vocabulary) -> WordCounts:
    """Return logistic regression over TF-IDF of the vocabulary's words in whole reviews."""
    counter = CountVectorizer(analyzer=words, vocabulary=list(vocabulary.known))
    scaler = TfidfTransformer(sublinear_tf=True)
    values = scaler.fit_transform(counter.transform([each.text for each in rows.records]))
    model = LogisticRegression(C=3.0, max_iter=300)
    model.fit(values, Sentiment.numbers(rows.labels))
    places = {word: place for place, word in enumerate(vocabulary.known)}
    return WordCounts(places, scaler.idf_, model.coef_[0], float(model.intercept_[0]))


def validated(counts: WordCounts, rows: LabelledRows[Review, str]) -> Candidate:
    """Return the baseline with its metrics on the validation reviews."""
    positive = np.array([counts.probability(each.text) for each in rows.records])
    metrics = class_metrics(np.stack([1 - positive, positive], 1), Sentiment.numbers(rows.labels))
    error = share_error(metrics["accuracy"], len(rows))
    return Candidate("baseline", {**metrics, "accuracy_se": error})

"""News topics: no duplicates, chains as in scikit-learn, thresholds tuned on other rows."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.preprocessing import StandardScaler

from pipelines.ml.news_topics import data, train
from pipelines.ml.news_topics.metrics import f1, indicator
from pipelines.ml.news_topics.model import (
    TOPICS,
    NewsTopics,
    Story,
    chain_log_odds,
    features,
    words,
)
from slipway.datasets import fetch
from slipway.training import Candidate, LabelledRows

STRENGTH = 10.0
SOLVER = {"solver": "liblinear", "dual": True, "tol": 0.01, "random_state": 0}


@pytest.fixture(scope="module")
def splits() -> dict[str, list[tuple[Story, list[str]]]]:
    return {name: list(rows) for name, rows in data.splits(fetch("reuters21578")).items()}


@pytest.fixture(scope="module")
def small(splits: dict) -> tuple[list[str], np.ndarray]:
    rows = splits["train"][:600]
    return [story.text for story, _ in rows], indicator([topics for _, topics in rows])


def test_no_story_occurs_twice_or_in_both_splits(splits: dict) -> None:
    keys = {
        name: [" ".join(words(story.text)) for story, _ in rows] for name, rows in splits.items()
    }
    assert all(len(set(each)) == len(each) for each in keys.values())
    assert not set(keys["train"]) & set(keys["test"])
    assert len(keys["train"]) > 9000
    assert len(keys["test"]) > 3100


def test_topics_are_those_with_fifty_training_stories() -> None:
    file = fetch("reuters21578").path("reuters21578.jsonl.xz")
    raw = pd.read_json(file, lines=True, compression="xz", convert_dates=False)
    chosen = raw[(raw["lewissplit"] == "TRAIN") & (raw["has_topics"] == "YES")]
    counts = Counter(topic for topics in chosen["topics"] for topic in set(topics))
    assert {name for name, count in counts.items() if count >= 50} == set(TOPICS)
    assert list(TOPICS) == sorted(TOPICS, key=lambda name: -counts[name])


def test_stories_have_several_topics_or_none(splits: dict) -> None:
    several = sum(len(topics) > 1 for _, topics in splits["train"])
    none = sum(not topics for _, topics in splits["train"])
    assert several > 600
    assert none > 1500


def test_features_match_scikit_learn(small: tuple[list[str], np.ndarray]) -> None:
    texts, _ = small
    tfidf = train.vectorizer(400).fit(texts[:300])
    known = {term: place for place, term in enumerate(tfidf.get_feature_names_out())}
    expected = tfidf.transform(texts[300:400]).toarray()
    rows = features([Story(text=each) for each in texts[300:400]], known, tfidf.idf_)
    for expected_row, (places, values) in zip(expected, rows, strict=True):
        row = np.zeros(len(known))
        row[places] = values
        assert row == pytest.approx(expected_row, abs=1e-9)


def frequent_topics(small: tuple[list[str], np.ndarray]) -> tuple[object, np.ndarray]:
    """Return vectors of 600 stories and labels of the four most frequent topics."""
    texts, labels = small
    chosen = np.argsort(-labels.sum(axis=0))[:4]
    return train.vectorizer(300).fit_transform(texts), labels[:, chosen]


def test_a_chain_predicts_as_in_scikit_learn(small: tuple[list[str], np.ndarray]) -> None:
    rows, labels = frequent_topics(small)
    model = train.fit_linear(rows, labels, "chain_rare_first", STRENGTH, 0)
    plain = LogisticRegression(C=STRENGTH, **SOLVER)
    expected = ClassifierChain(plain, order=model.order).fit(rows, labels).predict_proba(rows)
    assert 1 / (1 + np.exp(-model.log_odds(rows))) == pytest.approx(expected, abs=1e-6)
    assert np.abs(model.links).max() > 0.1


def test_binary_relevance_predicts_as_in_scikit_learn(small: tuple[list[str], np.ndarray]) -> None:
    rows, labels = frequent_topics(small)
    model = train.fit_linear(rows, labels, "binary_relevance_balanced", STRENGTH, 0)
    plain = LogisticRegression(C=STRENGTH, class_weight="balanced", **SOLVER)
    expected = OneVsRestClassifier(plain).fit(rows, labels).predict_proba(rows)
    assert 1 / (1 + np.exp(-model.log_odds(rows))) == pytest.approx(expected, abs=1e-6)
    assert not model.links.any()


def test_a_chain_passes_on_predictions_and_not_probabilities() -> None:
    links = np.array([[0.0, 5.0], [0.0, 0.0]])
    scores = np.array([[0.1, -1.0], [-0.1, -1.0]])
    assert chain_log_odds(scores, links, [0, 1]).tolist() == [[0.1, 4.0], [-0.1, -1.0]]
    assert chain_log_odds(scores, links, [1, 0]).tolist() == scores.tolist()


def test_thresholds_match_hand_computed_values() -> None:
    y_prob = np.array([[0.9], [0.42], [0.38], [0.1]])
    (cut,) = train.thresholds(y_prob, np.array([[True], [True], [False], [False]]))
    assert 0.38 < cut <= 0.42


def test_a_fold_is_predicted_without_its_own_labels(small: tuple[list[str], np.ndarray]) -> None:
    """Flipping the labels of one fold changes none of that fold's predictions.

    Candidates with thresholds are an exception: theirs come from models fitted on that fold.
    """
    rows, labels = frequent_topics(small)
    places = [np.arange(300), np.arange(300, 600)]
    parts = [(own, np.delete(rows.toarray(), own, axis=0), rows[own]) for own in places]
    flipped = labels.copy()
    flipped[:300] = ~flipped[:300]

    def predictions(y_true: np.ndarray) -> dict[str, np.ndarray]:
        found = train.held_out_predictions(parts, y_true, STRENGTH, 0)
        return {name: y_pred[:300] for name, _, y_pred in found}

    one, other = predictions(labels), predictions(flipped)
    plain = {name for name in one if not name.endswith("_thresholds")}
    assert {*train.METHODS, "chain_ensemble", "baseline"} == plain
    assert all((one[name] == other[name]).all() for name in plain)


def test_a_fold_is_scaled_by_the_other_rows() -> None:
    numbers = np.random.default_rng(0).normal(size=(90, 3))
    numbers[:30] += 100
    for own, others, held in train.vectorized_folds(numbers, 3, StandardScaler()):
        assert np.abs(others.mean(axis=0)).max() < 1e-9
        assert (np.abs(held).max() > 100) == (own[0] == 0)


def test_the_served_model_predicts_as_the_fitted_one(
    small: tuple[list[str], np.ndarray], tmp_path: Path
) -> None:
    texts, labels = small
    tfidf = train.vectorizer(500)
    model = train.fit_linear(
        tfidf.fit_transform(texts), labels, "chain_frequent_first", STRENGTH, 0
    )
    train.export(model, tfidf, np.full(len(TOPICS), 0.5), tmp_path)
    served = NewsTopics()
    served.load(tmp_path)
    requested = [*texts[:200], "zzz"]
    predictions = served.predict([Story(text=each) for each in requested])
    expected = 1 / (1 + np.exp(-model.log_odds(tfidf.transform(requested))))
    assert [each.likeliest[0].probability for each in predictions] == pytest.approx(
        expected.max(axis=1), abs=1e-6
    )
    assert (indicator([each.topics for each in predictions]) == (expected >= 0.5)).mean() > 0.9999
    assert predictions[-1].known_words == 0 < min(each.known_words for each in predictions[:-1])


def test_several_topics_or_none_can_be_predicted(splits: dict, tmp_path: Path) -> None:
    rows = splits["train"][:1500]
    train.fit(
        train=LabelledRows([story for story, _ in rows], [topics for _, topics in rows]),
        weights=tmp_path,
        seed=1,
        folds=2,
        terms=800,
        strength=STRENGTH,
        genes_rows=100,
    )
    served = NewsTopics()
    served.load(tmp_path)
    counts = {len(each.topics) for each in served.predict([story for story, _ in rows[:500]])}
    assert {0, 1, 2} <= counts


def test_the_standard_error_of_macro_f1_is_that_of_resampled_rows() -> None:
    rng = np.random.default_rng(6)
    y_true = rng.random((500, 3)) < [0.5, 0.2, 0.05]
    y_pred = y_true ^ (rng.random((500, 3)) < 0.1)
    again = np.random.default_rng(0)
    drawn = (again.integers(0, 500, 500) for _ in range(200))
    expected = np.std([f1(y_true[rows], y_pred[rows], average="macro") for rows in drawn], ddof=1)
    assert train.macro_f1_error(y_true, y_pred, 0) == pytest.approx(expected)


def test_single_models_are_ordered_from_the_fewest_parameters() -> None:
    names = [f"{name}{end}" for name in train.METHODS for end in ("", "_thresholds")]
    ordered = sorted((Candidate(name, {}) for name in names), key=train.simplicity)
    assert [each.name for each in ordered][:5] == [
        "binary_relevance",
        "binary_relevance_balanced",
        "binary_relevance_thresholds",
        "binary_relevance_balanced_thresholds",
        "chain_frequent_first",
    ]

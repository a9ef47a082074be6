"""Documents: removal of citations, terms, the exported graph, and no repeated postings."""

import time
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import f1_score
from sklearn.model_selection import ParameterGrid
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from pipelines.ml.documents import data, report, train
from pipelines.ml.documents.model import Documents, Posting, features, words
from slipway.datasets import fetch

TOPICS = {
    "boats": "the boat sails on a windy sea with a tall mast",
    "bread": "knead the dough and bake the bread in a hot oven",
    "chess": "the white queen takes a rook and mates the black king",
}


@pytest.fixture(scope="module")
def splits() -> dict[str, list[tuple[Posting, str]]]:
    return {name: list(rows) for name, rows in data.splits(fetch("newsgroups20")).items()}


def draw(rows: int, seed: int) -> tuple[list[str], list[str]]:
    """Return texts of six words from one topic and two from any."""
    rng = np.random.default_rng(seed)
    everything = " ".join(TOPICS.values()).split()
    groups = rng.choice(list(TOPICS), rows).tolist()
    texts = [
        " ".join([*rng.choice(TOPICS[group].split(), 6), *rng.choice(everything, 2)])
        for group in groups
    ]
    return texts, groups


def fitted(classifier: object, pairs: bool) -> Pipeline:
    model = train.pipeline(200).set_params(
        classifier=classifier, tfidf__ngram_range=(1, 2) if pairs else (1, 1)
    )
    return model.fit(*draw(300, 0))


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize(
    "classifier", [LinearSVC(), ComplementNB()], ids=lambda it: type(it).__name__
)
def test_the_graph_predicts_like_the_pipeline(
    classifier: object, pairs: bool, tmp_path: Path
) -> None:
    model = fitted(classifier, pairs)
    train.export(model, 2.0, tmp_path)
    served = Documents()
    served.load(tmp_path)
    texts = [*draw(100, 1)[0], "nothing known here"]
    predictions = served.predict([Posting(text=text) for text in texts])
    wanted = train.softmax(train.scores(model, texts), 2.0)
    assert [each.probability for each in predictions] == pytest.approx(wanted.max(axis=1), abs=1e-6)
    assert [each.newsgroup for each in predictions[:-1]] == model.predict(texts[:-1]).tolist()
    assert predictions[-1].known_words == 0 < min(each.known_words for each in predictions[:-1])
    assert all(each.guesses[0].newsgroup == each.newsgroup for each in predictions)


def test_terms_equal_scikit_learns() -> None:
    model = fitted(LinearSVC(), pairs=True)
    known = {term: place for place, term in enumerate(model["tfidf"].get_feature_names_out())}
    texts = draw(50, 2)[0]
    weighted = (
        features([Posting(text=text) for text in texts], known)["terms"] * model["tfidf"].idf_
    )
    unit = weighted / np.linalg.norm(weighted, axis=1, keepdims=True)
    assert unit == pytest.approx(model[:-1].transform(texts).toarray(), abs=1e-6)
    assert any(" " in term for term in known)


def test_citations_are_removed_from_raw_text_and_from_words() -> None:
    raw = "In article <1993Apr5.1@mimsy.umd.edu>, mangoe@cs.umd.edu (Charley W.) writes:\n> Well!"
    assert words(raw) == ["well"]
    plain = "re gospel in article mimsy umd edu mangoe cs umd edu charley writes well"
    assert words(plain) == ["re", "gospel", "well"]
    assert "mimsy" in words(plain, keep_citations=True)
    new = "re my brakes are worn someone host cs example edu some one writes they squeal"
    assert words(new) == "re my brakes are worn they squeal".split()
    assert words("re my worn brakes jane q doe writes they squeal")[:3] == ["re", "my", "worn"]
    assert words("I wrote a driver at example edu") == "i wrote a driver at example edu".split()
    assert words("In my article on cars, he drives") == "in my article on cars he drives".split()


def test_citations_are_removed_from_the_training_postings(splits: dict) -> None:
    """Nearly half of the raw postings have an address followed by `writes` or `wrote`."""
    texts = [posting.text for posting, _ in splits["train"]][::5]

    def share(keep_citations: bool) -> float:
        kept = [words(text, keep_citations=keep_citations) for text in texts]
        return sum(cites(tokens) for tokens in kept) / len(kept)

    assert share(keep_citations=True) > 0.4
    assert share(keep_citations=False) < 0.01


def cites(tokens: list[str]) -> bool:
    verbs = [place for place, token in enumerate(tokens) if token in ("writes", "wrote")]
    return any({"com", "edu", "org", "net"} & set(tokens[max(0, at - 10) : at]) for at in verbs)


def test_the_longest_posting_is_cleaned_at_once() -> None:
    for unit in ("com ", "a b c edu d e f ", "in article "):
        begin = time.process_time()
        words((unit * 200_000)[:200_000])
        assert time.process_time() - begin < 5


def test_no_posting_is_repeated_or_in_both_splits(splits: dict) -> None:
    keys = {
        name: [" ".join(words(posting.text)) for posting, _ in rows]
        for name, rows in splits.items()
    }
    assert all(len(set(each)) == len(each) for each in keys.values())
    assert not set(keys["train"]) & set(keys["test"])
    assert {name: len({group for _, group in rows}) for name, rows in splits.items()} == {
        "train": 20,
        "test": 20,
    }
    assert len(keys["train"]) > 11_200
    assert len(keys["test"]) > 7_480


def test_a_candidate_that_sees_citations_is_never_chosen() -> None:
    names = {
        name: train.servable(train.Candidate(name, {}))
        for name in ("baseline", "svm_1_words", "svm_1_words_citations", "forest_words")
    }
    assert [name for name, may in names.items() if may] == ["svm_1_words"]


def test_candidates_are_ordered_from_the_simplest_to_the_most_complex() -> None:
    names = [train.named(each) for each in ParameterGrid(train.grid(0, 5))]
    assert [name for name in names if train.servable(train.Candidate(name, {}))] == [
        f"{classifier}_{terms}"
        for terms in ("words", "pairs")
        for classifier in ("naive_bayes_0.5", "naive_bayes_0.1", "svm_0.3", "svm_1")
    ]


def test_macro_f1_equals_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    y_true, y_pred, rows = rng.integers(0, 4, 60), rng.integers(1, 6, 60), rng.integers(0, 60, 20)
    wanted = f1_score(y_true[rows], y_pred[rows], average="macro", zero_division=0.0)
    assert train.macro_f1(y_true, y_pred, 7, rows) == pytest.approx(wanted)
    texts, groups = draw(100, 5)
    scores = train.scored(fitted(LinearSVC(), False), texts, groups, seed=0)
    assert tuple(scores) == train.SCORES
    assert 0 < scores["macro_f1_se"] < 0.1


def test_correct_scores_get_a_sharper_temperature() -> None:
    texts, groups = draw(400, 3)
    right = train.temperature_of(fitted(LinearSVC(), False), texts, groups)
    rng = np.random.default_rng(0)
    wrong = train.temperature_of(
        fitted(LinearSVC(), False), texts, rng.permutation(groups).tolist()
    )
    assert right > wrong == train.TEMPERATURES[0]


def test_writers_are_names_from_citations_only() -> None:
    texts = ["re boats on lakes owner host example edu writes sails", "owner host likes boats"]
    names = report.writers([*texts, "sails and boats on lakes"])
    assert {"owner", "host", "writes"} <= names
    assert not {"boats", "sails", "likes"} & names


def test_an_empty_posting_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1 character"):
        Posting(text="")


def test_macro_f1_of_drawn_rows_equals_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.choice(list("abc"), 300), rng.choice(list("abcd"), 300)
    rows = rng.integers(0, 300, 300)
    found = report.macro_f1_by_rows(y_true.tolist(), y_pred.tolist())(rows)
    wanted = f1_score(y_true[rows], y_pred[rows], average="macro", labels=list("abc"))
    assert found == pytest.approx(wanted)

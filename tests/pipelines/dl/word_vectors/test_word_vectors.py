"""Word vectors: gradients, reproducible and resumed training, counts, the split, and queries."""

import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.dl.word_vectors import data
from pipelines.dl.word_vectors.corpus import END, Corpus
from pipelines.dl.word_vectors.counting import add_pairs, ppmi, svd_vectors
from pipelines.dl.word_vectors.model import (
    Answer,
    Neighbour,
    Neighbours,
    Query,
    WordVectors,
    as_arrays,
    found,
)
from pipelines.dl.word_vectors.negative_sampling import Recipe, Training, run_epoch, step
from pipelines.dl.word_vectors.network import Nearest
from pipelines.dl.word_vectors.questions import (
    GroupBootstrap,
    Question,
    answers,
    without_shared_words,
)
from pipelines.dl.word_vectors.report import score
from pipelines.dl.word_vectors.train import export
from slipway.deep.progress import Progress

WORDS = tuple(f"w{chr(97 + place // 26)}{chr(97 + place % 26)}" for place in range(100))
PLACES = {word: place for place, word in enumerate(WORDS)}


def small_corpus(texts: int = 200, length: int = 30) -> Corpus:
    """Return texts of two themes: words with an even number, and words with an odd one."""
    generator = np.random.default_rng(1)
    parts = [
        [*(2 * generator.integers(0, 50, length) + theme % 2).tolist(), END]
        for theme in range(texts)
    ]
    tokens = np.array(list(itertools.chain.from_iterable(parts)), dtype=np.int32)
    return Corpus(WORDS, np.bincount(tokens[tokens != END], minlength=100), tokens)


def training(file: Path, cbow: bool = False, epochs: int = 3) -> Training:
    recipe = Recipe(cbow, epochs, 12, 4, learning_rate=0.1, sample=1.0)
    return Training(small_corpus(), recipe, 5, file, "key")


def quiet() -> Progress:
    return Progress(write=lambda line: None)


def objective(hidden: torch.Tensor, outputs: torch.Tensor, words: list[int]) -> torch.Tensor:
    scores = outputs[words] @ hidden
    others = torch.nn.functional.logsigmoid(-scores[1:]).sum()
    return torch.nn.functional.logsigmoid(scores[0]) + others


def test_the_step_is_the_gradient_that_torch_finds() -> None:
    generator = np.random.default_rng(3)
    hidden, outputs = generator.normal(size=7), generator.normal(size=(9, 7))
    words = np.array([4, 1, 8, 2], dtype=np.int32)
    back, changed = np.zeros(7, dtype=np.float32), outputs.astype(np.float32)
    step(hidden.astype(np.float32), changed, words, 0.01, back)
    tensors = [torch.tensor(each, requires_grad=True) for each in (hidden, outputs)]
    objective(tensors[0], tensors[1], words.tolist()).backward()
    gradients = [each.grad.numpy() for each in tensors if each.grad is not None]
    assert back == pytest.approx(0.01 * gradients[0], abs=1e-7)
    assert changed - outputs == pytest.approx(0.01 * gradients[1], abs=1e-6)


@pytest.mark.parametrize("cbow", [True, False])
def test_an_epoch_of_one_window_is_one_step_per_example(cbow: bool) -> None:
    tokens = np.array([3, 7, END], dtype=np.int32)
    inputs = np.random.default_rng(2).normal(size=(10, 5)).astype(np.float32)
    outputs = inputs[::-1].copy()
    # The only negative that the table holds is word 1, and a window of 1 reaches both neighbours.
    changed, table = (inputs.copy(), outputs.copy()), np.full(8, 1, dtype=np.int32)
    kept, rates = np.full(10, 1 << 31), np.array([0.1, 0.1])
    assert run_epoch(tokens, kept, table, *changed, cbow, 1, 1, rates, np.uint64(1)) == 2
    for centre, other in ((3, 7), (7, 3)):
        back = np.zeros(5, dtype=np.float32)
        step(inputs[other], outputs, np.array([centre, 1], dtype=np.int32), 0.1, back)
        inputs[other] += back
    assert changed[0] == pytest.approx(inputs, abs=1e-6)
    assert changed[1] == pytest.approx(outputs, abs=1e-6)


@pytest.mark.parametrize("cbow", [True, False])
def test_words_of_one_theme_become_neighbours(tmp_path: Path, cbow: bool) -> None:
    vectors = training(tmp_path / "a.npz", cbow).run(quiet(), lambda inputs: 0.0)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    assert cosines[::2, ::2].mean() > cosines[::2, 1::2].mean() + 0.3


def test_a_killed_training_continues_with_the_same_bytes(tmp_path: Path) -> None:
    whole = training(tmp_path / "whole.npz").run(quiet(), lambda inputs: float(inputs[0, 0]))

    class Killed(Exception):
        pass

    def killed(line: str) -> None:
        raise Killed

    with pytest.raises(Killed):
        training(tmp_path / "part.npz").run(Progress(write=killed), lambda inputs: 1.0)
    later = training(tmp_path / "part.npz")
    assert (later.run(quiet(), lambda inputs: 2.0) == whole).all()
    assert later.curve == [1.0, 2.0, 2.0]
    other = training(tmp_path / "part.npz")
    other.key = "another key"
    other.run(quiet(), lambda inputs: 3.0)
    assert other.curve == [3.0, 3.0, 3.0]


def test_counts_weigh_near_words_more_and_stay_in_a_text() -> None:
    counts = np.zeros((4, 3), dtype=np.float32)
    add_pairs(np.array([0, 1, 3, END, 2], dtype=np.int32), 2, counts)
    assert counts.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0], [0.5, 1, 0]]


def test_ppmi_is_the_logarithm_of_observed_by_expected() -> None:
    tokens = np.array([0, 1, END, 0, 1, END, 2, 1, END, 2, 2, END], dtype=np.int32)
    corpus = Corpus(("a", "b", "c"), np.array([2, 3, 3]), tokens)
    counts = np.array([[0, 2, 0], [2, 0, 1], [0, 1, 2]])
    columns = counts.sum(axis=0) ** 0.75
    expected = counts.sum(axis=1)[:, None] * columns / columns.sum()
    with np.errstate(divide="ignore"):
        wanted = np.maximum(np.log(counts / expected), 0)
    values = ppmi(corpus, contexts=9, window=1)
    assert values == pytest.approx(wanted, abs=1e-5)
    # With all singular values, products of vectors are those of the matrix's symmetric root.
    vectors = svd_vectors(values, width=3, seed=0).astype(np.float64)
    squared = np.linalg.matrix_power(vectors @ vectors.T, 2)
    assert squared == pytest.approx(values @ values.T, abs=1e-4)


def pairs_of_two_categories() -> list[Question]:
    found = []
    for category, shared in (("comparative", 0), ("superlative", 1)):
        pairs = [(f"a{k}", f"{'bc'[shared]}{k}") for k in range(12)]
        found += [
            Question(category, *one, *other) for one, other in itertools.permutations(pairs, 2)
        ]
    return found


@pytest.mark.parametrize("seed", range(5))
def test_no_word_of_a_test_question_is_in_a_validation_question(seed: int) -> None:
    questions = pairs_of_two_categories()
    left, right = without_shared_words(questions, seed)
    words = [{word for each in half for word in each.words} for half in (left, right)]
    assert not words[0] & words[1]
    # What is left out joins a pair of each half.
    for each in set(questions) - {*left, *right}:
        assert {each.first in words[0], each.third in words[0]} == {True, False}


def test_an_answer_is_the_nearest_word_that_is_not_in_the_question() -> None:
    words = ("man", "king", "woman", "queen", "car")
    vectors = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1], [-1, 0, 0]], dtype=float)
    places = {word: place for place, word in enumerate(words)}
    question = Question("family", "man", "king", "woman", "queen")
    assert answers([question], vectors, places).tolist() == [places["queen"]]
    query, label = data.row(question, "car")
    assert (query.positive, query.negative) == (["king", "woman"], ["man"])
    assert (label.word, label.pairs) == ("queen", ["man king", "woman queen"])


def test_the_bootstrap_draws_groups_within_their_category() -> None:
    pairs = [f"a{number} b{number}" for number in range(6)]
    names = list(itertools.permutations(pairs, 2))
    others = [(one.replace("b", "c"), two.replace("b", "c")) for one, two in names]
    # The pairs of both categories share their first words, so there are six groups, not twelve.
    bootstrap = GroupBootstrap([*names, *others], ["one"] * 30 + ["two"] * 30)
    all_right = bootstrap.resampled(np.ones(60), seed=0)
    assert (all_right == 1).all()
    # Right if the first pair is of group 0: its share varies more than that of single rows.
    right = np.array([first == pairs[0] for first, _ in names] * 2)
    spread = bootstrap.resampled(right, seed=0)
    assert spread.mean() == pytest.approx(1 / 6, abs=0.03)
    assert spread.std() > 2 * np.sqrt(1 / 6 * 5 / 6 / 60)


def test_both_halves_have_the_same_mix_of_categories() -> None:
    questions = [
        Question(category, *one.split(), *other.split())
        for category, letter in (("adverb", "a"), ("plural", "p"), ("verb", "v"))
        for one, other in itertools.permutations([f"{letter}{k} {letter}s{k}" for k in range(9)], 2)
    ]
    for seed in range(5):
        for half in without_shared_words(questions, seed):
            counts = Counter(each.category for each in half)
            # Groups of 4 and 5 pairs give 12 and 20 questions.
            assert set(counts) == {"adverb", "plural", "verb"}
            assert set(counts.values()) <= {12, 20}


def test_scores_compare_with_the_baseline_on_the_same_questions() -> None:
    rows = [("a", "a", "x"), ("b", "c", "b"), ("d", "d", "d"), ("e", "", "e")]
    labels = [
        Answer(
            word=word,
            category="c",
            pairs=[f"p{row} q{row}", f"p{row + 1} q{row + 1}"],
            by_counts=counted,
        )
        for row, (word, _, counted) in enumerate(rows)
    ]
    predictions = [
        Neighbours(
            neighbours=[Neighbour(word=each, similarity=0.5)] if each else [],
            unknown_words=[],
            message="",
        )
        for _, each, _ in rows
    ]
    found_metrics = score(predictions=predictions, labels=labels)
    assert (found_metrics["accuracy"], found_metrics["baseline_accuracy"]) == (0.5, 0.75)
    assert found_metrics["gain"] == -0.25


@pytest.fixture
def model(tmp_path: Path) -> WordVectors:
    vectors = np.random.default_rng(4).normal(size=(100, 8)).astype(np.float32)
    export(vectors, WORDS, tmp_path)
    assert json.loads((tmp_path / "vocabulary.json").read_text()) == list(WORDS)
    loaded = WordVectors()
    loaded.load(tmp_path)
    return loaded


def test_the_graph_returns_the_nearest_words_by_cosine(model: WordVectors) -> None:
    vectors = np.random.default_rng(4).normal(size=(100, 8)).astype(np.float32)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    query = units[3] - units[5]
    cosines = units @ query / np.linalg.norm(query)
    ranked = [place for place in np.argsort(-cosines) if place not in (3, 5)]
    (prediction,) = model.predict(
        [Query(positive=[WORDS[3].upper()], negative=[WORDS[5]], count=50)]
    )
    assert [each.word for each in prediction.neighbours] == [WORDS[each] for each in ranked[:50]]
    values = [each.similarity for each in prediction.neighbours]
    assert values == pytest.approx(cosines[ranked[:50]], abs=1e-5)


def test_padding_adds_nothing() -> None:
    vectors = np.random.default_rng(4).normal(size=(100, 8)).astype(np.float32)
    queries = [Query(positive=["waa"]), Query(positive=["wab", "wac"], negative=["wad"])]
    arrays = [torch.from_numpy(each) for each in as_arrays(queries, PLACES).values()]
    similarities, numbers = Nearest(vectors)(*arrays)
    assert numbers[:, 0].tolist()[0] == PLACES["waa"]
    assert float(similarities[0, 0]) == pytest.approx(1, abs=1e-5)
    predictions = found(queries, similarities.numpy(), numbers.numpy(), WORDS, PLACES)
    assert "waa" not in [each.word for each in predictions[0].neighbours]


def test_an_unknown_word_is_named_instead_of_ignored(model: WordVectors) -> None:
    queries = [Query(positive=["waa", "Zebra"], negative=["okapi"]), Query(positive=["waa"])]
    refused, answered = model.predict(queries)
    assert refused.neighbours == []
    assert refused.unknown_words == ["zebra", "okapi"]
    assert "zebra, okapi" in refused.message
    assert len(answered.neighbours) == 5
    assert answered.message == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"positive": ["new york"]}, "positive: 'new york' is not one word"),
        ({"positive": ["a"], "negative": ["caf\u00e9"]}, "negative: 'caf\u00e9' is not one word"),
        ({"positive": ["King"], "negative": ["king"]}, "king is in positive, too"),
        ({"positive": []}, "at least 1 item"),
    ],
)
def test_a_malformed_query_is_refused(words: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Query.model_validate(words)

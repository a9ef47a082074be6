"""Film reviews: padding and packing, attention, word counts against scikit-learn, and splits."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from pipelines.dl.film_reviews import data, train
from pipelines.dl.film_reviews.model import LABELS, Review, sentiments
from pipelines.dl.film_reviews.network import AttentiveReader, ExportedReader, Recipe
from pipelines.dl.film_reviews.report import EXAMPLES
from pipelines.dl.film_reviews.words import BEGINNING, ENDING, LENGTH, read_words, to_tokens
from slipway.kits.text.vocabulary import Vocabulary, words
from slipway.training import LabelledRows

TEXTS = [each.text for each in EXAMPLES]
VOCABULARY = Vocabulary.from_texts(TEXTS, 200, at_least=1)


@pytest.fixture(params=train.RECIPES)
def network(request: pytest.FixtureRequest) -> AttentiveReader:
    torch.manual_seed(4)
    found = AttentiveReader(train.RECIPES[request.param], len(VOCABULARY))
    found.eval()
    return found


def tokens(texts: list[str]) -> torch.Tensor:
    return torch.from_numpy(to_tokens(texts, VOCABULARY))


def test_a_padded_batch_gives_the_logits_of_single_texts(network: AttentiveReader) -> None:
    together, attention = network.read(tokens(TEXTS))
    for row, text in enumerate(TEXTS):
        count = len(read_words(text))
        alone, own = network.read(tokens([text])[:, :count])
        assert torch.allclose(together[row], alone[0], atol=1e-6)
        assert torch.allclose(attention[row, :count], own[0], atol=1e-6)
        assert attention[row, count:].sum() == 0


@pytest.mark.parametrize("reader", ["rnn", "gru", "lstm"])
def test_a_packed_batch_gives_the_same_logits(reader: str) -> None:
    torch.manual_seed(4)
    found = AttentiveReader(Recipe(reader), len(VOCABULARY))
    found.eval()
    masked, packed = (found.read(tokens(TEXTS), packed=each)[0] for each in (False, True))
    assert torch.allclose(masked, packed, atol=1e-6)


def test_attention_sums_to_one(network: AttentiveReader) -> None:
    probabilities, attention = ExportedReader(network)(tokens(TEXTS))
    for sums in (probabilities.sum(dim=1), attention.sum(dim=1)):
        assert torch.allclose(sums, torch.ones(len(TEXTS)))


def rows() -> LabelledRows[Review, str]:
    return LabelledRows(EXAMPLES * 3, ["positive", "negative", "positive", "negative"] * 3)


def test_word_counts_are_logistic_regression_over_tf_idf() -> None:
    counts = train.fit_counts(rows(), VOCABULARY)
    vectorizer = TfidfVectorizer(
        analyzer=words, vocabulary=list(VOCABULARY.known), sublinear_tf=True
    )
    values = vectorizer.fit_transform([each.text for each in rows().records])
    labels = [label == LABELS[1] for label in rows().labels]
    model = LogisticRegression(C=3.0, max_iter=300).fit(values, labels)
    wanted = model.predict_proba(vectorizer.transform([*TEXTS, "zzz"]))[:, 1]
    found = [counts.probability(text) for text in (*TEXTS, "zzz")]
    assert found == pytest.approx(wanted.tolist(), abs=1e-9)


def test_a_long_review_is_cut_in_the_middle() -> None:
    many = " ".join(f"w{chr(97 + place % 26)}" for place in range(1000))
    read = read_words(many)
    assert len(read) == LENGTH
    assert read == words(many)[:BEGINNING] + words(many)[-ENDING:]
    assert words(" ".join(read)) == read


@pytest.mark.parametrize("text", [" ", "\x00", "日本語", "!" * 20_000, "a" * 20_000, "<br />"])
def test_odd_texts_are_read(text: str) -> None:
    torch.manual_seed(4)
    found = AttentiveReader(Recipe("gru"), len(VOCABULARY))
    found.eval()
    with torch.no_grad():
        outputs = ExportedReader(found)(tokens([text]))
    counts = train.fit_counts(rows(), VOCABULARY)
    (prediction,) = sentiments([Review(text=text)], outputs[0].numpy(), outputs[1].numpy(), counts)
    assert sum(each.attention for each in prediction.words) == pytest.approx(1, abs=1e-4)
    assert np.isfinite(prediction.by_word_counts)


def test_a_review_is_in_one_split_only() -> None:
    frame = pd.DataFrame(
        {
            "label": ["neg", "pos", "neg"],
            "text": ["Bad,<br />very bad!", "Good.", "bad , VERY bad !"],
        }
    )
    seen: set[str] = set()
    first = list(data.distinct(frame, seen))
    assert [(each.text, label) for each, label in first] == [
        ("Bad,\nvery bad!", "negative"),
        ("Good.", "positive"),
    ]
    assert list(data.distinct(frame, seen)) == []

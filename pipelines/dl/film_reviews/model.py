"""Does the writer of this review like the film?

Data: 50,000 reviews of films from IMDB, half of them positive; no film has reviews in both splits.
Reviews with 5 or 6 of 10 stars were left out by the authors, so every review has a clear verdict.
Task: binary classification; both errors cost the same.
Model: own embeddings of words, read by a recurrent network or none, and attention that weighs the
words, as ONNX: the simplest candidate within one standard error of the best accuracy on held-out
reviews. Beside it, logistic regression over TF-IDF of words gives a second opinion.
Limits: English reviews of films, up to 2011. Of long reviews the network reads the first 80 and
the last 160 words. Attention shows where the network looked, which need not be why.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish
from slipway.kits.classes import ClassRecord
from slipway.kits.text.vocabulary import UNKNOWN, Vocabulary, words

from .words import WordCounts, read_words, to_tokens

LABELS = ("negative", "positive")


class Review(Record):
    """A review of a film."""

    text: str = Field(min_length=1, max_length=20_000, description="English, a few sentences")


class AttendedWord(Record):
    """A word with its share of the attention."""

    word: str
    attention: float = Field(ge=0, le=1)


class Sentiment(ClassRecord, labels=LABELS):
    """The verdict of a review, and the words that the network looked at."""

    words: list[AttendedWord] = Field(
        default=[], description="The words that were read, in order; their attention sums to 1"
    )
    by_word_counts: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Probability of positive by logistic regression over TF-IDF, a second opinion",
    )


def sentiments(
    reviews: Sequence[Review], probabilities: np.ndarray, attention: np.ndarray, counts: WordCounts
) -> list[Sentiment]:
    """Return predictions, given probabilities (rows, 2) and attention (rows, length)."""
    found = []
    plain = Sentiment.from_probabilities(probabilities)
    for review, each, weights in zip(reviews, plain, attention.tolist(), strict=True):
        read = read_words(review.text)
        attended = [
            AttendedWord(word=word, attention=min(weight, 1.0))
            for word, weight in zip(read, weights, strict=False)
        ]
        further = {"words": attended, "by_word_counts": counts.probability(review.text)}
        found.append(each.model_copy(update=further))
    return found


class FilmReviews(OnnxModel):
    def load(self, weights: Path) -> None:
        super().load(weights)
        self._vocabulary = Vocabulary.read(weights)
        self._counts = WordCounts.read(weights, self._vocabulary)

    def predict(self, model_input: list[Review]) -> list[Sentiment]:
        tokens = to_tokens([each.text for each in model_input], self._vocabulary)
        outputs = self.run({"tokens": tokens})
        return sentiments(model_input, outputs["probabilities"], outputs["attention"], self._counts)

    def monitoring_features(
        self, records: list[Review], predictions: list[Sentiment]
    ) -> dict[str, np.ndarray]:
        """Return lengths, the share of unknown words, and the largest attention, (rows,) each."""
        tokens = to_tokens([each.text for each in records], self._vocabulary)
        read = (tokens > 0).sum(axis=1)
        return {
            "words": np.array([len(words(each.text)) for each in records], dtype=np.float64),
            "unknown_share": (tokens == UNKNOWN).sum(axis=1) / read,
            "largest_attention": np.array(
                [max(word.attention for word in each.words) for each in predictions]
            ),
        }


publish(FilmReviews())

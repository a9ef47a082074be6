"""Which of 26 topics of business is this news story about: one, several, or none?

Data: 12,900 stories of the Reuters newswire of 1987 with the topics that editors gave them; the
later ones are the test rows (ModApte).
Task: multi-label classification with 26 correlated labels; between 30 % and 0.5 % of the stories
are about each topic.
Model: linear classifiers over TF-IDF of words, by binary relevance or in a chain: the simplest
candidate within one standard error of the best cross-validated macro F1. Each topic has a
threshold, one half unless that candidate has tuned thresholds.
Limits: English of 1987, business only, and topics with 50 training stories or more.
"""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import Model, Record, publish

# Topics with 50 training stories or more, the most frequent first.
TOPICS = tuple(
    "earn acq money-fx grain crude trade interest wheat ship corn money-supply dlr sugar oilseed "
    "coffee gnp gold veg-oil soybean nat-gas bop livestock cpi cocoa reserves carcass".split()
)
SHOWN = 5
TERMS, ARRAYS = "terms.json", "weights.npz"


class Story(Record):
    """Headline and text in one string; case, digits and punctuation are ignored."""

    text: str = Field(min_length=1, max_length=200_000)


class Topic(Record):
    topic: str
    probability: float = Field(ge=0, le=1)
    threshold: float = Field(ge=0, le=1, description="From here on the story counts as about it")


class Subjects(Record):
    """The topics of a story, and the likeliest topics whether they apply or not."""

    topics: list[str] = Field(description="Topics that apply, the likeliest first; can be empty")
    likeliest: list[Topic]
    known_words: int = Field(
        ge=0, description="Different known words; 0: no basis for a prediction"
    )


def words(text: str) -> list[str]:
    return re.findall("[a-z]+", text.lower())


def features(
    stories: list[Story], vocabulary: dict[str, int], rarity: np.ndarray
) -> list[tuple[list[int], np.ndarray]]:
    """Return each story's known words as vocabulary positions and TF-IDF weights of length 1.

    A weight is 1 + log of the word's count, times its inverse document frequency.
    """
    found = []
    for story in stories:
        counts = Counter(word for word in words(story.text) if word in vocabulary)
        places = [vocabulary[word] for word in counts]
        weights = (1 + np.log(np.array(list(counts.values()), dtype=np.float64))) * rarity[places]
        found.append((places, weights / max(float(np.linalg.norm(weights)), 1e-12)))
    return found


def chain_log_odds(scores: np.ndarray, links: np.ndarray, order: list[int]) -> np.ndarray:
    """Return log odds (rows, topics) of a chain: each topic uses the predictions before it.

    `links[one, other]` is what a positive prediction of `one` adds to `other`; all zero, it is
    binary relevance. Read, Pfahringer, Holmes and Frank, Classifier Chains (2011).
    """
    log_odds, y_pred = scores.copy(), np.zeros_like(scores)
    for place in order:
        log_odds[:, place] += y_pred @ links[:, place]
        y_pred[:, place] = log_odds[:, place] > 0
    return log_odds


def subjects(scores: np.ndarray, thresholds: np.ndarray, known: list[int]) -> list[Subjects]:
    """Return predictions from log odds (rows, topics), thresholds (topics,) and word counts."""
    found = []
    for row, count in zip(1 / (1 + np.exp(-scores)), known, strict=True):
        order = np.argsort(-row, kind="stable")
        topics = [
            Topic(topic=TOPICS[place], probability=row[place], threshold=thresholds[place])
            for place in order[:SHOWN]
        ]
        applying = [TOPICS[place] for place in order if row[place] >= thresholds[place]]
        found.append(Subjects(topics=applying, likeliest=topics, known_words=count))
    return found


class NewsTopics(Model):
    """A NumPy model: a story has 70 of 12,000 words, and an ONNX graph would multiply all."""

    def load(self, weights: Path) -> None:
        vocabulary = json.loads((weights / TERMS).read_text())
        self._vocabulary = {term: place for place, term in enumerate(vocabulary["terms"])}
        self._order: list[int] = vocabulary["order"]
        with np.load(weights / ARRAYS) as arrays:
            self._arrays = {name: arrays[name] for name in arrays.files}

    def predict(self, model_input: list[Story]) -> list[Subjects]:
        arrays = self._arrays
        rows = features(model_input, self._vocabulary, arrays["rarity"])
        plain = [
            values @ arrays["weights"][places] + arrays["intercepts"] for places, values in rows
        ]
        scores = chain_log_odds(
            np.array(plain).reshape(-1, len(TOPICS)), arrays["links"], self._order
        )
        return subjects(scores, arrays["thresholds"], [len(places) for places, _ in rows])


publish(NewsTopics())

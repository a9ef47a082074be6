"""Which of 26 topics of business is this news story about: one, several, or none?

Data: 12,900 stories of the Reuters newswire of 1987 with the topics that editors gave them; the
later ones test (ModApte).
Task: 26 yes-or-no questions with answers that depend on each other; from 30 % to 0.5 % of the
stories are about a topic.
Model: TF-IDF of words into linear classifiers, binary relevance or a chain: the simplest candidate
within one standard error of the best cross-validated macro F1. Each topic has a threshold, a half
unless thresholds are part of that candidate.
Limits: English of 1987, business alone, and the topics of which training has 50 stories or more.
"""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import Model, Record, publish

# Those of 50 training stories or more, the most frequent first; cbond and lei, say, have fewer.
TOPICS = tuple(
    "earn acq money-fx grain crude trade interest wheat ship corn money-supply dlr sugar oilseed "
    "coffee gnp gold veg-oil soybean nat-gas bop livestock cpi cocoa reserves carcass".split()
)
SHOWN = 5
TERMS, ARRAYS = "terms.json", "weights.npz"


class Story(Record):
    """Headline and text in one; case, digits and punctuation are not looked at."""

    text: str = Field(min_length=1, max_length=200_000)


class Topic(Record):
    topic: str
    probability: float = Field(ge=0, le=1)
    threshold: float = Field(ge=0, le=1, description="From which on the story is about it")


class Subjects(Record):
    """What the story is about, and the likeliest topics whether it is about them or not."""

    topics: list[str] = Field(description="All that apply, the likeliest first; empty if none does")
    likeliest: list[Topic]
    known_words: int = Field(ge=0, description="Different words known; 0: the answer says nothing")


def words(text: str) -> list[str]:
    return re.findall("[a-z]+", text.lower())


def features(
    stories: list[Story], vocabulary: dict[str, int], rarity: np.ndarray
) -> list[tuple[list[int], np.ndarray]]:
    """Each story's known words as places in the vocabulary and their weights, of length 1.

    1 + log of how often a word stands there, times its inverse document frequency.
    """
    found = []
    for story in stories:
        counts = Counter(word for word in words(story.text) if word in vocabulary)
        places = [vocabulary[word] for word in counts]
        weights = (1 + np.log(np.array(list(counts.values()), dtype=np.float64))) * rarity[places]
        found.append((places, weights / max(float(np.linalg.norm(weights)), 1e-12)))
    return found


def chained(scores: np.ndarray, links: np.ndarray, order: list[int]) -> np.ndarray:
    """Log odds (rows, topics), each topic told what was said of those before it in `order`.

    `links[one, other]` is what the answer to `one` adds to `other`; without any it is binary
    relevance. Read, Pfahringer, Holmes and Frank, Classifier Chains (2011).
    """
    told, said = scores.copy(), np.zeros_like(scores)
    for place in order:
        told[:, place] += said @ links[:, place]
        said[:, place] = told[:, place] > 0
    return told


def subjects(scores: np.ndarray, thresholds: np.ndarray, known: list[int]) -> list[Subjects]:
    """From log odds (rows, topics), thresholds (topics,) and how many words each story has."""
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
    """NumPy alone: a story has 70 of 12,000 words, and a graph of dense rows would multiply all."""

    def load(self, weights: Path) -> None:
        told = json.loads((weights / TERMS).read_text())
        self._vocabulary = {term: place for place, term in enumerate(told["terms"])}
        self._order: list[int] = told["order"]
        with np.load(weights / ARRAYS) as held:
            self._arrays = {name: held[name] for name in held.files}

    def predict(self, model_input: list[Story]) -> list[Subjects]:
        held = self._arrays
        rows = features(model_input, self._vocabulary, held["rarity"])
        plain = [values @ held["weights"][places] + held["intercepts"] for places, values in rows]
        scores = chained(np.array(plain).reshape(-1, len(TOPICS)), held["links"], self._order)
        return subjects(scores, held["thresholds"], [len(places) for places, _ in rows])


publish(NewsTopics())

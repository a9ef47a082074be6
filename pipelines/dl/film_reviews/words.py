"""Words of a review: those that the network reads, and their weights by plain counts."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slipway.kits.text.vocabulary import Vocabulary, words

# A longer review is cut in the middle: its end says most about the verdict.
BEGINNING, ENDING = 80, 160
LENGTH = BEGINNING + ENDING
FILE = "word_counts.json"


def read_words(text: str) -> list[str]:
    """Return the words that the network reads, at most `LENGTH`; a text without any is "?"."""
    found = words(text) or ["?"]
    return found if len(found) <= LENGTH else found[:BEGINNING] + found[-ENDING:]


def to_tokens(texts: Sequence[str], vocabulary: Vocabulary) -> np.ndarray:
    """Return the numbers of words (rows, LENGTH), int64; 0 after the end of a review."""
    return vocabulary.tokens([" ".join(read_words(text)) for text in texts], LENGTH)


@dataclass(frozen=True)
class WordCounts:
    """Logistic regression over TF-IDF: every word has a weight, whatever stands beside it."""

    places: dict[str, int]
    idf: np.ndarray
    coefficients: np.ndarray
    intercept: float

    @classmethod
    def read(cls, weights: Path, vocabulary: Vocabulary) -> "WordCounts":
        """Read the weights of the vocabulary's words from the folder `weights`."""
        found = json.loads((weights / FILE).read_text())
        places = {word: place for place, word in enumerate(vocabulary.known)}
        idf, coefficients = (np.array(found[name]) for name in ("idf", "coefficients"))
        return cls(places, idf, coefficients, found["intercept"])

    def write(self, weights: Path) -> None:
        """Write the weights into the folder `weights`, with six digits."""
        arrays = {"idf": self.idf, "coefficients": self.coefficients}
        found = {name: [float(f"{each:.6g}") for each in array] for name, array in arrays.items()}
        (weights / FILE).write_text(json.dumps({**found, "intercept": self.intercept}) + "\n")

    def probability(self, text: str) -> float:
        """Return the probability that the whole review is positive."""
        counts = Counter(place for word in words(text) if (place := self.places.get(word, -1)) >= 0)
        places = np.array(list(counts), dtype=np.int64)
        values = (1 + np.log(np.array(list(counts.values()), dtype=np.float64))) * self.idf[places]
        length = float(np.sqrt((values**2).sum())) or 1.0
        odds = self.intercept + float((values * self.coefficients[places]).sum()) / length
        return float(1 / (1 + np.exp(-odds)))

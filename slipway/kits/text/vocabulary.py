"""Words of texts as numbers, by a vocabulary that is shipped with the weights."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

FILE = "vocabulary.json"
WORD = re.compile(r"[a-z]+|\d+|[^\sa-z\d]")
PADDING, UNKNOWN = 0, 1


def words(text: str) -> list[str]:
    """Return lower-case words, numbers and punctuation marks, in order."""
    return WORD.findall(text.lower())


@dataclass(frozen=True)
class Vocabulary:
    """Numbers of words: 0 is padding, 1 every unknown word, then the known ones."""

    known: tuple[str, ...]

    @classmethod
    def from_texts(cls, texts: Iterable[str], size: int, at_least: int = 2) -> Self:
        """Return the `size` words that occur in most texts, the commonest first.

        Each occurs in `at_least` texts.
        """
        counts = Counter(word for text in texts for word in set(words(text)))
        common = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:size]
        return cls(tuple(word for word, count in common if count >= at_least))

    @classmethod
    def read(cls, weights: Path) -> Self:
        """Read the vocabulary from the folder `weights`."""
        return cls(tuple(json.loads((weights / FILE).read_text())))

    def write(self, weights: Path) -> None:
        """Write the vocabulary into the folder `weights`."""
        (weights / FILE).write_text(json.dumps(list(self.known)) + "\n")

    def __len__(self) -> int:
        return len(self.known) + 2

    def tokens(self, texts: Sequence[str], length: int) -> np.ndarray:
        """Return the numbers (rows, length) int64 of the first `length` words of each text."""
        places = {word: place for place, word in enumerate(self.known, start=UNKNOWN + 1)}
        batch = np.full((len(texts), length), PADDING, dtype=np.int64)
        for row, text in enumerate(texts):
            found = [places.get(word, UNKNOWN) for word in words(text)[:length]]
            batch[row, : len(found)] = found
        return batch

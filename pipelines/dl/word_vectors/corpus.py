"""The text that words are learned from: film reviews and articles, as numbers of words."""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from slipway.datasets import fetch

WORD = re.compile("[a-z]+")
END = -1
"""The number between two texts, across which no window reaches."""


@dataclass(frozen=True)
class Corpus:
    """Texts as numbers of words, the most frequent word first."""

    words: tuple[str, ...]
    counts: np.ndarray
    """Occurrences (words,), int64."""
    tokens: np.ndarray
    """Numbers of words in order (tokens,), int32, with `END` after each text."""

    @property
    def places(self) -> dict[str, int]:
        return {word: place for place, word in enumerate(self.words)}


def texts(reviews: int) -> Iterator[str]:
    """Yield all lines of WikiText-2's validation and test parts, then the first reviews."""
    with tarfile.open(fetch("wikitext2").path("wikitext2_valid_test.tar.xz")) as archive:
        for member in archive.getmembers():
            content: Any = archive.extractfile(member)
            # <unk> replaces rare words; it is not a word.
            yield from content.read().decode().replace("<unk>", " ").splitlines()
    file = fetch("imdb_50k").path("imdb_50k.csv.xz")
    for text in pd.read_csv(file, keep_default_na=False, nrows=reviews)["text"]:
        yield text.replace("<br />", " ")


def read_corpus(*, reviews: int, vocabulary: int) -> Corpus:
    """Return the corpus with its `vocabulary` most frequent words; others are left out."""
    numbers: dict[str, int] = {}
    parts = []
    for text in texts(reviews):
        found = [numbers.setdefault(word, len(numbers)) for word in WORD.findall(text.lower())]
        if found:
            parts.append(np.array([*found, END], dtype=np.int32))
    tokens = np.concatenate(parts)
    counts = np.bincount(tokens[tokens != END], minlength=len(numbers))
    names = list(numbers)
    order = sorted(range(len(names)), key=lambda each: (-counts[each], names[each]))[:vocabulary]
    # The last entry stays `END`, which is -1; left out words become -2.
    renumbered = np.full(len(names) + 1, -2, dtype=np.int32)
    renumbered[order] = np.arange(len(order), dtype=np.int32)
    renumbered[END] = END
    tokens = renumbered[tokens]
    return Corpus(tuple(names[each] for each in order), counts[order], tokens[tokens != -2])

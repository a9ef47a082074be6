"""Analogies: their split, by which no word is on both sides, and the answers of word vectors."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Question:
    """The words of "`first` is to `second` as `third` is to `answer`"."""

    category: str
    first: str
    second: str
    third: str
    answer: str

    @property
    def pairs(self) -> tuple[str, str]:
        return f"{self.first} {self.second}", f"{self.third} {self.answer}"

    @property
    def words(self) -> tuple[str, str, str, str]:
        return self.first, self.second, self.third, self.answer


def read_questions(file: Path) -> list[Question]:
    """Return all questions in lower case, with the category of each."""
    found, category = [], ""
    for line in file.read_text().splitlines():
        if line.startswith(":"):
            category = line[1:].strip()
        elif line.strip():
            first, second, third, answer = line.lower().split()
            found.append(Question(category, first, second, third, answer))
    return found


Pair = tuple[str, str]
"""The category of a pair of words, and the pair: `dance dancing`."""


def word_groups(pairs: Iterable[Pair]) -> dict[Pair, str]:
    """Return the group of each pair: pairs that share a word are in one, in any category.

    So *dance, dancing* and *dance, danced* are one group, and so is all that is known of a country.
    A group is named by one of its words.
    """
    leader: dict[str, str] = {}

    def top(word: str) -> str:
        leader.setdefault(word, word)
        while leader[word] != word:
            word = leader[word]
        return word

    wanted = list(dict.fromkeys(pairs))
    for _, words in wanted:
        one, other = words.split()
        leader[top(other)] = top(one)
    return {pair: top(pair[1].split()[0]) for pair in wanted}


def strata(groups: Mapping[Pair, str]) -> dict[str, list[str]]:
    """Return the groups by the alphabetically first of their categories, both in order."""
    categories: dict[str, str] = {}
    for (category, _), group in groups.items():
        categories[group] = min(category, categories.get(group, category))
    found = defaultdict(list)
    for group in sorted(categories):
        found[categories[group]].append(group)
    return dict(sorted(found.items()))


def without_shared_words(
    questions: Sequence[Question], seed: int
) -> tuple[list[Question], list[Question]]:
    """Return two halves of the questions such that no word of one occurs in the other.

    Each group of pairs goes into one half as a whole. Within the categories of `strata`, groups in
    random order go to the halves in turn, so both halves have nearly the same mix. Questions with a
    pair in either half are left out.
    """
    groups = word_groups((each.category, pair) for each in questions for pair in each.pairs)
    generator, side = np.random.default_rng(seed), dict[str, int]()
    for members in strata(groups).values():
        first = int(generator.integers(2))
        for turn, place in enumerate(generator.permutation(len(members)).tolist()):
            side[members[place]] = (first + turn) % 2
    halves: tuple[list[Question], list[Question]] = ([], [])
    for each in questions:
        one, other = (side[groups[each.category, pair]] for pair in each.pairs)
        if one == other:
            halves[one].append(each)
    return halves


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Return the vectors (words, width) with length 1; those of length 0 stay 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), dtype=np.float32)


def answers(
    questions: Sequence[Question], vectors: np.ndarray, places: Mapping[str, int], chunk: int = 500
) -> np.ndarray:
    """Return the number of the word nearest to second - first + third, for each question.

    The words of the question itself are excluded. All words of the questions are in `places`.
    """
    units = unit_rows(vectors)
    # Cosines of the few words that occur, so that vectors of any width take one product.
    numbers = np.array([[places[word] for word in each.words[:3]] for each in questions])
    used, where = np.unique(numbers, return_inverse=True)
    where = where.reshape(numbers.shape)
    cosines = units[used] @ units.T
    found = []
    for start in range(0, len(numbers), chunk):
        part, own = where[start : start + chunk], numbers[start : start + chunk]
        scores = cosines[part[:, 1]] - cosines[part[:, 0]] + cosines[part[:, 2]]
        np.put_along_axis(scores, own, -np.inf, axis=1)
        found.append(scores.argmax(axis=1))
    return np.concatenate(found)


class GroupBootstrap:
    """Accuracy of answers, and its bootstrap over the groups of pairs that questions join.

    Each pair is in many questions, and pairs with a common word are alike, so neither are
    independent. Groups are drawn with replacement within their stratum; a question counts as often
    as the product of its groups' draws (Owen, The pigeonhole bootstrap, 2007).
    """

    def __init__(self, pairs: Sequence[tuple[str, str]], categories: Sequence[str]) -> None:
        """Take the two pairs of each question and its category."""
        groups = word_groups(
            (category, pair)
            for both, category in zip(pairs, categories, strict=True)
            for pair in both
        )
        by_stratum = strata(groups)
        numbers = {
            name: number
            for number, name in enumerate(each for part in by_stratum.values() for each in part)
        }
        self._parts = [np.array([numbers[each] for each in part]) for part in by_stratum.values()]
        self._groups = np.array(
            [
                [numbers[groups[category, pair]] for pair in both]
                for both, category in zip(pairs, categories, strict=True)
            ]
        )

    def resampled(self, right: np.ndarray, *, seed: int, resamples: int = 400) -> np.ndarray:
        """Return the accuracy (resamples,) of the answers that are `right` (questions,)."""
        generator, found = np.random.default_rng(seed), []
        one, other = self._groups.T
        count = sum(map(len, self._parts))
        for _ in range(resamples):
            drawn = [generator.choice(each, len(each)) for each in self._parts]
            draws = np.bincount(np.concatenate(drawn), minlength=count)
            # A question within a group counts as often as the group.
            times = np.where(one == other, draws[one], draws[one] * draws[other])
            found.append(float((times * right).sum() / max(times.sum(), 1)))
        return np.array(found)

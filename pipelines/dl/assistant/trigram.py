"""A trigram model of tokens, the baseline: how far do counts alone go?"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence


class Trigrams:
    """Counts of tokens after the two before them, with Witten-Bell smoothing.

    Where a context has been followed by many different tokens, the shorter context counts more
    (Witten and Bell 1991).
    """

    def __init__(self, text: Sequence[int], vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._after: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for place, token in enumerate(text):
            for length in range(3):
                if place >= length:
                    self._after[tuple(text[place - length : place])][token] += 1

    def log_probability(self, tokens: Sequence[int]) -> float:
        """Return the log-probability of tokens in a row."""
        pairs = enumerate(tokens)
        return sum(
            math.log(self._probability(tuple(tokens[max(0, place - 2) : place]), token))
            for place, token in pairs
        )

    def _probability(self, context: tuple[int, ...], token: int) -> float:
        shorter = self._probability(context[1:], token) if context else 1 / self._vocabulary
        if context not in self._after:
            return shorter
        counts = self._after[context]
        return (counts[token] + len(counts) * shorter) / (counts.total() + len(counts))

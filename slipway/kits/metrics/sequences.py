"""Metrics of predicted texts and labelled tokens."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def edit_distance(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Return how many insertions, deletions and replacements turn one sequence into the other.

    Levenshtein 1966. For texts the elements are characters; pass lists for words.
    """
    before = np.arange(len(other) + 1)
    for place, element in enumerate(one, start=1):
        costs = np.array([element != each for each in other], dtype=np.int64)
        row = np.concatenate([[place], np.minimum(before[:-1] + costs, before[1:] + 1)])
        # An insertion costs 1 more than the cheapest place to the left.
        steps = np.arange(len(row))
        before = np.minimum.accumulate(row - steps) + steps
    return int(before[-1])


def error_rate(y_true: Sequence[Sequence[Any]], y_pred: Sequence[Sequence[Any]]) -> float:
    """Return the edit distances relative to the lengths of the true sequences.

    For texts it is the character error rate, for lists of words the word error rate.

    Raises:
        ValueError: the numbers of sequences differ, or all true ones are empty.
    """
    length = sum(map(len, y_true))
    if not length:
        raise ValueError("an error rate needs a true sequence that is not empty")
    return sum(edit_distance(*pair) for pair in zip(y_true, y_pred, strict=True)) / length


def token_f1(
    y_true: Sequence[Sequence[str]], y_pred: Sequence[Sequence[str]], outside: str = "O"
) -> float:
    """Return the F1 of token labels other than `outside`, over all sequences together.

    Raises:
        ValueError: a predicted sequence has another length than the true one.
    """
    right = marked = found = 0
    for true, predicted in zip(y_true, y_pred, strict=True):
        for one, other in zip(true, predicted, strict=True):
            right += one == other != outside
            marked += one != outside
            found += other != outside
    return 2 * right / (marked + found) if marked + found else 1.0


def exact_share(y_true: Sequence[Any], y_pred: Sequence[Any]) -> float:
    """Return the share of predicted sequences that equal the true ones."""
    return float(np.mean([one == other for one, other in zip(y_true, y_pred, strict=True)]))

"""Perplexity: the number of equally likely tokens that a model hesitates between, on average."""

from collections.abc import Sequence

import numpy as np

from .model import Completion


def passage_counts(completions: Sequence[Completion]) -> np.ndarray:
    """Return (rows, 2): the log-probability and the number of tokens of each rated passage."""
    return np.array(
        [(sum(each.log_probabilities), len(each.log_probabilities)) for each in completions]
    )


def perplexity(counts: np.ndarray) -> float:
    """Return the perplexity of passages (rows, 2) together."""
    total, tokens = counts.sum(axis=0)
    return float(np.exp(-total / tokens))


def perplexity_interval(counts: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval by 1,000 bootstrap samples of the passages."""
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, len(counts), (1000, len(counts)))
    low, high = np.quantile([perplexity(counts[rows]) for rows in drawn], [0.025, 0.975])
    return float(low), float(high)

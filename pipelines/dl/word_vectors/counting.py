"""Word vectors by counting: positive pointwise mutual information (PPMI), and its SVD.

Levy and Goldberg, Neural word embedding as implicit matrix factorization (2014); the settings are
those of Levy, Goldberg and Dagan (2015).
"""

import numpy as np
from numba import njit
from sklearn.utils.extmath import randomized_svd

from .corpus import END, Corpus


@njit(nogil=True)
def add_pairs(tokens, window, counts):  # type: ignore[no-untyped-def]
    """Add to `counts` (words, contexts) how often each context stands near each word.

    A context at the distance d counts (window + 1 - d) / window, as on average in the network's
    windows of random reach.
    """
    contexts = counts.shape[1]
    for place in range(len(tokens)):
        if tokens[place] == END:
            continue
        for distance in range(1, window + 1):
            other = place + distance
            if other >= len(tokens) or tokens[other] == END:
                break
            weight = np.float32((window + 1 - distance) / window)
            if tokens[other] < contexts:
                counts[tokens[place], tokens[other]] += weight
            if tokens[place] < contexts:
                counts[tokens[other], tokens[place]] += weight


def ppmi(corpus: Corpus, *, contexts: int, window: int) -> np.ndarray:
    """Return PPMI (words, contexts), float32, for the most frequent words as contexts.

    Contexts are as frequent as the power 0.75 of their counts, so that rare ones weigh less.
    """
    values = np.zeros((len(corpus.words), min(contexts, len(corpus.words))), dtype=np.float32)
    add_pairs(corpus.tokens, window, values)
    rows = values.sum(axis=1, dtype=np.float64)
    columns = values.sum(axis=0, dtype=np.float64) ** 0.75
    for row in range(len(values)):
        expected = max(rows[row], 1e-9) * np.maximum(columns / columns.sum(), 1e-12)
        values[row] = np.log(np.maximum(values[row] / expected, 1.0))
    return values


def svd_vectors(values: np.ndarray, *, width: int, seed: int) -> np.ndarray:
    """Return the left singular vectors (words, width) by the square root of their values."""
    left, singular, _ = randomized_svd(values, width, n_iter=3, random_state=seed)
    return np.asarray(left * np.sqrt(singular), dtype=np.float32)

"""Could the window and the reference have come from the same source? p-values, and Holm's rule.

All tests here take the reference for the sample that it is. Evidently's `chisquare` and `z` take
its shares for the truth: with 179 reference rows and a window of 5,000 nearly every undrifted
window is then significant.
"""

from collections.abc import Sequence

import numpy as np

# Below five expected the chi-square distribution no longer fits its statistic (Cochran 1954).
EXPECTED = 5.0
# With so few distinct values a number is tested as an ordered category: Kolmogorov's test loses
# its power on ties.
DISCRETE = 12


def of_numbers(reference: np.ndarray, window: np.ndarray) -> float:
    """Kolmogorov-Smirnov's, of two samples (n,) and (m,); chi-square where there are few values."""
    if not len(reference) or not len(window):
        return 1.0
    distinct = np.unique(reference)
    if len(distinct) <= DISCRETE:
        return of_categories(reference, window)
    from scipy import stats

    # The exact distribution takes seconds for thousands of rows, and differs in the fourth digit.
    return float(stats.ks_2samp(reference, window, method="asymp").pvalue)


def of_categories(reference: np.ndarray, window: np.ndarray) -> float:
    """Chi-square of the 2 x k table, rare categories taken together."""
    if not len(reference) or not len(window):
        return 1.0
    values, codes = np.unique(np.concatenate([reference, window]), return_inverse=True)
    counts = np.stack(
        [
            np.bincount(codes[: len(reference)], minlength=len(values)),
            np.bincount(codes[len(reference) :], minlength=len(values)),
        ]
    )
    counts = _pooled(counts)
    if counts.shape[1] < 2:
        return 1.0
    from scipy import stats

    return float(stats.chi2_contingency(counts, correction=False).pvalue)


def of_missing(reference: tuple[int, int], window: tuple[int, int]) -> float:
    """Fisher's exact test of (missing, present) counts."""
    from scipy import stats

    return float(stats.fisher_exact([reference, window]).pvalue)


def of_range(reference: np.ndarray, window: np.ndarray) -> float:
    """Exact: would so many of the window lie beyond the reference's least or largest value?

    If all were one sample, each order would be as likely: the chance that the k largest of n + m
    are all of the window's n is n (n - 1) ... (n - k + 1) over the same from n + m. Both ends are
    looked at, so the smaller of two chances counts twice.
    """
    n, m = len(window), len(reference)
    if not n or not m:
        return 1.0
    above = int((window > reference.max()).sum())
    below = int((window < reference.min()).sum())
    return min(1.0, 2 * min(_all_from_window(k, n, m) for k in (above, below)))


def _all_from_window(k: int, n: int, m: int) -> float:
    steps = np.arange(k)
    return float(np.exp(np.sum(np.log((n - steps) / (n + m - steps)))))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted, in their order (Holm 1979): the chance of any false rejection stays below alpha.

    Chosen over Benjamini and Hochberg since it holds however the fields hang together, and areas,
    ages and prices of houses hang together closely.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, (len(p_values) - place) * p_values[index])
        adjusted[index] = min(1.0, highest)
    return [float(each) for each in adjusted]


def _pooled(counts: np.ndarray) -> np.ndarray:
    """Columns of (2, k) whose smaller expected count is below five, summed into one.

    Which these are depends on both samples together, so the test stays fair.
    """
    totals = counts.sum(axis=0)
    least = totals * counts.sum(axis=1).min() / counts.sum()
    rare = least < EXPECTED
    if not rare.any():
        return counts
    rest = counts[:, rare].sum(axis=1, keepdims=True)
    kept = counts[:, ~rare]
    if least[rare].sum() >= EXPECTED or not kept.shape[1]:
        return np.concatenate([kept, rest], axis=1)
    smallest = kept.sum(axis=0).argmin()
    kept[:, smallest] += rest[:, 0]
    return kept

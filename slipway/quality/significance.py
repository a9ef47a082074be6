"""Two-sample tests of a window against the reference, and Holm's adjustment of their p-values.

All tests here treat the reference as a sample. Evidently's `chisquare` and `z` treat its shares as
the true distribution: with 179 reference rows and a window of 5,000, nearly every undrifted window
is then significant.
"""

from collections.abc import Sequence

import numpy as np

# With expected counts below five, the statistic no longer follows chi-square (Cochran 1954).
EXPECTED = 5.0
# Numbers with so few distinct values are tested as categories: the Kolmogorov-Smirnov test loses
# its power on ties.
DISCRETE = 12


def numeric_p_value(reference: np.ndarray, window: np.ndarray) -> float:
    """Return the two-sample Kolmogorov-Smirnov p-value of numbers (n,) and (m,).

    Up to 12 distinct values, it is the chi-square p-value.
    """
    if not len(reference) or not len(window):
        return 1.0
    distinct = np.unique(reference)
    if len(distinct) <= DISCRETE:
        return categorical_p_value(reference, window)
    from scipy import stats

    # The exact distribution takes seconds for thousands of rows, and differs in the fourth digit.
    return float(stats.ks_2samp(reference, window, method="asymp").pvalue)


def categorical_p_value(reference: np.ndarray, window: np.ndarray) -> float:
    """Return the chi-square p-value of the 2 x k table, with rare categories pooled."""
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


def missing_p_value(reference: tuple[int, int], window: tuple[int, int]) -> float:
    """Return the p-value of Fisher's exact test of (missing, present) counts."""
    from scipy import stats

    return float(stats.fisher_exact([reference, window]).pvalue)


def range_p_value(reference: np.ndarray, window: np.ndarray) -> float:
    """Return the exact p-value of the number of window values outside the reference's range.

    If both were one sample, every order would be equally likely: the probability that the k
    largest of n + m values all belong to the window's n is n (n - 1) ... (n - k + 1) over
    (n + m) (n + m - 1) ... (n + m - k + 1). Both ends are tested, so the smaller of the two
    probabilities is doubled.
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


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted by Holm's method (1979), in their order.

    The probability of any false rejection stays below alpha under every dependence of the fields,
    unlike with Benjamini and Hochberg's method: areas, ages and prices of houses depend on each
    other closely.
    """
    # Not statsmodels' `multipletests`: each call runs a full garbage collection, 60 ms instead of
    # 25 microseconds, and a check of 0.1 s makes three calls. The results are equal to the last
    # bit, see tests/slipway/quality/test_significance.py.
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, (len(p_values) - place) * p_values[index])
        adjusted[index] = min(1.0, highest)
    return [float(each) for each in adjusted]


def _pooled(counts: np.ndarray) -> np.ndarray:
    """Sum the columns of (2, k) whose smaller expected count is below five into one column.

    The choice depends on both samples together, so the test keeps its level.
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

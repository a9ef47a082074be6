"""Fisher's exact test of two rates, for outcomes too rare for the chi-square test."""

import math

import numpy as np

# More outcomes in the smaller arm have a probability below 1e-300 where fewer than ten are
# expected.
REACH = 1_000
# Tables of equal probability differ by rounding errors; this tolerance is R's.
EQUAL = 1e-7


def exact(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Return the two-sided p-value of two arms, each given as successes and size.

    It is the probability, given all sizes and successes, of the tables that are no likelier than
    the observed one. Fisher (1935), "The logic of inductive inference".

    Raises:
        ValueError: ten or more of the rarer outcome are expected in the smaller arm; use chi-square
            there.
    """
    total = a[1] + b[1]
    (observed, small), _ = sorted((a, b), key=lambda arm: arm[1])
    rare = a[0] + b[0]
    if 2 * rare > total:
        observed, rare = small - observed, total - rare
    if small * rare >= 10 * total:
        raise ValueError(f"expected must be below 10, got {small * rare / total:.3g}")
    counts = np.arange(min(small, rare, REACH), dtype=np.float64)
    # The ratios of the hypergeometric probabilities of successive counts.
    up = (small - counts) * (rare - counts)
    down = (counts + 1) * (total - small - rare + counts + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(up) - np.log(down))])
    if observed >= len(logs):
        return 0.0
    chances = np.exp(logs - logs.max())
    p_value = chances[logs <= logs[observed] + math.log1p(EQUAL)].sum() / chances.sum()
    return float(min(1.0, p_value))

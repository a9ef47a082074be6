"""Fisher's exact test: are two rates the same, of so few outcomes that chi-square is a guess?"""

import math

import numpy as np

# Outcomes in the smaller arm, beyond which their probability is below 1e-300 where fewer than ten
# are expected.
REACH = 1_000
# Tables of equal probability differ by rounding: as much is taken for equal, as R does.
EQUAL = 1e-7


def exact(a: tuple[int, int], b: tuple[int, int]) -> float:
    """The two-sided p-value of two arms, each successes and size.

    The probability, given all sizes and successes, of the tables that are no likelier than the
    one seen. Fisher (1935), "The logic of inductive inference".

    Raises:
        ValueError: ten or more of the rarer outcome are expected in the smaller arm: chi-square
            serves there.
    """
    total = a[1] + b[1]
    (seen, small), _ = sorted((a, b), key=lambda arm: arm[1])
    rare = a[0] + b[0]
    if 2 * rare > total:
        seen, rare = small - seen, total - rare
    if small * rare >= 10 * total:
        raise ValueError(f"expected must be below 10, got {small * rare / total:.3g}")
    counts = np.arange(min(small, rare, REACH), dtype=np.float64)
    # Of one count to the next: the ratio of hypergeometric probabilities.
    up = (small - counts) * (rare - counts)
    down = (counts + 1) * (total - small - rare + counts + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(up) - np.log(down))])
    if seen >= len(logs):
        return 0.0
    chances = np.exp(logs - logs.max())
    told = chances[logs <= logs[seen] + math.log1p(EQUAL)].sum() / chances.sum()
    return float(min(1.0, told))

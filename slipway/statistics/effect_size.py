"""How large a difference is, free of its unit. Cohen (1988), "Statistical power analysis"."""

import math


def cohens_h(first: float, second: float) -> float:
    """Of two rates: the difference of their arcsines, second less first."""
    return 2 * (math.asin(math.sqrt(second)) - math.asin(math.sqrt(first)))


def cohens_d(difference: float, *, variances: tuple[float, float]) -> float:
    """Of two means: in standard deviations, with the mean of both arms' variances.

    Raises:
        ValueError: both variances are 0.
    """
    if not sum(variances) > 0:
        raise ValueError("variances must not both be 0: nothing tells the spread")
    return difference / math.sqrt(sum(variances) / 2)

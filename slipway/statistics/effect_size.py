"""Effect sizes: differences without a unit. Cohen (1988), "Statistical power analysis"."""

import math


def cohens_h(first: float, second: float) -> float:
    """Return the difference of the arcsines of two rates, second minus first."""
    return 2 * (math.asin(math.sqrt(second)) - math.asin(math.sqrt(first)))


def cohens_d(difference: float, *, variances: tuple[float, float]) -> float:
    """Return a difference of means in standard deviations, from the mean of both variances.

    Raises:
        ValueError: both variances are 0.
    """
    if not sum(variances) > 0:
        raise ValueError("variances must not both be 0")
    return difference / math.sqrt(sum(variances) / 2)

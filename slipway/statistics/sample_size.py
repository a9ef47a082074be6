"""Sample size per arm at which a two-sided test of two equal arms detects a difference."""

import math
from statistics import NormalDist


def two_proportions(rate: float, effect: float, *, power: float, alpha: float) -> float | None:
    """Return the size for telling `rate` from `rate + effect`, or from `rate - effect` above 1.

    None where neither is a rate. Fleiss, Levin and Paik (2003), "Statistical methods for rates
    and proportions", chapter 4, without the correction for continuity.
    """
    other = rate + effect if rate + effect <= 1 else rate - effect
    if other < 0:
        return None
    middle = (rate + other) / 2
    pooled = math.sqrt(2 * middle * (1 - middle))
    apart = math.sqrt(rate * (1 - rate) + other * (1 - other))
    found = NormalDist().inv_cdf(1 - alpha / 2) * pooled + NormalDist().inv_cdf(power) * apart
    return _squared(found / effect)


def two_means(variances: float, effect: float, *, power: float, alpha: float) -> float:
    """Return the size for telling means `effect` apart; `variances` is the sum of both variances.

    Chow, Shao and Wang (2008), "Sample size calculations in clinical research", section 3.2.
    """
    found = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(power)
    return variances * _squared(found / effect)


def _squared(number: float) -> float:
    """Return the square, 0 for a negative number: the requested power is less than alpha / 2."""
    return max(number, 0.0) * max(number, 0.0)

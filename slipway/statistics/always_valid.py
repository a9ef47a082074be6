"""Confidence sequences: intervals of a difference that are valid at every look at the data.

An interval made for one look misses the true value more often the more often one looks; these
cover it at all sample sizes together. Howard, Ramdas, McAuliffe and Sekhon (2021), "Time-uniform,
nonparametric, nonasymptotic confidence sequences"; the mixtures are Robbins's (1970).
"""

import math

from slipway.statistics.distributions import root

# The size of an arm at which the normal mixture is tightest by default.
TIGHTEST = 1_000
# With fewer values the variance is too uncertain for the normal mixture to have its coverage.
FEWEST = 30


def rate_interval(
    successes: tuple[float, float], failures: tuple[float, float], *, coverage: float
) -> tuple[float, float]:
    """Return the interval of the second arm's rate minus the first's.

    It is valid at any size and for any split of traffic. For the true rates, the likelihood ratio
    of a Jeffreys mixture to them is a martingale in each arm, and so is the product: it ever
    exceeds 1 / (1 - coverage) with probability below 1 - coverage (Ville). The interval consists
    of the differences of all pairs of rates for which the product is smaller.
    """
    low = _least_difference(successes, failures, coverage)
    high = -_least_difference(successes[::-1], failures[::-1], coverage)
    return low, high


def _least_difference(
    successes: tuple[float, float], failures: tuple[float, float], coverage: float
) -> float:
    """Return the lower end of the interval of rates, by root finding along one parameter.

    The search is over the pairs of rates at which the same pull, the first rate up and the second
    down, is balanced. The log evidence is convex, so these pairs have the least evidence against
    their difference.
    """
    limit = -math.log1p(-coverage)

    def pair(log_pull: float) -> tuple[float, float]:
        pull = math.exp(log_pull)
        first = _pulled_up(successes[0], failures[0], pull)
        second_down = _pulled_up(failures[1], successes[1], pull)
        return first, second_down

    def excess(log_pull: float) -> float:
        first, second_down = pair(log_pull)
        evidence = _evidence(successes[0], failures[0], first)
        evidence += _evidence(failures[1], successes[1], second_down)
        return evidence - limit

    first, second_down = pair(root(excess, -60.0, 60.0))
    return (1 - second_down) - first


def _pulled_up(successes: float, failures: float, pull: float) -> float:
    """Return the rate p that solves n p - successes = pull p (1 - p)."""
    rest = successes + failures - pull
    spread = math.sqrt(rest * rest + 4 * pull * successes)
    if rest > 0:
        return 2 * successes / (rest + spread)
    return min(1.0, (spread - rest) / (2 * pull))


def _evidence(successes: float, failures: float, rate: float) -> float:
    """Return the log likelihood ratio of the Jeffreys mixture to `rate`."""
    mixture = (
        math.lgamma(successes + 0.5)
        + math.lgamma(failures + 0.5)
        - math.lgamma(successes + failures + 1)
        - math.log(math.pi)
    )
    return mixture - _times_log(successes, rate) - _times_log(failures, 1 - rate)


def _times_log(count: float, rate: float) -> float:
    if count == 0:
        return 0.0
    return count * math.log(rate) if rate > 0 else -math.inf


def mean_interval(
    difference: float,
    *,
    variances: tuple[float, float],
    sizes: tuple[int, int],
    coverage: float,
    tightest: float = TIGHTEST,
) -> tuple[float, float]:
    """Return the interval of a difference of two means, for 30 values per arm or more.

    It has its coverage for every value of `tightest`, the size of an arm at which the interval is
    narrowest.

    The method is a normal mixture over the information, 1 / squared standard error, with the
    variances taken as known: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), "Time-uniform
    central limit theory and asymptotic confidence sequences". In simulations from 30 per arm on,
    95 % intervals missed in about 3 % of runs for normal and exponential values, and in 9 % for
    log-normal values with ten times the traffic in one arm. The variances must not both be 0.
    """
    squared_error = variances[0] / sizes[0] + variances[1] / sizes[1]
    # Information relative to that at `tightest` per arm.
    information = sum(variances) / squared_error / tightest
    limit = -2 * math.log1p(-coverage)
    prior = limit + math.log1p(limit)
    wide = (1 + 1 / (prior * information)) * (limit + math.log1p(prior * information))
    radius = math.sqrt(squared_error * wide)
    return difference - radius, difference + radius

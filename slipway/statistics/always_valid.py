"""Confidence sequences: intervals of a difference that hold at every look at once.

An interval made for one look misses ever more often the more often one looks; these cover the
truth at all sample sizes together. Howard, Ramdas, McAuliffe and Sekhon (2021), "Time-uniform,
nonparametric, nonasymptotic confidence sequences"; the mixtures are Robbins's (1970).
"""

import math

from slipway.statistics.distributions import root

# Where the normal mixture is tightest if nothing else is asked for: at so many an arm.
TIGHTEST = 1_000
# Below it a variance is too little known for the normal mixture to cover as promised.
FEWEST = 30


def of_rates(
    successes: tuple[float, float], failures: tuple[float, float], *, coverage: float
) -> tuple[float, float]:
    """Rate of the second arm less that of the first; exact at any size, for any split of traffic.

    For the true rates, the likelihood ratio of a Jeffreys mixture to them is a martingale in each
    arm, and so is the product: it ever exceeds 1 / (1 - coverage) with probability below
    1 - coverage (Ville). The interval holds the differences of all pairs of rates for which it
    is smaller.
    """
    low = _least_difference(successes, failures, coverage)
    high = -_least_difference(successes[::-1], failures[::-1], coverage)
    return low, high


def _least_difference(
    successes: tuple[float, float], failures: tuple[float, float], coverage: float
) -> float:
    """Along the pairs where a common pull of the rates, first up and second down, is in balance.

    The log evidence is convex, so these are the pairs of least evidence for their difference.
    """
    limit = -math.log1p(-coverage)

    def pair(log_pull: float) -> tuple[float, float]:
        pull = math.exp(log_pull)
        first = _pulled_up(successes[0], failures[0], pull)
        second_down = _pulled_up(failures[1], successes[1], pull)
        return first, second_down

    def over(log_pull: float) -> float:
        first, second_down = pair(log_pull)
        evidence = _evidence(successes[0], failures[0], first)
        evidence += _evidence(failures[1], successes[1], second_down)
        return evidence - limit

    first, second_down = pair(root(over, -60.0, 60.0))
    return (1 - second_down) - first


def _pulled_up(successes: float, failures: float, pull: float) -> float:
    """The rate p that solves n p - successes = pull p (1 - p)."""
    rest = successes + failures - pull
    spread = math.sqrt(rest * rest + 4 * pull * successes)
    if rest > 0:
        return 2 * successes / (rest + spread)
    return min(1.0, (spread - rest) / (2 * pull))


def _evidence(successes: float, failures: float, rate: float) -> float:
    """Log of the likelihood ratio of the Jeffreys mixture to `rate`."""
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


def of_means(
    difference: float,
    *,
    variances: tuple[float, float],
    sizes: tuple[int, int],
    coverage: float,
    tightest: float = TIGHTEST,
) -> tuple[float, float]:
    """Difference of two means, for large samples: 30 an arm or more.

    It covers whatever `tightest`, the size an arm at which the interval is to be narrowest.

    A normal mixture over the information, 1 / squared standard error, with the variances taken
    as known: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), "Time-uniform central limit
    theory and asymptotic confidence sequences". In simulations from 30 an arm on, 95 % intervals
    missed in about 3 % of runs for normal and exponential values; for log-normal ones with ten
    times the traffic in one arm in 9 %. The variances must not both be 0.
    """
    squared_error = variances[0] / sizes[0] + variances[1] / sizes[1]
    # Information in units of that at `tightest` an arm.
    information = sum(variances) / squared_error / tightest
    limit = -2 * math.log1p(-coverage)
    prior = limit + math.log1p(limit)
    wide = (1 + 1 / (prior * information)) * (limit + math.log1p(prior * information))
    radius = math.sqrt(squared_error * wide)
    return difference - radius, difference + radius

"""Always-valid intervals: their coverage in simulations, and their definition."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from slipway.statistics import always_valid


def rate_misses(rates: tuple[float, float], share: int, *, runs: int, last: int) -> float:
    """Return how often the always-valid interval ever misses.

    Arm b gets one in `share` of the traffic of arm a.
    """
    rng, missed = np.random.default_rng(4), 0
    looks = np.unique(np.geomspace(5, last, 30).astype(int))
    for _ in range(runs):
        a, b = (np.cumsum(rng.random(last) < rate) for rate in rates)
        for n in looks:
            m = max(n // share, 1)
            yes = float(a[n - 1]), float(b[m - 1])
            low, high = always_valid.rate_interval(yes, (n - yes[0], m - yes[1]), coverage=0.9)
            if not low <= rates[1] - rates[0] <= high:
                missed += 1
                break
    return missed / runs


@pytest.mark.parametrize(
    ("rates", "share"), [((0.5, 0.5), 1), ((0.02, 0.02), 10), ((0.1, 0.3), 10), ((0.99, 0.9), 1)]
)
def test_intervals_of_rates_keep_their_coverage_at_all_looks(
    rates: tuple[float, float], share: int
) -> None:
    assert rate_misses(rates, share, runs=120, last=2000) <= 0.1


def test_the_interval_for_rates_is_where_the_evidence_reaches_its_limit() -> None:
    """Compare with a grid over both rates."""
    yes, no = (12.0, 30.0), (88.0, 70.0)
    rates = np.linspace(0.0005, 0.9995, 2000)

    def evidence(arm: int) -> np.ndarray:
        mixture = stats.betabinom(yes[arm] + no[arm], 0.5, 0.5).pmf(yes[arm])
        return np.log(mixture / stats.binom(yes[arm] + no[arm], rates).pmf(yes[arm]))

    with np.errstate(divide="ignore"):
        allowed = evidence(0)[:, None] + evidence(1) < math.log(20)
    first, second = np.nonzero(allowed)
    differences = rates[second] - rates[first]
    found = always_valid.rate_interval(yes, no, coverage=0.95)
    assert found == pytest.approx((differences.min(), differences.max()), abs=0.001)


def mean_misses(draw, difference: float, *, interval, runs: int) -> float:  # type: ignore[no-untyped-def]
    """Return how often intervals of the mean difference ever miss, at every tenth n from 30 on."""
    rng, missed, last = np.random.default_rng(5), 0, 2000
    looks = np.arange(30, last, 10)
    for _ in range(runs):
        stream = np.stack([draw(rng, arm, last) for arm in (0, 1)])
        sums, squares = stream.cumsum(axis=1), (stream**2).cumsum(axis=1)
        means = sums[:, looks - 1] / looks
        variances = (squares[:, looks - 1] - looks * means**2) / (looks - 1)
        gaps = means[1] - means[0]
        missed += any(
            not low <= difference <= high
            for low, high in (
                interval(gap, (va, vb), int(n))
                for gap, va, vb, n in zip(gaps, *variances, looks, strict=True)
            )
        )
    return missed / runs


def always(gap: float, variances: tuple[float, float], n: int) -> tuple[float, float]:
    return always_valid.mean_interval(gap, variances=variances, sizes=(n, n), coverage=0.9)


def single(gap: float, variances: tuple[float, float], n: int) -> tuple[float, float]:
    reach = 1.645 * math.sqrt(sum(variances) / n)
    return gap - reach, gap + reach


@pytest.mark.parametrize(
    ("draw", "difference"),
    [
        pytest.param(lambda rng, arm, n: rng.normal(arm / 5, 1 + arm, n), 0.2, id="normal"),
        pytest.param(lambda rng, arm, n: rng.exponential(1 + arm, n), 1.0, id="exponential"),
    ],
)
def test_intervals_of_means_keep_their_coverage_at_all_looks(draw, difference: float) -> None:  # type: ignore[no-untyped-def]
    assert mean_misses(draw, difference, interval=always, runs=300) <= 0.1
    # An interval for a single look misses many times as often.
    assert mean_misses(draw, difference, interval=single, runs=100) > 0.3


@pytest.mark.parametrize("sizes", [(1000, 1000), (40, 9000), (10**6, 10**5)])
def test_at_the_ends_of_the_interval_for_means_the_mixture_martingale_reaches_its_limit(
    sizes: tuple[int, int],
) -> None:
    """Integrate over the mixture itself: effects from a normal distribution around 0."""
    variances, coverage = (4.0, 9.0), 0.95
    low, high = always_valid.mean_interval(0.7, variances=variances, sizes=sizes, coverage=coverage)
    assert (low + high) / 2 == pytest.approx(0.7)
    squared_error = variances[0] / sizes[0] + variances[1] / sizes[1]
    # Tightest at 1,000 per arm for this coverage.
    limit = 2 * math.log(20)
    prior = stats.norm(0, math.sqrt((limit + math.log(limit + 1)) * sum(variances) / 1000))
    seen = stats.norm(0, math.sqrt(squared_error))

    def weighed(effect: float) -> float:
        return float(prior.pdf(effect) * seen.pdf((high - low) / 2 - effect))

    ends = np.linspace(-12, 12, 25) * prior.std()
    mixed = sum(integrate.quad(weighed, *each, limit=200)[0] for each in pairwise(ends))
    assert mixed / seen.pdf((high - low) / 2) == pytest.approx(20, rel=1e-6)

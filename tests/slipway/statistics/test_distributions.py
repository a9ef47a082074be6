"""Beta and Student-t distributions and their differences, compared with SciPy."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, stats

from slipway.statistics.distributions import Beta, BetaDifference, StudentT, root

BETAS = [(0.5, 0.5), (0.5, 3), (2, 9), (10.5, 0.5), (1.3, 0.77), (100.5, 900.5), (0.5, 1e6)]
BETAS += [(3e8, 7e8)]
PAIRS = [
    ((30.5, 70.5), (40.5, 60.5)),
    ((1.5, 1.5), (0.5, 1000.5)),
    ((2.5, 1.5), (100_000.5, 200_000.5)),
    ((0.5, 2000.5), (3.5, 1997.5)),
    ((5e5, 5e5), (5.01e5, 4.99e5)),
]


@pytest.mark.parametrize(
    "rising",
    [
        math.tanh,
        lambda x: math.erf(x) + 0.99,
        lambda x: -math.inf if x < -1 else math.inf if x > 1 else x,
        lambda x: math.copysign(1, x),
        lambda x: x + 1e9 * max(x, 0),
    ],
    ids=["smooth", "far tail", "infinite", "a step", "a bend"],
)
@pytest.mark.parametrize("width", [1e-4, 0.05, 3])
def test_a_root_is_where_bisection_finds_it(rising: Callable[[float], float], width: float) -> None:
    calls = []

    def scaled(x: float) -> float:
        calls.append(x)
        return rising((x - 0.3) / width)

    found, low, high = root(scaled, -1.0, 1.0), -1.0, 1.0
    # No parabola fits a step, so that the interval is halved.
    assert len(calls) <= 60
    while high - low > 1e-14:
        middle = (low + high) / 2
        low, high = (middle, high) if scaled(middle) < 0 else (low, middle)
    assert found == pytest.approx(low, abs=3e-12)


def test_without_a_root_the_result_is_the_nearer_end() -> None:
    assert root(lambda x: x + 5, -1.0, 1.0) == -1
    assert root(lambda x: x - 5, -1.0, 1.0) == 1


def test_a_quantile_takes_less_than_half_the_evaluations_of_bisection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, below = [], BetaDifference.below

    def counted(self: BetaDifference, difference: float) -> float:
        calls.append(difference)
        return below(self, difference)

    monkeypatch.setattr(BetaDifference, "below", counted)
    BetaDifference(Beta(200.5, 9800.5), Beta(230.5, 9770.5)).quantile(0.975)
    assert len(calls) <= 20


# SciPy's own quantile at 1e-9 of Beta(0.5, 3).
@pytest.mark.filterwarnings("ignore:Error in function boost")
@pytest.mark.parametrize(("alpha", "beta"), BETAS)
def test_the_beta_table_agrees_with_scipy(alpha: float, beta: float) -> None:
    table, expected = Beta(alpha, beta), stats.beta(alpha, beta)
    x = expected.ppf(np.concatenate([[1e-9, 1e-6], np.linspace(0.001, 0.999, 101), [1 - 1e-6]]))
    assert table.below(x) == pytest.approx(expected.cdf(x), abs=1e-9)
    first_moment = expected.mean() * stats.beta(alpha + 1, beta).cdf(x)
    assert table.mean_below(x) == pytest.approx(first_moment, abs=1e-9)
    assert table.below(np.array([-0.5, 0.0, 1.0, 1.5])).tolist() == pytest.approx([0, 0, 1, 1])
    assert (table.mean, table.sd) == pytest.approx((expected.mean(), expected.std()))


@pytest.mark.parametrize("freedom", [1, 1.2, 2, 3.7, 30, 1e3, 1e6, 1e9])
def test_the_t_table_agrees_with_scipy(freedom: float) -> None:
    table, expected = StudentT(freedom), stats.t(freedom)
    for t in (-100, -5, -2, -0.3, 0, 0.7, 3, 20):
        assert table.below(t) == pytest.approx(expected.cdf(t), abs=1e-9)
        assert table.density(t) == pytest.approx(expected.pdf(t), rel=1e-9)
    for probability in (0.001, 0.025, 0.2, 0.8, 0.975, 0.9999):
        assert table.quantile(probability) == pytest.approx(expected.ppf(probability), rel=1e-7)


@pytest.mark.parametrize("freedom", [1.5, 4, 200])
@pytest.mark.parametrize("t", [-3, -0.2, 0, 1, 4])
def test_the_mean_shortfall_of_t_is_its_integral(freedom: float, t: float) -> None:
    density = stats.t(freedom).pdf
    expected = integrate.quad(lambda x: (x - t) * density(x), t, np.inf, limit=400)[0]
    assert StudentT(freedom).mean_shortfall(t) == pytest.approx(expected, rel=1e-6)


def over_angles(first: tuple[float, float], inner, *, kinks: list[float]) -> float:  # type: ignore[no-untyped-def]
    """Return the mean of `inner` under Beta(*first), with x = sin^2 of the angle, piecewise."""
    density = stats.beta(*first).pdf

    def integrand(angle: float) -> float:
        x = math.sin(angle) ** 2
        return float(density(x) * 2 * math.sin(angle) * math.cos(angle) * inner(x))

    marks = stats.beta(*first).ppf([1e-12, 1e-6, 0.01, 0.2, 0.5, 0.8, 0.99, 1 - 1e-6])
    ends = sorted({math.asin(math.sqrt(min(max(x, 0.0), 1.0))) for x in (*marks, *kinks)})
    pieces = zip([0.0, *ends], [*ends, math.pi / 2 - 1e-12], strict=True)
    options = {"epsabs": 1e-13, "epsrel": 1e-12, "limit": 200}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", integrate.IntegrationWarning)
        return sum(integrate.quad(integrand, *each, **options)[0] for each in pieces)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_the_difference_of_rates_agrees_with_adaptive_integration(
    a: tuple[float, float], b: tuple[float, float]
) -> None:
    difference = BetaDifference(Beta(*a), Beta(*b))
    other = stats.beta(*b)
    for probability in (0.025, 0.5, 0.975):
        d = difference.quantile(probability)
        kinks = [-d, 1 - d, *(other.ppf([1e-9, 0.01, 0.5, 0.99, 1 - 1e-9]) - d)]
        found = over_angles(a, lambda x, d=d: other.cdf(x + d), kinks=kinks)
        assert found == pytest.approx(probability, abs=1e-6)

    def shortfall(x: float) -> float:
        """Return the mean of max(x - B, 0)."""
        return float(x * other.cdf(x) - other.mean() * stats.beta(b[0] + 1, b[1]).cdf(x))

    kinks = other.ppf([1e-9, 0.01, 0.5, 0.99, 1 - 1e-9]).tolist()
    expected = over_angles(a, shortfall, kinks=kinks)
    assert difference.mean_shortfall() == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_without_a_success_in_either_arm_probabilities_are_within_one_in_ten_thousand() -> None:
    a, b = (0.5, 10.5), (0.5, 30.5)
    difference, other = BetaDifference(Beta(*a), Beta(*b)), stats.beta(*b)
    for d in (-0.3, -0.1, -0.01, -0.001, 0, 0.001, 0.01, 0.1):
        expected = over_angles(a, lambda x, d=d: other.cdf(x + d), kinks=[max(-d, 0)])
        assert difference.below(d) == pytest.approx(expected, abs=1e-4)

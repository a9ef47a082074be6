"""A/B statistics: against SciPy, against simulations with fixed seeds, and at the edges."""

import math
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import integrate, stats

from slipway.statistics import always_valid, sample_size
from slipway.statistics.ab import Comparison, Sample, compare
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
def test_a_root_is_where_halving_finds_it(rising: Callable[[float], float], width: float) -> None:
    asked = []

    def scaled(x: float) -> float:
        asked.append(x)
        return rising((x - 0.3) / width)

    found, low, high = root(scaled, -1.0, 1.0), -1.0, 1.0
    # A step is no parabola anywhere: then it halves.
    assert len(asked) <= 60
    while high - low > 1e-14:
        middle = (low + high) / 2
        low, high = (middle, high) if scaled(middle) < 0 else (low, middle)
    assert found == pytest.approx(low, abs=3e-12)


def test_without_a_root_it_is_the_nearer_end() -> None:
    assert root(lambda x: x + 5, -1.0, 1.0) == -1
    assert root(lambda x: x - 5, -1.0, 1.0) == 1


def test_a_quantile_asks_its_distribution_less_than_half_as_often_as_halving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, below = [], BetaDifference.below

    def counted(self: BetaDifference, difference: float) -> float:
        asked.append(difference)
        return below(self, difference)

    monkeypatch.setattr(BetaDifference, "below", counted)
    BetaDifference(Beta(200.5, 9800.5), Beta(230.5, 9770.5)).quantile(0.975)
    assert len(asked) <= 20


# SciPy's own inverse at 1e-9 of Beta(0.5, 3).
@pytest.mark.filterwarnings("ignore:Error in function boost")
@pytest.mark.parametrize(("alpha", "beta"), BETAS)
def test_the_beta_table_agrees_with_scipy(alpha: float, beta: float) -> None:
    table, wanted = Beta(alpha, beta), stats.beta(alpha, beta)
    x = wanted.ppf(np.concatenate([[1e-9, 1e-6], np.linspace(0.001, 0.999, 101), [1 - 1e-6]]))
    assert table.below(x) == pytest.approx(wanted.cdf(x), abs=1e-9)
    first_moment = wanted.mean() * stats.beta(alpha + 1, beta).cdf(x)
    assert table.mean_below(x) == pytest.approx(first_moment, abs=1e-9)
    assert table.below(np.array([-0.5, 0.0, 1.0, 1.5])).tolist() == pytest.approx([0, 0, 1, 1])
    assert (table.mean, table.sd) == pytest.approx((wanted.mean(), wanted.std()))


@pytest.mark.parametrize("freedom", [1, 1.2, 2, 3.7, 30, 1e3, 1e6, 1e9])
def test_the_t_table_agrees_with_scipy(freedom: float) -> None:
    table, wanted = StudentT(freedom), stats.t(freedom)
    for t in (-100, -5, -2, -0.3, 0, 0.7, 3, 20):
        assert table.below(t) == pytest.approx(wanted.cdf(t), abs=1e-9)
        assert table.density(t) == pytest.approx(wanted.pdf(t), rel=1e-9)
    for probability in (0.001, 0.025, 0.2, 0.8, 0.975, 0.9999):
        assert table.quantile(probability) == pytest.approx(wanted.ppf(probability), rel=1e-7)


@pytest.mark.parametrize("freedom", [1.5, 4, 200])
@pytest.mark.parametrize("t", [-3, -0.2, 0, 1, 4])
def test_the_mean_shortfall_of_t_is_its_integral(freedom: float, t: float) -> None:
    density = stats.t(freedom).pdf
    wanted = integrate.quad(lambda x: (x - t) * density(x), t, np.inf, limit=400)[0]
    assert StudentT(freedom).mean_shortfall(t) == pytest.approx(wanted, rel=1e-6)


def over_angles(first: tuple[float, float], inner, *, kinks: list[float]) -> float:  # type: ignore[no-untyped-def]
    """The mean of `inner` under Beta(*first), x = sin^2 of the angle, piece by piece."""
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
        """The mean of x - B where positive."""
        return float(x * other.cdf(x) - other.mean() * stats.beta(b[0] + 1, b[1]).cdf(x))

    kinks = other.ppf([1e-9, 0.01, 0.5, 0.99, 1 - 1e-9]).tolist()
    wanted = over_angles(a, shortfall, kinks=kinks)
    assert difference.mean_shortfall() == pytest.approx(wanted, rel=1e-5, abs=1e-12)


def test_without_a_success_in_either_arm_probabilities_are_within_one_in_ten_thousand() -> None:
    a, b = (0.5, 10.5), (0.5, 30.5)
    difference, other = BetaDifference(Beta(*a), Beta(*b)), stats.beta(*b)
    for d in (-0.3, -0.1, -0.01, -0.001, 0, 0.001, 0.01, 0.1):
        wanted = over_angles(a, lambda x, d=d: other.cdf(x + d), kinks=[max(-d, 0)])
        assert difference.below(d) == pytest.approx(wanted, abs=1e-4)


def test_rates_compare_as_draws_from_their_posteriors_do() -> None:
    told = compare(Sample(1000, 0.1), Sample(800, 0.13), kind="binary")
    rng = np.random.default_rng(0)
    draws = rng.beta(104.5, 696.5, 400_000) - rng.beta(100.5, 900.5, 400_000)
    assert told.probability_b_better == pytest.approx((draws > 0).mean(), abs=0.002)
    assert told.expected_loss == pytest.approx(np.maximum(-draws, 0).mean(), rel=0.05)
    wanted = np.quantile(draws, [0.025, 0.975])
    assert told.credible_interval == pytest.approx(wanted, abs=0.0005)
    assert told.difference == pytest.approx(0.03)


def test_means_compare_as_welchs_test_does() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(10, 1, 12), rng.normal(10.8, 3, 40)
    for credible in (0.8, 0.95, 0.999):
        told = compare(Sample.of(one), Sample.of(other), credible=credible)
        welch = stats.ttest_ind(other, one, equal_var=False)
        assert told.kind == "continuous"
        assert told.credible_interval == pytest.approx(welch.confidence_interval(credible))
        p_value = 2 * min(told.probability_b_better, 1 - told.probability_b_better)
        assert p_value == pytest.approx(welch.pvalue, rel=1e-6)


ARMS = {
    "binary": (Sample(300, 0.2), Sample(700, 0.25)),
    "continuous": (Sample(300, 10.0, 4.0), Sample(700, 10.2, 9.0)),
}


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_swapping_the_arms_mirrors_the_answer(kind: str) -> None:
    a, b = ARMS[kind]
    told, mirrored = compare(a, b, kind=kind), compare(b, a, kind=kind)
    assert told.difference == -mirrored.difference
    for name in ("credible_interval", "always_valid_interval"):
        low, high = getattr(mirrored, name)
        assert getattr(told, name) == pytest.approx((-high, -low), abs=1e-8)
    both = told.probability_b_better + mirrored.probability_b_better
    assert both == pytest.approx(1, abs=1e-8)
    # Choosing the one loses less than choosing the other by as much as it is better.
    gain = mirrored.expected_loss - told.expected_loss
    wanted = 175.5 / 701 - 60.5 / 301 if kind == "binary" else told.difference
    assert gain == pytest.approx(wanted, abs=1e-8)


def test_the_sample_size_for_rates_gives_the_power_asked_for() -> None:
    """Against the exact power of the pooled z-test, summed over all outcomes."""
    for rate, effect, power, alpha in ((0.1, 0.02, 0.8, 0.05), (0.6, 0.1, 0.9, 0.01)):
        n = math.ceil(sample_size.two_proportions(rate, effect, power=power, alpha=alpha))
        x = np.arange(n + 1)
        middle = (x[:, None] + x) / 2 / n
        with np.errstate(invalid="ignore"):
            z = np.abs(x[:, None] - x) / n / np.sqrt(2 * middle * (1 - middle) / n)
        found = stats.binom(n, rate).pmf(x) @ (z > stats.norm.ppf(1 - alpha / 2))
        assert found @ stats.binom(n, rate + effect).pmf(x) == pytest.approx(power, abs=0.005)
    # As statsmodels 0.15 has them, samplesize_proportions_2indep_onetail and NormalIndPower.
    found = sample_size.two_proportions(0.1, 0.02, power=0.8, alpha=0.05)
    assert found == pytest.approx(3840.8474824)
    found = sample_size.two_means(2 * 2.0**2, 0.5, power=0.8, alpha=0.05)
    assert found == pytest.approx(251.163536, rel=1e-5)


def test_the_sample_size_for_means_gives_the_power_asked_for() -> None:
    n = sample_size.two_means(1.0 + 9.0, 0.5, power=0.9, alpha=0.1)
    z = 0.5 / math.sqrt(10 / n)
    assert stats.norm.sf(stats.norm.ppf(0.95) - z) == pytest.approx(0.9)


def test_needed_counts_down_to_nothing() -> None:
    def at(n: int) -> Comparison:
        return compare(Sample(n, 0.1), Sample(n + 50, 0.1), kind="binary", smallest_effect=0.02)

    assert at(1000).sample_size == 3841
    assert at(1000).needed == 2841
    assert [at(n).needed for n in (3840, 3841, 9000)] == [1, 0, 0]
    # From a rate of 1 only a fall can be seen.
    falling = compare(Sample(9, 1.0), Sample(9, 1.0), kind="binary", smallest_effect=0.1)
    rising = compare(Sample(9, 0.0), Sample(9, 0.0), kind="binary", smallest_effect=0.1)
    assert falling.sample_size == rising.sample_size


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        (Sample(10, 0.3, 0.21 * 10 / 9), Sample(0), "binary"),
        (Sample(1, 1.0), Sample(1, 0.0), "binary"),
        (Sample(50, 0.0), Sample(50, 1.0), "binary"),
        (Sample(10, 0.3, 0.21), Sample(10, 0.3, 0.21), "continuous"),
        (Sample(10, 0.35, 0.35 * 0.65 * 10 / 9), Sample(1, 1.0), "continuous"),
        (Sample(10, 1.3, 0.21), Sample(10, 0.3, 0.21 * 10 / 9), "continuous"),
        (Sample(0), Sample(0), "continuous"),
    ],
)
def test_the_kind_is_told_from_mean_and_variance(a: Sample, b: Sample, kind: str) -> None:
    assert compare(a, b).kind == kind


def test_zeros_and_ones_of_any_number_are_told_for_binary() -> None:
    rng = np.random.default_rng(2)
    for n in (2, 7, 1000, 123_457):
        assert compare(*(Sample.of(rng.random(n) < 0.3) for _ in range(2))).kind == "binary"


@pytest.mark.parametrize(
    ("a", "b", "note"),
    [
        (Sample(0), Sample(0), "a has no data.*b has no data"),
        (Sample(0), Sample(5, 0.4), "a has no data"),
        (Sample(1, 1.0), Sample(1, 1.0), "a has seen only successes.*b has seen only successes"),
        (Sample(9, 0.0), Sample(9, 0.5), "a has seen no success"),
    ],
)
def test_rates_with_hardly_any_data_give_wide_intervals(a: Sample, b: Sample, note: str) -> None:
    told = compare(a, b, kind="binary")
    for low, high in (told.credible_interval, told.always_valid_interval):
        assert -1 <= low < high <= 1
        assert high - low > 0.5
    assert 0 < told.probability_b_better < 1
    assert told.expected_loss > 0
    assert (told.difference is None) == (not a.n)
    assert re.search(note, told.note)


@pytest.mark.parametrize(
    ("a", "b", "note", "difference"),
    [
        (Sample(0), Sample(9, 5.0, 2.0), "Fewer than two values of a:", None),
        (Sample(1, 4.0), Sample(1, 5.0), "Fewer than two values of a and b:", 1.0),
        (Sample(9, 4.0, 0.0), Sample(9, 5.0, 0.0), "All values of an arm are equal:", 1.0),
    ],
)
def test_means_whose_spread_is_unknown_give_nothing_but_the_difference(
    a: Sample, b: Sample, note: str, difference: float | None
) -> None:
    told = compare(a, b, kind="continuous", smallest_effect=1.0)
    assert told.difference == difference
    assert told.credible_interval is told.always_valid_interval is None
    assert told.probability_b_better is told.expected_loss is told.needed is None
    assert told.verdict == "Nothing can be told yet."
    assert told.note.startswith(note)


def test_one_arm_without_spread_leaves_the_other_arms() -> None:
    told = compare(Sample(50, 4.0, 0.0), Sample(50, 5.0, 2.0), kind="continuous")
    reach = stats.t(49).ppf(0.975) * math.sqrt(2.0 / 50)
    assert told.credible_interval == pytest.approx((1 - reach, 1 + reach))
    assert "All values of a are equal" in told.note


def test_with_two_values_an_arm_the_loss_may_have_no_mean() -> None:
    told = compare(Sample(2, 4.0, 0.0), Sample(2, 5.0, 2.0), kind="continuous")
    assert told.expected_loss is None
    assert "one degree of freedom" in told.note
    reach = stats.t(1).ppf(0.975)
    assert told.credible_interval == pytest.approx((1 - reach, 1 + reach))
    assert told.always_valid_interval is None
    assert "Fewer than 30 values in an arm" in told.note


def test_credible_intervals_of_rates_hold_what_they_promise() -> None:
    """Rates drawn from the prior lie within with the probability named, exactly."""
    rng, covered, runs = np.random.default_rng(3), 0, 300
    for _ in range(runs):
        rates, sizes = rng.beta(0.5, 0.5, 2), rng.integers(1, 60, 2)
        a, b = (Sample(int(n), rng.binomial(n, p) / n) for n, p in zip(sizes, rates, strict=True))
        low, high = compare(a, b, kind="binary", credible=0.8).credible_interval
        covered += low <= rates[1] - rates[0] <= high
    assert covered / runs == pytest.approx(0.8, abs=3 * math.sqrt(0.8 * 0.2 / runs))


def rate_misses(rates: tuple[float, float], share: int, *, runs: int, last: int) -> float:
    """How often the interval for every look ever misses; b gets one in `share` of a's traffic."""
    rng, missed = np.random.default_rng(4), 0
    looks = np.unique(np.geomspace(5, last, 30).astype(int))
    for _ in range(runs):
        a, b = (np.cumsum(rng.random(last) < rate) for rate in rates)
        for n in looks:
            m = max(n // share, 1)
            yes = float(a[n - 1]), float(b[m - 1])
            low, high = always_valid.of_rates(yes, (n - yes[0], m - yes[1]), coverage=0.9)
            if not low <= rates[1] - rates[0] <= high:
                missed += 1
                break
    return missed / runs


@pytest.mark.parametrize(
    ("rates", "share"), [((0.5, 0.5), 1), ((0.02, 0.02), 10), ((0.1, 0.3), 10), ((0.99, 0.9), 1)]
)
def test_watching_rates_all_the_time_keeps_the_coverage(
    rates: tuple[float, float], share: int
) -> None:
    assert rate_misses(rates, share, runs=120, last=2000) <= 0.1


def test_the_interval_for_rates_is_where_the_evidence_reaches_its_limit() -> None:
    """Against a grid over both rates, and against the martingale's own coverage."""
    yes, no = (12.0, 30.0), (88.0, 70.0)
    rates = np.linspace(0.0005, 0.9995, 2000)

    def evidence(arm: int) -> np.ndarray:
        mixture = stats.betabinom(yes[arm] + no[arm], 0.5, 0.5).pmf(yes[arm])
        return np.log(mixture / stats.binom(yes[arm] + no[arm], rates).pmf(yes[arm]))

    with np.errstate(divide="ignore"):
        allowed = evidence(0)[:, None] + evidence(1) < math.log(20)
    first, second = np.nonzero(allowed)
    differences = rates[second] - rates[first]
    found = always_valid.of_rates(yes, no, coverage=0.95)
    assert found == pytest.approx((differences.min(), differences.max()), abs=0.001)


def mean_misses(draw, truth: float, *, interval, runs: int) -> float:  # type: ignore[no-untyped-def]
    """How often intervals of the mean difference ever miss, looked at every 10 from 30 on."""
    rng, missed, last = np.random.default_rng(5), 0, 2000
    looks = np.arange(30, last, 10)
    for _ in range(runs):
        stream = np.stack([draw(rng, arm, last) for arm in (0, 1)])
        sums, squares = stream.cumsum(axis=1), (stream**2).cumsum(axis=1)
        means = sums[:, looks - 1] / looks
        variances = (squares[:, looks - 1] - looks * means**2) / (looks - 1)
        gaps = means[1] - means[0]
        missed += any(
            not low <= truth <= high
            for low, high in (
                interval(gap, (va, vb), int(n))
                for gap, va, vb, n in zip(gaps, *variances, looks, strict=True)
            )
        )
    return missed / runs


def held(gap: float, variances: tuple[float, float], n: int) -> tuple[float, float]:
    return always_valid.of_means(gap, variances=variances, sizes=(n, n), coverage=0.9)


def single(gap: float, variances: tuple[float, float], n: int) -> tuple[float, float]:
    reach = 1.645 * math.sqrt(sum(variances) / n)
    return gap - reach, gap + reach


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        pytest.param(lambda rng, arm, n: rng.normal(arm / 5, 1 + arm, n), 0.2, id="normal"),
        pytest.param(lambda rng, arm, n: rng.exponential(1 + arm, n), 1.0, id="exponential"),
    ],
)
def test_watching_means_all_the_time_keeps_the_coverage(draw, truth: float) -> None:  # type: ignore[no-untyped-def]
    assert mean_misses(draw, truth, interval=held, runs=300) <= 0.1
    # What it is for: the interval of a single look misses many times as often.
    assert mean_misses(draw, truth, interval=single, runs=100) > 0.3


@pytest.mark.parametrize("sizes", [(1000, 1000), (40, 9000), (10**6, 10**5)])
def test_at_the_ends_of_the_interval_for_means_the_mixture_martingale_reaches_its_limit(
    sizes: tuple[int, int],
) -> None:
    """Integrated over the mixture itself: effects drawn from a normal distribution around 0."""
    variances, coverage = (4.0, 9.0), 0.95
    low, high = always_valid.of_means(0.7, variances=variances, sizes=sizes, coverage=coverage)
    assert (low + high) / 2 == pytest.approx(0.7)
    squared_error = variances[0] / sizes[0] + variances[1] / sizes[1]
    # Tightest at 1,000 an arm for this coverage.
    limit = 2 * math.log(20)
    prior = stats.norm(0, math.sqrt((limit + math.log(limit + 1)) * sum(variances) / 1000))
    seen = stats.norm(0, math.sqrt(squared_error))

    def weighed(effect: float) -> float:
        return float(prior.pdf(effect) * seen.pdf((high - low) / 2 - effect))

    ends = np.linspace(-12, 12, 25) * prior.std()
    mixed = sum(integrate.quad(weighed, *each, limit=200)[0] for each in pairwise(ends))
    assert mixed / seen.pdf((high - low) / 2) == pytest.approx(20, rel=1e-6)


def test_the_interval_for_every_look_is_the_wider_one() -> None:
    for kind, (a, b) in ARMS.items():
        told = compare(a, b, kind=kind)
        single, always = told.credible_interval, told.always_valid_interval
        assert always[0] < single[0] < single[1] < always[1]


@pytest.mark.parametrize(
    ("a", "b", "effect", "verdict"),
    [
        (Sample(20_000, 0.1), Sample(20_000, 0.15), 0.02, "^b is better, by .* often one looks"),
        (Sample(20_000, 0.15), Sample(20_000, 0.1), None, "^a is better, by .* often one looks"),
        (Sample(4_000, 0.1), Sample(4_000, 0.12), 0.02, "^b is better .* at the sample size set"),
        (Sample(1_000, 0.1), Sample(1_000, 0.13), 0.02, "^b looks better, .*: 2,841 more are"),
        (Sample(1_000, 0.1), Sample(1_000, 0.13), None, "^b looks better .* finds as much by ch"),
        (Sample(1_000, 0.1), Sample(1_000, 0.1), 0.02, "^Too early to tell .*: 2,841 more are"),
        (Sample(9_000, 0.1), Sample(9_000, 0.1), 0.02, "^No difference as large as 0.02 is likely"),
        (Sample(4_000, 0.1), Sample(4_000, 0.11), 0.02, "^Neither is shown .* sample size set"),
        (Sample(1_000, 0.1), Sample(1_000, 0.1), None, "^Neither is shown to be better so far"),
    ],
)
def test_the_verdict_says_it_plainly(
    a: Sample, b: Sample, effect: float | None, verdict: str
) -> None:
    told = compare(a, b, kind="binary", smallest_effect=effect)
    assert re.search(verdict, told.verdict), told.verdict


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"credible": 1.0}, "credible"),
        ({"power": 0.0}, "power"),
        ({"alpha": -0.1}, "alpha"),
        ({"smallest_effect": 0.0}, "smallest_effect"),
        ({"kind": "ordinal"}, "kind"),
        ({"kind": "binary"}, "b: binary needs a mean between 0 and 1, got 1.5"),
    ],
)
def test_options_that_are_off_are_named(options: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        compare(Sample(10, 0.5, 1.0), Sample(10, 1.5, 1.0), **options)


def test_samples_that_cannot_be_are_refused() -> None:
    for wrong in ({"n": -1}, {"n": 3, "mean": math.nan}, {"n": 3, "variance": -1.0}):
        with pytest.raises(ValidationError):
            Sample(**wrong)


def test_serving_needs_nothing_but_numpy_and_pydantic_for_it() -> None:
    code = "import slipway.statistics.ab, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert not {"scipy", "pandas", "mlflow", "sklearn"} & set(loaded.stdout.split())


def holds(told: Comparison) -> None:
    """What is true of every comparison."""
    assert Comparison.model_validate_json(told.model_dump_json()) == told
    for interval in (told.credible_interval, told.always_valid_interval):
        assert interval is None or interval[0] <= interval[1]
    assert told.verdict


COUNTS = st.integers(0, 10) | st.integers(0, 10**12)
SHARES = st.floats(1e-12, 1 - 1e-12)


@settings(max_examples=60, deadline=None)
@given(
    arms=st.tuples(*[st.tuples(COUNTS, st.floats(0, 1))] * 2),
    credible=SHARES,
    effect=st.none() | st.floats(1e-300, 2),
)
@example(arms=((10**12, 0.0), (10**12, 1.0)), credible=0.95, effect=0.5)
@example(arms=((10**12, 1e-12), (1, 0.3)), credible=0.95, effect=1e-12)
def test_no_rates_make_it_fail(arms: tuple, credible: float, effect: float | None) -> None:
    a, b = (Sample(n, mean) for n, mean in arms)
    told = compare(a, b, kind="binary", credible=credible, smallest_effect=effect)
    holds(told)
    for low, high in (told.credible_interval, told.always_valid_interval):
        assert -1 <= low <= high <= 1
    holds(compare(a, b))


SAMPLES = st.builds(Sample, n=COUNTS, mean=st.floats(-1e100, 1e100), variance=st.floats(0, 1e200))


@settings(max_examples=150, deadline=None)
@given(
    a=SAMPLES,
    b=SAMPLES,
    credible=SHARES,
    power=SHARES,
    alpha=SHARES,
    effect=st.none() | st.floats(min_value=0, exclude_min=True, allow_infinity=False),
)
@example(
    a=Sample(2, -1e100, 1e-200),
    b=Sample(2, 1e100, 5e-324),
    credible=1 - 1e-12,
    power=0.5,
    alpha=0.05,
    effect=5e-324,
)
def test_no_means_make_it_fail(
    a: Sample, b: Sample, credible: float, power: float, alpha: float, effect: float | None
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = compare(
            a,
            b,
            kind="continuous",
            credible=credible,
            power=power,
            alpha=alpha,
            smallest_effect=effect,
        )
    holds(told)
    if told.probability_b_better is not None and a.mean != b.mean:
        assert (told.probability_b_better >= 0.5 - 1e-9) == (b.mean > a.mean) or math.isclose(
            told.probability_b_better, 0.5, abs_tol=1e-9
        )

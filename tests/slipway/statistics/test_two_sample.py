"""Two-sample tests, effect sizes and power, compared with SciPy and statsmodels."""

import math
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats import power as reference_power
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    power_proportions_2indep,
    proportion_confint,
    proportion_effectsize,
)

from slipway.statistics import chi_square, effect_size, fisher, power, proportions, sample_size
from slipway.statistics.distributions import StudentT
from slipway.statistics.welch import Welch

# Below this value SciPy's own tails lose digits or become 0.
SMALLEST = 1e-280


@pytest.mark.parametrize("freedom", [1, 1.2, 2, 3.7, 10, 59.9, 60.1, 1e3, 1e6, 1e9, 1e12])
def test_the_tails_of_t_keep_their_digits(freedom: float) -> None:
    for t in (0, 1e-3, 0.3, 1, 2, 5, 8, 20, 35, 1e3, 1e8, 1e30, 1e150, 1e200, 1e300):
        found, expected = StudentT(freedom).two_sided_tail(t), 2 * stats.t.sf(t, freedom)
        assert StudentT(freedom).two_sided_tail(-t) == found
        if expected > SMALLEST:
            assert found == pytest.approx(expected, rel=1e-9)
        else:
            assert 0 <= found < 1e-250


@settings(max_examples=100, deadline=None)
@given(
    difference=st.floats(-50, 50),
    variances=st.tuples(*[st.floats(1e-6, 1e6)] * 2),
    sizes=st.tuples(*[st.integers(2, 10**9)] * 2),
    coverage=st.sampled_from([0.5, 0.8, 0.95, 0.999]),
)
@example(difference=0.0, variances=(1.0, 1.0), sizes=(2, 2), coverage=0.95)
def test_welch_agrees_with_scipy(
    difference: float, variances: tuple[float, float], sizes: tuple[int, int], coverage: float
) -> None:
    found = Welch.from_moments(difference, variances=variances, sizes=sizes)
    (va, vb), (na, nb) = variances, sizes
    expected = stats.ttest_ind_from_stats(
        difference, math.sqrt(vb), nb, 0.0, math.sqrt(va), na, equal_var=False
    )
    assert found.statistic == pytest.approx(float(expected.statistic), rel=1e-9)
    if expected.pvalue > SMALLEST:
        # For large t, an error of the freedom is a thousand times as large in the tail.
        assert found.p_value == pytest.approx(float(expected.pvalue), rel=1e-6)
    student = stats.t(found.freedom, difference, found.error)
    assert found.interval(coverage) == pytest.approx(
        student.interval(coverage), rel=1e-6, abs=1e-9 * found.error
    )


def test_welch_on_values_is_scipys_test_on_values() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(5, 1, 14), rng.normal(5.8, 3, 33)
    found = Welch.from_moments(
        b.mean() - a.mean(), variances=(a.var(ddof=1), b.var(ddof=1)), sizes=(len(a), len(b))
    )
    expected = stats.ttest_ind(b, a, equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-10)
    assert found.freedom == pytest.approx(expected.df, rel=1e-12)
    assert found.interval(0.9) == pytest.approx(tuple(expected.confidence_interval(0.9)), rel=1e-8)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 30, 101, 1000])
def test_the_tail_of_chi_square_agrees_with_scipy(freedom: int) -> None:
    for statistic in (0, 1e-12, 0.01, 0.5, 1, 3.84, 10, 50, 400, 1100):
        found, expected = chi_square.survival(statistic, freedom), stats.chi2.sf(statistic, freedom)
        assert found == pytest.approx(expected, rel=1e-10, abs=SMALLEST)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.integers(1, 10**6), min_size=width, max_size=width), min_size=2, max_size=5
        )
    )
)
def test_independence_agrees_with_scipy(table: list[list[int]]) -> None:
    found, expected = (
        chi_square.independence(table),
        stats.chi2_contingency(table, correction=False),
    )
    assert found.freedom == expected.dof
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9, abs=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=SMALLEST)


def test_the_fit_to_shares_agrees_with_scipy() -> None:
    counts, shares = [44_700, 45_489, 900], [0.5, 0.49, 0.01]
    found = chi_square.fit(counts, shares)
    expected = stats.chisquare(counts, np.array(shares) * sum(counts))
    assert (found.statistic, found.p_value) == pytest.approx(tuple(expected), rel=1e-10)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda: chi_square.independence([[1, 2]]), "table must have two rows"),
        (lambda: chi_square.independence([[1, 2], [0, 0]]), "no empty row"),
        (lambda: chi_square.independence([[1, -2], [1, 5]]), "counts of 0 or more"),
        (lambda: chi_square.fit([3, 4], [1.0]), "got 2, 1"),
        (lambda: chi_square.fit([3, 4], [1.0, 0.0]), "shares above 0"),
        (
            lambda: Welch.from_moments(1.0, variances=(1.0, 1.0), sizes=(1, 9)),
            "sizes must be 2 or more",
        ),
        (lambda: Welch.from_moments(1.0, variances=(0.0, 0.0), sizes=(9, 9)), "must not both be 0"),
        (lambda: proportions.newcombe((0, 0), (1, 2), coverage=0.9), "a size above 0"),
        (lambda: fisher.exact((40, 100), (50, 100)), "expected must be below 10, got 45"),
        (lambda: effect_size.cohens_d(1.0, variances=(0.0, 0.0)), "must not both be 0"),
    ],
)
def test_invalid_samples_are_errors(wrong, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=re.escape(reason)):
        wrong()


@settings(max_examples=100, deadline=None)
@given(
    small=st.integers(1, 300),
    large=st.integers(300, 10**4),
    share=st.floats(0, 0.03),
    seen=st.floats(0, 1),
    failures=st.booleans(),
)
@example(small=3, large=3, share=0.5, seen=1.0, failures=False)
@example(small=9, large=10**4, share=1e-3, seen=0.5, failures=True)
def test_fishers_test_agrees_with_scipy(
    small: int, large: int, share: float, seen: float, failures: bool
) -> None:
    rare = round(share * (small + large))
    first = round(seen * min(small, rare))
    a, b = (first, small), (min(rare - first, large), large)
    if failures:
        a, b = (small - a[0], small), (large - b[0], large)
    expected = stats.fisher_exact([[a[0], small - a[0]], [b[0], large - b[0]]]).pvalue
    for found in (fisher.exact(a, b), fisher.exact(b, a)):
        if expected > SMALLEST:
            assert found == pytest.approx(float(expected), rel=1e-9)
        else:
            assert 0 <= found < 1e-250


def test_fishers_test_of_the_largest_arms_is_fast() -> None:
    # Two of two successes at a rate of one in a hundred million: no other table is as unlikely.
    usual = 10**12, 10**4
    assert fisher.exact((2, 2), (usual[1], usual[0])) == pytest.approx(1e-16, rel=1e-3)
    assert fisher.exact((5 * 10**5, 10**6), (0, usual[0])) == 0


ARMS = st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=100, deadline=None)
@given(a=ARMS, b=ARMS, coverage=st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_the_interval_of_rates_agrees_with_statsmodels(
    a: tuple[int, int], b: tuple[int, int], coverage: float
) -> None:
    options = {"alpha": 1 - coverage}
    wilson = proportion_confint(*a, method="wilson", **options)
    assert proportions.wilson(a, coverage=coverage) == pytest.approx(wilson, abs=1e-12)
    expected = confint_proportions_2indep(*b, *a, method="newcomb", compare="diff", **options)
    found = proportions.newcombe(a, b, coverage=coverage)
    assert found == pytest.approx(expected, abs=1e-9)
    assert -1 <= found[0] <= found[1] <= 1


@pytest.mark.parametrize(("n", "rates"), [(10, (0.1, 0.3)), (25, (0.5, 0.5)), (25, (0.02, 0.9))])
def test_the_interval_of_rates_has_its_coverage(n: int, rates: tuple[float, float]) -> None:
    """Compute the exact coverage over all outcomes of two arms of `n`."""
    chances = [stats.binom(n, rate).pmf(np.arange(n + 1)) for rate in rates]
    difference = rates[1] - rates[0]
    covered = 0.0
    for one in range(n + 1):
        for other in range(n + 1):
            low, high = proportions.newcombe((one, n), (other, n), coverage=0.95)
            covered += chances[0][one] * chances[1][other] * (low <= difference <= high)
    assert 0.93 < covered < 0.99


def test_effect_sizes_agree_with_statsmodels() -> None:
    for first, second in ((0.1, 0.2), (0, 1), (0.5, 0.5), (0.99, 0.3)):
        expected = proportion_effectsize(second, first)
        assert effect_size.cohens_h(first, second) == pytest.approx(expected, abs=1e-12)
    assert effect_size.cohens_d(3.0, variances=(4.0, 14.0)) == pytest.approx(1.0)


@pytest.mark.parametrize("sizes", [(100, 100), (50, 800), (3000, 200)])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.2])
def test_the_power_for_means_agrees_with_statsmodels(sizes: tuple[int, int], alpha: float) -> None:
    for effect in (0.2, 0.5):
        found = power.two_means((2.25, 2.25), effect, sizes=sizes, alpha=alpha)
        expected = reference_power.NormalIndPower().power(
            effect / 1.5, sizes[0], alpha, ratio=sizes[1] / sizes[0], alternative="larger"
        )
        # `power` is of the two-sided test: half the alpha in the right direction.
        two_sided = reference_power.NormalIndPower().power(
            effect / 1.5, sizes[0], alpha / 2, ratio=sizes[1] / sizes[0], alternative="larger"
        )
        assert found == pytest.approx(two_sided, rel=1e-9)
        assert found < expected


@pytest.mark.parametrize("sizes", [(2000, 2000), (500, 4000)])
def test_the_power_for_rates_agrees_with_statsmodels(sizes: tuple[int, int]) -> None:
    for rate, effect in ((0.1, 0.03), (0.5, 0.05), (0.8, 0.04)):
        found = power.two_proportions(rate, effect, sizes=sizes, alpha=0.05)
        expected = power_proportions_2indep(
            effect,
            rate,
            nobs1=sizes[1],
            ratio=sizes[0] / sizes[1],
            alpha=0.025,
            alternative="larger",
            return_results=False,
        )
        assert found == pytest.approx(expected, rel=2e-2)


@settings(max_examples=100, deadline=None)
@given(
    rate=st.floats(0.01, 0.9),
    effect=st.floats(0.002, 0.09),
    expected=st.floats(0.3, 0.99),
    alpha=st.floats(0.001, 0.3),
)
def test_power_inverts_the_sample_size(
    rate: float, effect: float, expected: float, alpha: float
) -> None:
    n = sample_size.two_proportions(rate, effect, power=expected, alpha=alpha)
    assert n is not None
    # Sizes are integers, so that the power is at least the expected one, and one less is too few.
    size = math.ceil(n)
    reached = power.two_proportions(rate, effect, sizes=(size, size), alpha=alpha)
    assert reached is not None
    assert expected - 1e-9 <= reached
    if size > 2:
        fewer = power.two_proportions(rate, effect, sizes=(size - 1, size - 1), alpha=alpha)
        assert fewer is not None
        assert fewer <= expected + 1e-9
    size = math.ceil(sample_size.two_means(2.0, effect, power=expected, alpha=alpha))
    assert power.two_means((1.0, 1.0), effect, sizes=(size, size), alpha=alpha) >= expected - 1e-9


def test_power_at_the_edges() -> None:
    assert power.two_proportions(0.0, 1.5, sizes=(9, 9), alpha=0.05) is None
    assert power.two_proportions(0.0, 1.0, sizes=(9, 9), alpha=0.05) == 1.0
    # From a rate of 1 only a decrease is possible.
    falling = power.two_proportions(1.0, 0.1, sizes=(50, 50), alpha=0.05)
    rising = power.two_proportions(0.0, 0.1, sizes=(50, 50), alpha=0.05)
    assert falling == pytest.approx(rising)


def test_scipy_is_not_imported() -> None:
    modules = "chi_square, effect_size, fisher, power, proportions, welch"
    code = f"from slipway.statistics import {modules}; import sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert not {"scipy", "statsmodels", "pandas", "sklearn"} & set(loaded.stdout.split())

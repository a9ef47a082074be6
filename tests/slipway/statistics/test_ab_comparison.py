"""A/B comparisons: compared with SciPy and with simulations, and at the edges."""

import math
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from slipway.statistics import sample_size
from slipway.statistics.ab import Comparison, Sample, compare


def test_rates_compare_as_draws_from_their_posteriors_do() -> None:
    comparison = compare(Sample(1000, 0.1), Sample(800, 0.13), kind="binary")
    rng = np.random.default_rng(0)
    draws = rng.beta(104.5, 696.5, 400_000) - rng.beta(100.5, 900.5, 400_000)
    assert comparison.probability_b_better == pytest.approx((draws > 0).mean(), abs=0.002)
    assert comparison.expected_loss == pytest.approx(np.maximum(-draws, 0).mean(), rel=0.05)
    expected = np.quantile(draws, [0.025, 0.975])
    assert comparison.credible_interval == pytest.approx(expected, abs=0.0005)
    assert comparison.difference == pytest.approx(0.03)


def test_means_compare_as_welchs_test_does() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(10, 1, 12), rng.normal(10.8, 3, 40)
    for credible in (0.8, 0.95, 0.999):
        comparison = compare(Sample.from_values(one), Sample.from_values(other), credible=credible)
        welch = stats.ttest_ind(other, one, equal_var=False)
        assert comparison.kind == "continuous"
        assert comparison.credible_interval == pytest.approx(welch.confidence_interval(credible))
        p_value = 2 * min(comparison.probability_b_better, 1 - comparison.probability_b_better)
        assert p_value == pytest.approx(welch.pvalue, rel=1e-6)


ARMS = {
    "binary": (Sample(300, 0.2), Sample(700, 0.25)),
    "continuous": (Sample(300, 10.0, 4.0), Sample(700, 10.2, 9.0)),
}


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_swapping_the_arms_mirrors_the_comparison(kind: str) -> None:
    a, b = ARMS[kind]
    comparison, mirrored = compare(a, b, kind=kind), compare(b, a, kind=kind)
    assert comparison.difference == -mirrored.difference
    for name in ("credible_interval", "always_valid_interval"):
        low, high = getattr(mirrored, name)
        assert getattr(comparison, name) == pytest.approx((-high, -low), abs=1e-8)
    both = comparison.probability_b_better + mirrored.probability_b_better
    assert both == pytest.approx(1, abs=1e-8)
    # The expected losses of the two choices differ by the mean difference.
    gain = mirrored.expected_loss - comparison.expected_loss
    expected = 175.5 / 701 - 60.5 / 301 if kind == "binary" else comparison.difference
    assert gain == pytest.approx(expected, abs=1e-8)


def test_the_sample_size_for_rates_gives_its_power() -> None:
    """Compare with the exact power of the pooled z-test, summed over all outcomes."""
    for rate, effect, power, alpha in ((0.1, 0.02, 0.8, 0.05), (0.6, 0.1, 0.9, 0.01)):
        n = math.ceil(sample_size.two_proportions(rate, effect, power=power, alpha=alpha))
        x = np.arange(n + 1)
        middle = (x[:, None] + x) / 2 / n
        with np.errstate(invalid="ignore"):
            z = np.abs(x[:, None] - x) / n / np.sqrt(2 * middle * (1 - middle) / n)
        found = stats.binom(n, rate).pmf(x) @ (z > stats.norm.ppf(1 - alpha / 2))
        assert found @ stats.binom(n, rate + effect).pmf(x) == pytest.approx(power, abs=0.005)
    # The values of statsmodels 0.15: samplesize_proportions_2indep_onetail and NormalIndPower.
    found = sample_size.two_proportions(0.1, 0.02, power=0.8, alpha=0.05)
    assert found == pytest.approx(3840.8474824)
    found = sample_size.two_means(2 * 2.0**2, 0.5, power=0.8, alpha=0.05)
    assert found == pytest.approx(251.163536, rel=1e-5)


def test_the_sample_size_for_means_gives_its_power() -> None:
    n = sample_size.two_means(1.0 + 9.0, 0.5, power=0.9, alpha=0.1)
    z = 0.5 / math.sqrt(10 / n)
    assert stats.norm.sf(stats.norm.ppf(0.95) - z) == pytest.approx(0.9)


def test_needed_counts_down_to_nothing() -> None:
    def at(n: int) -> Comparison:
        return compare(Sample(n, 0.1), Sample(n + 50, 0.1), kind="binary", smallest_effect=0.02)

    assert at(1000).sample_size == 3841
    assert at(1000).needed == 2841
    assert [at(n).needed for n in (3840, 3841, 9000)] == [1, 0, 0]
    # From a rate of 1 only a decrease is possible.
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
def test_the_kind_is_inferred_from_mean_and_variance(a: Sample, b: Sample, kind: str) -> None:
    assert compare(a, b).kind == kind


def test_zeros_and_ones_of_any_number_are_inferred_as_binary() -> None:
    rng = np.random.default_rng(2)
    for n in (2, 7, 1000, 123_457):
        assert (
            compare(*(Sample.from_values(rng.random(n) < 0.3) for _ in range(2))).kind == "binary"
        )


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
    comparison = compare(a, b, kind="binary")
    for low, high in (comparison.credible_interval, comparison.always_valid_interval):
        assert -1 <= low < high <= 1
        assert high - low > 0.5
    assert 0 < comparison.probability_b_better < 1
    assert comparison.expected_loss > 0
    assert (comparison.difference is None) == (not a.n)
    assert re.search(note, comparison.note)


@pytest.mark.parametrize(
    ("a", "b", "note", "difference"),
    [
        (Sample(0), Sample(9, 5.0, 2.0), "Fewer than two values of a:", None),
        (Sample(1, 4.0), Sample(1, 5.0), "Fewer than two values of a and b:", 1.0),
        (Sample(9, 4.0, 0.0), Sample(9, 5.0, 0.0), "All values of an arm are equal:", 1.0),
    ],
)
def test_means_with_unknown_variance_give_only_the_difference(
    a: Sample, b: Sample, note: str, difference: float | None
) -> None:
    comparison = compare(a, b, kind="continuous", smallest_effect=1.0)
    assert comparison.difference == difference
    assert comparison.credible_interval is comparison.always_valid_interval is None
    assert comparison.probability_b_better is comparison.expected_loss is comparison.needed is None
    assert comparison.verdict == "Nothing can be concluded yet."
    assert comparison.note.startswith(note)


def test_with_one_constant_arm_the_other_arms_variance_counts() -> None:
    comparison = compare(Sample(50, 4.0, 0.0), Sample(50, 5.0, 2.0), kind="continuous")
    reach = stats.t(49).ppf(0.975) * math.sqrt(2.0 / 50)
    assert comparison.credible_interval == pytest.approx((1 - reach, 1 + reach))
    assert "All values of a are equal" in comparison.note


def test_with_two_values_per_arm_the_expected_loss_may_not_exist() -> None:
    comparison = compare(Sample(2, 4.0, 0.0), Sample(2, 5.0, 2.0), kind="continuous")
    assert comparison.expected_loss is None
    assert "one degree of freedom" in comparison.note
    reach = stats.t(1).ppf(0.975)
    assert comparison.credible_interval == pytest.approx((1 - reach, 1 + reach))
    assert comparison.always_valid_interval is None
    assert "Fewer than 30 values in an arm" in comparison.note


def test_credible_intervals_of_rates_have_their_coverage() -> None:
    """Rates drawn from the prior lie within the interval with exactly its probability."""
    rng, covered, runs = np.random.default_rng(3), 0, 300
    for _ in range(runs):
        rates, sizes = rng.beta(0.5, 0.5, 2), rng.integers(1, 60, 2)
        a, b = (Sample(int(n), rng.binomial(n, p) / n) for n, p in zip(sizes, rates, strict=True))
        low, high = compare(a, b, kind="binary", credible=0.8).credible_interval
        covered += low <= rates[1] - rates[0] <= high
    assert covered / runs == pytest.approx(0.8, abs=3 * math.sqrt(0.8 * 0.2 / runs))


def test_the_always_valid_interval_is_the_wider_one() -> None:
    for kind, (a, b) in ARMS.items():
        comparison = compare(a, b, kind=kind)
        single, always = comparison.credible_interval, comparison.always_valid_interval
        assert always[0] < single[0] < single[1] < always[1]


@pytest.mark.parametrize(
    ("a", "b", "effect", "verdict"),
    [
        (Sample(20_000, 0.1), Sample(20_000, 0.15), 0.02, "^b is better, by .* at every look"),
        (Sample(20_000, 0.15), Sample(20_000, 0.1), None, "^a is better, by .* at every look"),
        (
            Sample(4_000, 0.1),
            Sample(4_000, 0.12),
            0.02,
            "^b is better .* at the planned sample size",
        ),
        (Sample(1_000, 0.1), Sample(1_000, 0.13), 0.02, "^b looks better, .*: 2,841 more are"),
        (Sample(1_000, 0.1), Sample(1_000, 0.13), None, "^b looks better .* find as much by ch"),
        (Sample(1_000, 0.1), Sample(1_000, 0.1), 0.02, "^Too early to tell .*: 2,841 more are"),
        (Sample(9_000, 0.1), Sample(9_000, 0.1), 0.02, "^No difference as large as 0.02 is likely"),
        (Sample(4_000, 0.1), Sample(4_000, 0.11), 0.02, "^Neither is shown .* planned sample size"),
        (Sample(1_000, 0.1), Sample(1_000, 0.1), None, "^Neither is shown to be better so far"),
    ],
)
def test_the_verdict_fits_the_comparison(
    a: Sample, b: Sample, effect: float | None, verdict: str
) -> None:
    comparison = compare(a, b, kind="binary", smallest_effect=effect)
    assert re.search(verdict, comparison.verdict), comparison.verdict


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
def test_errors_name_the_invalid_option(options: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        compare(Sample(10, 0.5, 1.0), Sample(10, 1.5, 1.0), **options)


def test_impossible_samples_are_errors() -> None:
    for wrong in ({"n": -1}, {"n": 3, "mean": math.nan}, {"n": 3, "variance": -1.0}):
        with pytest.raises(ValidationError):
            Sample(**wrong)


def test_only_numpy_and_pydantic_are_imported() -> None:
    code = "import slipway.statistics.ab, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert not {"scipy", "pandas", "mlflow", "sklearn"} & set(loaded.stdout.split())


def check_invariants(comparison: Comparison) -> None:
    """Check what holds for every comparison."""
    assert Comparison.model_validate_json(comparison.model_dump_json()) == comparison
    for interval in (comparison.credible_interval, comparison.always_valid_interval):
        assert interval is None or interval[0] <= interval[1]
    assert comparison.verdict


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
def test_any_rates_can_be_compared(arms: tuple, credible: float, effect: float | None) -> None:
    a, b = (Sample(n, mean) for n, mean in arms)
    comparison = compare(a, b, kind="binary", credible=credible, smallest_effect=effect)
    check_invariants(comparison)
    for low, high in (comparison.credible_interval, comparison.always_valid_interval):
        assert -1 <= low <= high <= 1
    check_invariants(compare(a, b))


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
def test_any_means_can_be_compared(
    a: Sample, b: Sample, credible: float, power: float, alpha: float, effect: float | None
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        comparison = compare(
            a,
            b,
            kind="continuous",
            credible=credible,
            power=power,
            alpha=alpha,
            smallest_effect=effect,
        )
    check_invariants(comparison)
    if comparison.probability_b_better is not None and a.mean != b.mean:
        assert (comparison.probability_b_better >= 0.5 - 1e-9) == (b.mean > a.mean) or math.isclose(
            comparison.probability_b_better, 0.5, abs_tol=1e-9
        )

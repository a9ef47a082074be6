"""The same analysis by SciPy and statsmodels: the reference for parity."""

import math
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
from scipy import integrate, optimize, special, stats

from slipway.statistics.ab import Sample

from .model import (
    LEAST_EXPECTED,
    Analysis,
    Experiment,
    Interval,
    Rule,
    analysis,
    ends,
    statistics,
)


def reference(experiment: Experiment, rule: Rule) -> Analysis:
    """Return the analysis with all tests, intervals and posteriors by SciPy and statsmodels."""
    by_scipy = reference_rates if experiment.kind == "rates" else reference_means
    fields = statistics(experiment) | by_scipy(experiment)
    return analysis(experiment, fields, ByScipy(**asdict(rule)))


def reference_rates(experiment: Experiment) -> dict[str, Any]:
    """Return the fields of an analysis of rates."""
    from statsmodels.stats.proportion import (  # type: ignore[import-untyped]
        confint_proportions_2indep,
        proportion_effectsize,
    )

    table, (a, b) = experiment.table, experiment.arms
    test, statistic, freedom, p_value = "chi_square", None, None, None
    if np.sum(table, axis=0).min() == 0:
        pass
    elif stats.contingency.expected_freq(table).min() < LEAST_EXPECTED:
        test, p_value = "fisher_exact", float(stats.fisher_exact(table).pvalue)
    else:
        statistic, p_value, freedom, _ = stats.chi2_contingency(table, correction=False)
    (yes_a, _), (yes_b, _) = table
    interval = confint_proportions_2indep(
        yes_b, b.n, yes_a, a.n, method="newcomb", compare="diff", alpha=experiment.alpha
    )
    return posterior_of_rates(experiment) | {
        "test": test,
        "statistic": statistic,
        "degrees_of_freedom": freedom,
        "p_value": p_value,
        "effect_size": float(proportion_effectsize(b.mean, a.mean)),
        **ends("confidence", interval),
    }


@cache
def legendre() -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights, cached since they cost more than the rest of a posterior."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    return nodes, weights


def posterior_of_rates(experiment: Experiment) -> dict[str, Any]:
    """Return the Bayesian fields of an analysis of rates.

    By Gauss-Legendre quadrature over SciPy's Beta distributions and Brent's method.
    """
    first, second = (stats.beta(yes + 0.5, no + 0.5) for yes, no in experiment.table)
    nodes, weights = legendre()

    def over(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
        middle, half = (low + high) / 2, (high - low) / 2
        return middle + half * nodes, half * weights

    x, widths = over(first.ppf(1e-14), first.isf(1e-14))
    density = first.pdf(x) * widths

    def below(difference: float) -> float:
        return float(density @ second.cdf(x + difference))

    centre, spread = second.mean() - first.mean(), math.hypot(first.std(), second.std())
    around = max(-1.0, centre - 12 * spread), min(1.0, centre + 12 * spread)
    low, high = (
        optimize.brentq(lambda d, tail=tail: below(d) - tail, *around, xtol=1e-12)
        for tail in (experiment.alpha / 2, 1 - experiment.alpha / 2)
    )
    # The mean of A - B where positive is the integral of P(B <= t < A).
    t, steps = over(second.ppf(1e-14), max(first.isf(1e-14), second.ppf(1e-14) + 1e-12))
    return {
        **ends("credible", (low, high)),
        "probability_b_better": 1 - below(0.0),
        "expected_loss": float(steps @ (second.cdf(t) * first.sf(t))),
    }


class ByScipy(Rule):
    """The rule with its interval computed by SciPy's solvers from the martingales themselves."""

    def sequence(self, experiment: Experiment) -> Interval | None:
        (a, b), coverage = experiment.arms, self.coverage(experiment)
        if self.exact(experiment):
            return confidence_sequence(experiment, coverage)
        if super().sequence(experiment) is None:
            return None
        reach = mixture_radius(a, b, coverage, self.tightest)
        return b.mean - a.mean - reach, b.mean - a.mean + reach


def mixture_radius(a: Sample, b: Sample, coverage: float, tightest: float) -> float:
    """Return the distance at which the likelihood ratio reaches its limit.

    The ratio is that of a normal mixture of effects to no effect.
    """
    error = math.sqrt(a.variance / a.n + b.variance / b.n)
    limit = -2 * math.log1p(-coverage)
    prior = math.sqrt((limit + math.log1p(limit)) * (a.variance + b.variance) / tightest)
    wide = math.hypot(error, prior)

    def over(distance: float) -> float:
        ratio = stats.norm.logpdf(distance, 0, wide) - stats.norm.logpdf(distance, 0, error)
        return float(ratio + math.log1p(-coverage))

    return float(optimize.brentq(over, 0, 1e3 * error, xtol=1e-14 * error, rtol=1e-14))


def confidence_sequence(experiment: Experiment, coverage: float) -> Interval:
    """Return the interval of the differences that the data do not rule out.

    The evidence against a difference is the least over all pairs of rates that have it.
    """
    limit = -math.log1p(-coverage)

    def evidence(arm: tuple[int, int], rate: float) -> float:
        yes, no = arm
        mixture = special.betaln(yes + 0.5, no + 0.5) - math.log(math.pi)
        return float(mixture - special.xlogy(yes, rate) - special.xlog1py(no, -rate))

    def over(difference: float) -> float:
        """Return the least evidence against `difference` (b's rate minus a's), minus the limit."""
        a, b = experiment.table
        found = optimize.minimize_scalar(
            lambda rate: evidence(a, rate) + evidence(b, rate + difference),
            bounds=(max(0.0, -difference) + 1e-12, min(1.0, 1.0 - difference) - 1e-12),
            method="bounded",
            options={"xatol": 1e-11},
        )
        return float(found.fun) - limit

    a, b = experiment.arms
    low, high = (
        float(optimize.brentq(over, end, b.mean - a.mean, xtol=1e-11))
        for end in (-1 + 1e-9, 1 - 1e-9)
    )
    return low, high


def reference_means(experiment: Experiment) -> dict[str, Any]:
    """Return the fields of an analysis of means."""
    a, b = experiment.arms
    parts = a.variance / a.n, b.variance / b.n
    if not sum(parts) > 0:
        return {}
    found = stats.ttest_ind_from_stats(
        b.mean, math.sqrt(b.variance), b.n, a.mean, math.sqrt(a.variance), a.n, equal_var=False
    )
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (a.n - 1) + parts[1] ** 2 / (b.n - 1))
    difference = b.mean - a.mean
    student = stats.t(freedom, difference, math.sqrt(sum(parts)))
    interval = student.interval(1 - experiment.alpha)
    return {
        "statistic": float(found.statistic),
        "degrees_of_freedom": freedom,
        "p_value": float(found.pvalue),
        "effect_size": difference / math.sqrt((a.variance + b.variance) / 2),
        **ends("confidence", interval),
        **ends("credible", interval),
        "probability_b_better": float(student.sf(0)),
        "expected_loss": integrate.quad(lambda x: -x * student.pdf(x), -np.inf, 0, limit=200)[0],
    }

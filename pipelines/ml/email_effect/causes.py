"""Average treatment effects with standard errors, refutation tests, and an instrument."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .trial import Estimate, Sample

# Largest distance of a match, in standard deviations of the logit of the propensity (Austin 2011).
CALIPER = 0.2
# The least propensity: no row gets a weight above 50, so that none dominates the mean.
LEAST = 0.02
PLACEBOS = 20


def design(before: np.ndarray) -> np.ndarray:
    """Return a constant, the columns, squares of numbers, and indicators of frequent zeros.

    Dehejia and Wahba (1999) chose these without looking at the experiment's control group.
    """
    columns = [np.ones(len(before)), *before.T]
    for column in before.T:
        if len(np.unique(column)) > 2:
            columns.append((column - column.mean()) ** 2 / max(float(column.var()), 1e-12))
            if (column == 0).mean() > 0.05:
                columns.append((column == 0).astype(float))
    return np.stack(columns, axis=1)


def propensity(sample: Sample) -> np.ndarray:
    """Return the probability of treatment (rows,) by logistic regression."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e3, max_iter=3000))
    columns = design(sample.before)
    y_prob = model.fit(columns, sample.treated).predict_proba(columns)[:, 1]
    return np.asarray(np.clip(y_prob, 1e-6, 1 - LEAST))


def expected(sample: Sample) -> np.ndarray:
    """Return the expected outcome without and with treatment (2, rows), by least squares."""
    columns = design(sample.before)
    arms = [sample.treated == arm for arm in (False, True)]
    fitted = [np.linalg.lstsq(columns[arm], sample.outcome[arm])[0] for arm in arms]
    return np.stack([columns @ each for each in fitted])


def weighted_effect(
    sample: Sample, share: np.ndarray, means: np.ndarray | None = None, *, on_treated: bool
) -> Estimate:
    """Return the doubly robust effect on all or on the treated (Robins, Rotnitzky and Zhao 1994).

    `share` is the propensity (rows,), `means` the expected outcomes (2, rows). Without `means` it
    is weighting alone, with a constant share it is regression alone, and with neither it is the
    difference of means. Weights sum to 1 in each arm; the error treats share and means as known.
    """
    treated = sample.treated.astype(float)
    if on_treated:
        target, weights = treated, np.stack([(1 - treated) * share / (1 - share), treated])
    else:
        share = np.maximum(share, LEAST)
        target = np.ones(len(treated))
        weights = np.stack([(1 - treated) / (1 - share), treated / share])
    weights, target = weights / weights.mean(axis=1, keepdims=True), target / target.mean()
    if means is None:
        means = (weights @ sample.outcome / len(treated))[:, None] + np.zeros_like(weights)
    parts = target * means + weights * (sample.outcome - means)
    value = float((parts[1] - parts[0]).mean())
    return Estimate(value, Estimate.mean(parts[1] - parts[0] - target * value).error)


def matches(sample: Sample, share: np.ndarray) -> tuple[Estimate, np.ndarray]:
    """Return the effect on the treated by nearest matches on the propensity, with replacement.

    The weights (rows,) are how often each row counts. The error is that of Abadie and Imbens
    (2006), with the variance of all matched outcomes instead of that among equal rows, so it is
    conservative.
    """
    logit = np.log(share / (1 - share))
    treated, others = np.flatnonzero(sample.treated), np.flatnonzero(~sample.treated)
    apart, place = (
        NearestNeighbors(n_neighbors=1).fit(logit[others, None]).kneighbors(logit[treated, None])
    )
    kept = apart[:, 0] <= CALIPER * logit.std()
    treated, partners = treated[kept], others[place[kept, 0]]
    gaps = sample.outcome[treated] - sample.outcome[partners]
    weights = np.bincount(partners, minlength=len(logit)).astype(float)
    shared = (weights * (weights - 1)).sum() * sample.outcome[partners].var()
    error = np.sqrt(len(gaps) * gaps.var() + shared) / len(gaps)
    weights[treated] = 1
    return Estimate(float(gaps.mean()), float(error)), weights


def adjusted(sample: Sample, *, on_treated: bool) -> Estimate:
    """Return the doubly robust effect, adjusted for what was known before."""
    return weighted_effect(sample, propensity(sample), expected(sample), on_treated=on_treated)


def naive(sample: Sample) -> Estimate:
    """Return the difference of means."""
    return weighted_effect(
        sample, np.full(len(sample.treated), sample.treated.mean()), on_treated=False
    )


def estimates(sample: Sample, *, on_treated: bool) -> dict[str, Estimate]:
    """Return the naive difference and the adjusted effects by method."""
    even, share = np.full(len(sample.treated), sample.treated.mean()), propensity(sample)
    by_method = {
        "difference of means": naive(sample),
        "regression": weighted_effect(sample, even, expected(sample), on_treated=on_treated),
        "weighting (IPW)": weighted_effect(sample, share, on_treated=on_treated),
        "both (AIPW)": adjusted(sample, on_treated=on_treated),
    }
    return by_method | ({"matching": matches(sample, share)[0]} if on_treated else {})


def imbalance(sample: Sample, weights: np.ndarray) -> np.ndarray:
    """Return the distance of treated and weighted untreated means (columns,).

    It is in standard deviations of the treated.
    """
    arms = (sample.treated, ~sample.treated)
    means = [np.average(sample.before[arm], axis=0, weights=weights[arm]) for arm in arms]
    spread = sample.before[sample.treated].std(axis=0)
    return np.asarray(np.abs(means[0] - means[1]) / np.where(spread > 0, spread, 1.0))


def refutations(
    sample: Sample, estimator: Callable[[Sample], Estimate], past: int, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Return the estimate, two changes that should not move it, and two that should make it zero.

    The column `past` is an outcome from before the treatment, which the treatment cannot affect.
    """
    rows = len(sample.treated)
    more = np.column_stack([sample.before, rng.normal(size=rows)])
    without = np.delete(sample.before, past, axis=1)
    # A single random treatment gives a noisy estimate; the mean of many is near 0.
    draws = [replace(sample, treated=rng.permutation(sample.treated)) for _ in range(PLACEBOS)]
    placebo = np.array([estimator(each).value for each in draws])
    return {
        "the estimate": estimator(sample),
        "random cause added": estimator(replace(sample, before=more)),
        "four fifths of rows": estimator(sample.at(rng.random(rows) < 0.8)),
        "placebo treatment": Estimate(float(placebo.mean()), float(placebo.std())),
        "outcome from before": estimator(Sample(without, sample.treated, sample.before[:, past])),
    }


def e_value(ratio: float) -> float:
    """Return the E-value of a risk ratio of 1 or more (VanderWeele and Ding 2017).

    It is the risk ratio with both treatment and outcome that a hidden cause would need to explain
    `ratio` without any effect.
    """
    return ratio + float(np.sqrt(ratio * (ratio - 1)))


def two_stage(outcome: np.ndarray, columns: np.ndarray, instruments: np.ndarray) -> Estimate:
    """Return the first column's effect by two-stage least squares, with a robust error.

    If the columns are their own instruments, this is ordinary least squares.
    """
    fitted = instruments @ np.linalg.lstsq(instruments, columns)[0]
    inverse = np.linalg.inv(fitted.T @ columns)
    coefficients = inverse @ (fitted.T @ outcome)
    part = fitted * (outcome - columns @ coefficients)[:, None]
    spread = inverse @ (part.T @ part) @ inverse.T
    return Estimate(float(coefficients[0]), float(np.sqrt(spread[0, 0])))


def encouraged(
    before: np.ndarray, strength: float, effect: float, rng: np.random.Generator
) -> tuple[Estimate, Estimate, float]:
    """Simulate, over real customers, that half are encouraged at random to open the e-mail.

    Customers who like the shop open it more often and buy more anyway; no column shows that.
    Returns the estimates of least squares and two-stage least squares, and the F of the first
    stage.
    """
    rows = len(before)
    fond, invited = rng.normal(size=rows), rng.random(rows) < 0.5
    opened = (rng.random(rows) < np.clip(0.3 + strength * invited + 0.1 * fond, 0, 1)).astype(float)
    bought = before.sum(axis=1) / 10 + effect * opened + fond + rng.normal(size=rows)
    known = np.column_stack([before, np.ones(rows)])
    columns, instruments = np.column_stack([opened, known]), np.column_stack([invited, known])
    first = two_stage(opened, instruments, instruments)
    by = [two_stage(bought, columns, each) for each in (columns, instruments)]
    return by[0], by[1], (first.value / first.error) ** 2

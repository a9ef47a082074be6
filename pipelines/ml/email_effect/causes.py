"""Average effects with their errors, what should refute them, and an instrument."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .trial import Estimate, Sample

# Of a match, in standard deviations of the logit of the propensity (Austin 2011).
CALIPER = 0.2
# Nobody weighs more than 50 times: else one would speak for all.
LEAST = 0.02
PLACEBOS = 20


def design(before: np.ndarray) -> np.ndarray:
    """A constant, the columns, squares of numbers, and whether one is 0 where many are.

    After Dehejia and Wahba (1999), who had it without a look at the experiment's control group.
    """
    columns = [np.ones(len(before)), *before.T]
    for column in before.T:
        if len(np.unique(column)) > 2:
            columns.append((column - column.mean()) ** 2 / max(float(column.var()), 1e-12))
            if (column == 0).mean() > 0.05:
                columns.append((column == 0).astype(float))
    return np.stack(columns, axis=1)


def propensity(sample: Sample) -> np.ndarray:
    """The probability of treatment (rows,), by logistic regression."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e3, max_iter=3000))
    columns = design(sample.before)
    found = model.fit(columns, sample.treated).predict_proba(columns)[:, 1]
    return np.asarray(np.clip(found, 1e-6, 1 - LEAST))


def expected(sample: Sample) -> np.ndarray:
    """The outcome without and with treatment (2, rows), by least squares in each arm."""
    columns = design(sample.before)
    arms = [sample.treated == arm for arm in (False, True)]
    fitted = [np.linalg.lstsq(columns[arm], sample.outcome[arm])[0] for arm in arms]
    return np.stack([columns @ each for each in fitted])


def weighed(
    sample: Sample, share: np.ndarray, means: np.ndarray | None = None, *, on_treated: bool
) -> Estimate:
    """The doubly robust effect on all or on the treated (Robins, Rotnitzky and Zhao 1994).

    `share` is the propensity (rows,), `means` the outcomes expected (2, rows). Without `means` it
    is weighting alone, with an even share regression alone, with both the difference of means.
    Weights sum to 1 in each arm; the error takes share and means for known.
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
    """The effect on the treated against the nearest others by propensity, who may serve twice.

    The weights (rows,) say how often each counts. The error is Abadie's and Imbens's (2006), with
    the spread of all matched outcomes for that among equals: rather too large.
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
    return weighed(sample, propensity(sample), expected(sample), on_treated=on_treated)


def naive(sample: Sample) -> Estimate:
    return weighed(sample, np.full(len(sample.treated), sample.treated.mean()), on_treated=False)


def estimates(sample: Sample, *, on_treated: bool) -> dict[str, Estimate]:
    """The naive difference, and what adjusts it for what was known before."""
    even, share = np.full(len(sample.treated), sample.treated.mean()), propensity(sample)
    found = {
        "difference of means": naive(sample),
        "regression": weighed(sample, even, expected(sample), on_treated=on_treated),
        "weighting (IPW)": weighed(sample, share, on_treated=on_treated),
        "both (AIPW)": adjusted(sample, on_treated=on_treated),
    }
    return found | ({"matching": matches(sample, share)[0]} if on_treated else {})


def imbalance(sample: Sample, weights: np.ndarray) -> np.ndarray:
    """Between treated and weighted others, in standard deviations of the treated (columns,)."""
    arms = (sample.treated, ~sample.treated)
    means = [np.average(sample.before[arm], axis=0, weights=weights[arm]) for arm in arms]
    spread = sample.before[sample.treated].std(axis=0)
    return np.asarray(np.abs(means[0] - means[1]) / np.where(spread > 0, spread, 1.0))


def refutations(
    sample: Sample, estimator: Callable[[Sample], Estimate], past: int, rng: np.random.Generator
) -> dict[str, Estimate]:
    """The estimate, two changes that should not move it, and two that should leave nothing.

    The column `past` is an outcome from before the treatment, which can have had no effect on it.
    """
    rows = len(sample.treated)
    more = np.column_stack([sample.before, rng.normal(size=rows)])
    without = np.delete(sample.before, past, axis=1)
    # Of one draw an estimate is as far from 0 as chance has it; of many the mean is near.
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
    """The risk ratios to treatment and outcome that a hidden cause needs to make `ratio` (1 or
    more) of nothing. VanderWeele and Ding (2017)."""
    return ratio + float(np.sqrt(ratio * (ratio - 1)))


def two_stage(outcome: np.ndarray, columns: np.ndarray, instruments: np.ndarray) -> Estimate:
    """The first column's effect by two-stage least squares, with robust errors; by plain ones
    where the columns are their own instruments."""
    seen = instruments @ np.linalg.lstsq(instruments, columns)[0]
    inverse = np.linalg.inv(seen.T @ columns)
    found = inverse @ (seen.T @ outcome)
    part = seen * (outcome - columns @ found)[:, None]
    spread = inverse @ (part.T @ part) @ inverse.T
    return Estimate(float(found[0]), float(np.sqrt(spread[0, 0])))


def encouraged(
    before: np.ndarray, strength: float, effect: float, rng: np.random.Generator
) -> tuple[Estimate, Estimate, float]:
    """Simulated over real customers: half are encouraged, at random, to open the e-mail.

    Who is fond of the shop, which no column tells, opens it rather and buys more anyway. Returns
    least squares, two-stage least squares, and the first stage's F.
    """
    rows = len(before)
    fond, asked = rng.normal(size=rows), rng.random(rows) < 0.5
    opened = (rng.random(rows) < np.clip(0.3 + strength * asked + 0.1 * fond, 0, 1)).astype(float)
    bought = before.sum(axis=1) / 10 + effect * opened + fond + rng.normal(size=rows)
    known = np.column_stack([before, np.ones(rows)])
    columns, instruments = np.column_stack([opened, known]), np.column_stack([asked, known])
    first = two_stage(opened, instruments, instruments)
    by = [two_stage(bought, columns, each) for each in (columns, instruments)]
    return by[0], by[1], (first.value / first.error) ** 2

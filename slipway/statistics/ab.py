"""Comparison of the means of two arms, a and b, of an A/B test while it runs."""

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, validate_call
from pydantic.dataclasses import dataclass

from slipway.statistics import always_valid, sample_size
from slipway.statistics.distributions import Beta, BetaDifference
from slipway.statistics.welch import Welch

Kind = Literal["binary", "continuous"]
Interval = tuple[float, float]
Share = Annotated[float, Field(ge=1e-12, le=1 - 1e-12)]
# The largest size of an arm. Up to here the likelihoods of rates keep two decimal digits.
MOST = 10**12


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Sample:
    """One arm so far; `variance` divides by n - 1 and is not used where values are 0 and 1."""

    n: Annotated[int, Field(ge=0, le=MOST)]
    mean: Annotated[float, Field(ge=-1e100, le=1e100)] = 0.0
    variance: Annotated[float, Field(ge=0, le=1e200)] = 0.0

    @classmethod
    def from_values(cls, values: np.ndarray) -> "Sample":
        """Return the size, mean and variance of finite numbers or flags (n,)."""
        n = len(values)
        numbers = np.asarray(values, dtype=np.float64)
        return cls(
            n,
            float(numbers.mean()) if n else 0.0,
            float(numbers.var(ddof=1)) if n > 1 else 0.0,
        )


class Comparison(BaseModel):
    """The comparison of b's mean with a's; None where the data do not suffice, see `note`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Kind
    difference: float | None = Field(description="b's mean minus a's")
    credible: float = Field(gt=0, lt=1, description="The coverage of both intervals")
    credible_interval: Interval | None = Field(description="Of the difference, for a single look")
    always_valid_interval: Interval | None = Field(
        description="Of the difference, valid at every look"
    )
    probability_b_better: float | None = Field(ge=0, le=1)
    expected_loss: float | None = Field(
        ge=0, description="Of choosing b: the mean of how much better a is, 0 where it is not"
    )
    sample_size: int | None = Field(ge=1, description="Per arm, to detect the smallest effect")
    needed: int | None = Field(ge=0, description="Rows that the smaller arm still lacks")
    verdict: str
    note: str = Field(description="What was missing or special; empty otherwise")


class _Posterior(BaseModel):
    """The results that are computed differently for rates and for means."""

    credible_interval: Interval | None = None
    always_valid_interval: Interval | None = None
    probability_b_better: float | None = None
    expected_loss: float | None = None
    notes: list[str] = []


@validate_call
def compare(
    a: Sample,
    b: Sample,
    *,
    kind: Literal["binary", "continuous", "auto"] = "auto",
    credible: Share = 0.95,
    power: Share = 0.8,
    alpha: Share = 0.05,
    smallest_effect: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None,
) -> Comparison:
    """Compare b with a; higher means are better.

    Binary: the rates have independent Beta posteriors under Jeffreys priors, and their difference
    is computed by quadrature: probabilities are within 1e-6, or within 1e-4 where neither arm has
    had a success, or neither a failure. Continuous: the difference has a Student-t posterior with
    Welch's standard error and Satterthwaite's degrees of freedom, the usual approximation of the
    Behrens-Fisher posterior under the reference prior. `auto` treats samples as binary if their
    means and variances can be those of zeros and ones; give the kind where it is known.
    `smallest_effect`, in the unit of the means, is the smallest difference worth detecting: the
    sample size per arm detects it with probability `power` in a two-sided test at level `alpha`.

    Raises:
        ValueError: `kind` is binary and a mean is not within 0 and 1, or an option is invalid.
    """
    inferred = _kind(a, b) if kind == "auto" else kind
    rates = inferred == "binary"
    result = _compare_rates(a, b, credible) if rates else _compare_means(a, b, credible)
    notes = list(result.notes)
    size = None
    if smallest_effect is None:
        notes.append("No smallest effect is given, so no sample size is computed.")
    else:
        size = _sample_size(inferred, a, b, smallest_effect, power=power, alpha=alpha)
        if size is None:
            notes.append(f"No sample size exists for a smallest effect of {smallest_effect:g}.")
    comparison = Comparison(
        kind=inferred,
        difference=b.mean - a.mean if a.n and b.n else None,
        credible=credible,
        credible_interval=result.credible_interval,
        always_valid_interval=result.always_valid_interval,
        probability_b_better=result.probability_b_better,
        expected_loss=result.expected_loss,
        sample_size=size,
        needed=None if size is None else max(0, size - min(a.n, b.n)),
        verdict="",
        note=" ".join(notes),
    )
    return comparison.model_copy(update={"verdict": _verdict(comparison, smallest_effect)})


def _kind(a: Sample, b: Sample) -> Kind:
    if not a.n and not b.n:
        return "continuous"
    return "binary" if all(_may_be_binary(each) for each in (a, b)) else "continuous"


def _may_be_binary(sample: Sample) -> bool:
    if sample.n == 0:
        return True
    if not 0 <= sample.mean <= 1:
        return False
    count = sample.n * sample.mean
    if abs(count - round(count)) > 1e-6 * max(1.0, count):
        return False
    implied = sample.mean * (1 - sample.mean) * sample.n / max(sample.n - 1, 1)
    return sample.n == 1 or math.isclose(sample.variance, implied, rel_tol=1e-6, abs_tol=1e-12)


def _compare_rates(a: Sample, b: Sample, credible: float) -> _Posterior:
    for name, sample in (("a", a), ("b", b)):
        if sample.n and not 0 <= sample.mean <= 1:
            raise ValueError(f"{name}: binary needs a mean between 0 and 1, got {sample.mean:g}")
    notes = [
        f"{name} has no data: its rate comes from the prior alone."
        for name, sample in (("a", a), ("b", b))
        if not sample.n
    ]
    notes += [
        f"{name} has seen {'only successes' if sample.mean else 'no success'}: its rate is bounded "
        "on one side only."
        for name, sample in (("a", a), ("b", b))
        if sample.n and sample.mean in (0, 1)
    ]
    successes = tuple(each.n * each.mean for each in (a, b))
    failures = tuple(each.n * (1 - each.mean) for each in (a, b))
    posterior = BetaDifference(
        *(Beta(yes + 0.5, no + 0.5) for yes, no in zip(successes, failures, strict=True))
    )
    tail = (1 - credible) / 2
    # The ends of an interval as narrow as rounding errors may have changed places.
    low, high = sorted((posterior.quantile(tail), posterior.quantile(1 - tail)))
    return _Posterior(
        credible_interval=(low, high),
        always_valid_interval=always_valid.rate_interval(
            (successes[0], successes[1]), (failures[0], failures[1]), coverage=credible
        ),
        probability_b_better=min(1.0, max(0.0, 1 - posterior.below(0.0))),
        expected_loss=posterior.mean_shortfall(),
        notes=notes,
    )


def _compare_means(a: Sample, b: Sample, credible: float) -> _Posterior:
    scarce = [name for name, sample in (("a", a), ("b", b)) if sample.n < 2]
    if scarce:
        few = " and ".join(scarce)
        return _Posterior(notes=[f"Fewer than two values of {few}: their variance is unknown."])
    parts = a.variance / a.n, b.variance / b.n
    squared_error = sum(parts)
    if squared_error == 0:
        return _Posterior(notes=["All values of an arm are equal: their variance is unknown."])
    notes = [
        f"All values of {name} are equal: only the other arm's variance counts."
        for name, part in zip("ab", parts, strict=True)
        if part == 0
    ]
    welch = Welch.from_moments(
        b.mean - a.mean, variances=(a.variance, b.variance), sizes=(a.n, b.n)
    )
    student, error, difference = welch.student, welch.error, welch.difference
    loss: float | None = error * student.mean_shortfall(difference / error)
    if loss == math.inf:
        loss = None
        notes.append("With one degree of freedom the expected loss does not exist.")
    always = None
    if min(a.n, b.n) < always_valid.FEWEST:
        notes.append(
            f"Fewer than {always_valid.FEWEST} values in an arm: there is no always-valid interval."
        )
    else:
        always = always_valid.mean_interval(
            difference,
            variances=(a.variance, b.variance),
            sizes=(a.n, b.n),
            coverage=credible,
        )
    return _Posterior(
        credible_interval=welch.interval(credible),
        always_valid_interval=always,
        probability_b_better=student.below(difference / error),
        expected_loss=loss,
        notes=notes,
    )


def _sample_size(
    kind: Kind, a: Sample, b: Sample, effect: float, *, power: float, alpha: float
) -> int | None:
    """Return the sample size per arm; None where it is unknown or more than 10^12."""
    if kind == "binary":
        rate = a.mean if a.n else 0.5
        size = sample_size.two_proportions(rate, effect, power=power, alpha=alpha)
    elif min(a.n, b.n) < 2 or a.variance + b.variance == 0:
        size = None
    else:
        variances = a.variance + b.variance
        size = sample_size.two_means(variances, effect, power=power, alpha=alpha)
    return None if size is None or not size <= MOST else max(1, math.ceil(size))


def _verdict(comparison: Comparison, smallest_effect: float | None) -> str:
    if comparison.credible_interval is None:
        return "Nothing can be concluded yet."
    if (ahead := _ahead(comparison.always_valid_interval)) is not None:
        assert comparison.always_valid_interval is not None
        span = _span(comparison.always_valid_interval)
        return f"{ahead} is better, by {span}, at every look at the data."
    span = f"{_span(comparison.credible_interval)} at {100 * comparison.credible:g} %"
    ahead = _ahead(comparison.credible_interval)
    if comparison.needed is None:
        if ahead is None:
            return f"Neither is shown to be better so far (b minus a: {span})."
        return (
            f"{ahead} looks better (b minus a: {span}), but frequent looks find as much by chance: "
            "give a smallest effect, or wait until the always-valid interval excludes 0."
        )
    if comparison.needed > 0:
        start = "Too early to tell" if ahead is None else f"{ahead} looks better, but it is early"
        return f"{start} (b minus a: {span}): {comparison.needed:,} more are needed in an arm."
    if ahead is not None:
        return f"{ahead} is better (b minus a: {span}), at the planned sample size."
    low, high = comparison.credible_interval
    if smallest_effect is not None and -smallest_effect < low and high < smallest_effect:
        return f"No difference as large as {smallest_effect:g} is likely (b minus a: {span})."
    return f"Neither is shown to be better at the planned sample size (b minus a: {span})."


def _ahead(interval: Interval | None) -> str | None:
    """Return the arm that is better over the whole interval."""
    if interval is None:
        return None
    return "b" if interval[0] > 0 else "a" if interval[1] < 0 else None


def _span(interval: Interval) -> str:
    return f"{interval[0]:.4g} to {interval[1]:.4g}"

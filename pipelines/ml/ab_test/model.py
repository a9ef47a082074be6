"""Is B better than A, by how much, and may one say so yet?

Data: 90,189 players of Cookie Cats, drawn at random to meet the first gate at level 30 or 40;
experiments without a difference and with a planted one are cut from them.
Task: two arms as counts or as means with variances, to tests, intervals and a decision.
Model: Welch's t-test, Pearson's chi-square or, of few outcomes, Fisher's exact test where the
result is looked at once; where it is watched, the rule that kept its false alarms and found most
on the experiments cut.
Limits: values must be independent between players, and so must their outcomes. Means need some 30
values an arm, more where a few values are huge. One comparison: several need a stricter alpha.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from slipway.contract import Model, Record, publish
from slipway.statistics import always_valid, chi_square, effect_size, fisher, power, proportions
from slipway.statistics.ab import Comparison, Sample, compare
from slipway.statistics.welch import Welch

UNDECIDED = "undecided"
# Below it a split as planned would be a rare accident: the usual bound of ratio-mismatch checks.
MISMATCH = 0.001
# Of alpha, where the normal mixture decides on rates: as much is spent on the exact interval that
# stands in for it while outcomes are few, the rest on the mixture. Together they err within alpha,
# whenever the one takes over from the other.
SPENT_EXACT = 0.1
# An expected count from which chi-square is trusted: Cochran's rule (1954).
LEAST_EXPECTED = 5


class Experiment(Record):
    """Two arms so far: successes of rates, or mean and variance of anything else."""

    kind: str = Field(pattern="^(rates|means)$")
    a_size: int = Field(ge=2, le=10**12, description="Units, such as players, in arm a")
    b_size: int = Field(ge=2, le=10**12)
    a_successes: int | None = Field(
        default=None, ge=0, le=10**12, validate_default=True, description="Of rates"
    )
    b_successes: int | None = Field(default=None, ge=0, le=10**12, validate_default=True)
    a_mean: float | None = Field(
        default=None, ge=-1e100, le=1e100, validate_default=True, description="Of means"
    )
    b_mean: float | None = Field(default=None, ge=-1e100, le=1e100, validate_default=True)
    a_variance: float | None = Field(
        default=None,
        ge=0,
        le=1e200,
        validate_default=True,
        description="Of means: the values', with n - 1 below the line",
    )
    b_variance: float | None = Field(default=None, ge=0, le=1e200, validate_default=True)
    smallest_effect: float | None = Field(
        default=None,
        gt=1e-100,
        le=1e100,
        description="The least difference worth finding, in the unit of the rates or means",
    )
    alpha: float = Field(
        default=0.05, ge=1e-6, le=0.5, description="False alarms that are put up with"
    )
    power: float = Field(
        default=0.8, ge=0.01, le=0.999999, description="Wanted for the smallest effect"
    )
    watched: bool = Field(
        default=False, description="Looked at more than once, to stop when it is clear"
    )
    share_b: float = Field(default=0.5, ge=0.001, le=0.999, description="Planned, of all units")

    @field_validator("a_successes", "b_successes", mode="after")
    @classmethod
    def _counted(cls, value: int | None, info: ValidationInfo) -> int | None:
        _belongs("rates", value, info)
        size = info.data.get(f"{str(info.field_name)[0]}_size")
        if value is not None and size is not None and value > size:
            raise ValueError(f"must be at most the arm's size, {size}")
        return value

    @field_validator("a_mean", "b_mean", "a_variance", "b_variance", mode="after")
    @classmethod
    def _measured(cls, value: float | None, info: ValidationInfo) -> float | None:
        _belongs("means", value, info)
        return value


def _belongs(kind: str, value: float | None, info: ValidationInfo) -> None:
    """Each field belongs to one kind of experiment: there it is needed, elsewhere in the way."""
    told = info.data.get("kind")
    if told == kind and value is None:
        raise ValueError(f"is needed where kind is {kind}")
    if told is not None and told != kind and value is not None:
        raise ValueError(f"is for kind {kind}; leave it out where kind is {told}")


class Analysis(Record):
    """b less a. What the data do not say is None, as `note` explains."""

    decision: str = Field(pattern="^(a|b|undecided)$", description="The arm shown to be better")
    difference: float
    relative_difference: float | None = Field(default=None, description="To a, where a is above 0")
    test: str = Field(pattern="^(chi_square|fisher_exact|welch_t)$")
    statistic: float | None = None
    degrees_of_freedom: float | None = None
    p_value: float | None = Field(default=None, ge=0, le=1, description="Two-sided, for one look")
    confidence_low: float | None = None
    confidence_high: float | None = Field(
        default=None, description="Newcombe's interval of rates, Welch's of means"
    )
    effect_size: float | None = Field(default=None, description="Cohen's h of rates, d of means")
    probability_b_better: float | None = Field(default=None, ge=0, le=1)
    credible_low: float | None = None
    credible_high: float | None = None
    expected_loss: float | None = Field(
        default=None, ge=0, description="Of choosing b: how far a is better, 0 where it is not"
    )
    always_valid_low: float | None = None
    always_valid_high: float | None = Field(
        default=None, description="Of the interval that holds at every look at once"
    )
    sample_size: int | None = Field(default=None, ge=1, description="An arm, for the power wanted")
    still_needed: int | None = Field(default=None, ge=0, description="In the smaller arm")
    power: float | None = Field(
        default=None, ge=0, le=1, description="For the smallest effect, at the sizes so far"
    )
    split_p_value: float = Field(ge=0, le=1, description="That the arms' sizes fit the plan")
    verdict: str
    note: str = Field(description="What was missing or special; empty if nothing was")


@dataclass(frozen=True)
class Findings:
    """What a rule for stopping may look at."""

    difference: float
    p_value: float | None
    probability_b_better: float | None
    always_valid: tuple[float, float] | None


@dataclass(frozen=True)
class Rule:
    """When a watched experiment is decided."""

    method: str
    """`p_value`, `probability`, `always_valid` (exact for rates) or `normal_mixture`."""
    looks: int = 1
    """Over so many looks a p-value's alpha is divided evenly."""
    tightest: float = always_valid.TIGHTEST
    """Units an arm at which the normal mixture is narrowest."""

    def sequence(self, experiment: "Experiment") -> tuple[float, float] | None:
        """The interval of the difference that holds at every look; None of too few values."""
        a, b = samples(experiment)
        coverage = self.coverage(experiment)
        if self.exact(experiment):
            yes = _successes(experiment)
            return always_valid.of_rates(
                (float(yes[0]), float(yes[1])),
                (float(a.n - yes[0]), float(b.n - yes[1])),
                coverage=coverage,
            )
        variances = _variances(experiment)
        if min(a.n, b.n) < always_valid.FEWEST or not sum(variances) > 0:
            return None
        return always_valid.of_means(
            b.mean - a.mean,
            variances=variances,
            sizes=(a.n, b.n),
            coverage=coverage,
            tightest=self.tightest,
        )

    def exact(self, experiment: "Experiment") -> bool:
        """Whether the interval is that of rates, good at any size."""
        few = _fewest(experiment) < always_valid.FEWEST
        return experiment.kind == "rates" and (few or self.method != "normal_mixture")

    def coverage(self, experiment: "Experiment") -> float:
        """Of the interval told now, so that all told over time keep alpha together."""
        spent = 1.0
        if experiment.kind == "rates" and self.method == "normal_mixture":
            spent = SPENT_EXACT if self.exact(experiment) else 1 - SPENT_EXACT
        return 1 - spent * experiment.alpha

    def decides(self, found: Findings, alpha: float) -> str:
        """`a`, `b` or `undecided`.

        Raises:
            ValueError: the method is not one of the four.
        """
        ahead = "b" if found.difference > 0 else "a"
        if self.method == "p_value":
            p_value = found.p_value
            return ahead if p_value is not None and p_value < alpha / self.looks else UNDECIDED
        if self.method == "probability":
            sure = found.probability_b_better
            if sure is None or alpha / 2 <= sure <= 1 - alpha / 2:
                return UNDECIDED
            return "b" if sure > 0.5 else "a"
        if self.method in ("always_valid", "normal_mixture"):
            interval = found.always_valid
            if interval is None or interval[0] <= 0 <= interval[1]:
                return UNDECIDED
            return "b" if interval[0] > 0 else "a"
        known = "p_value, probability, always_valid or normal_mixture"
        raise ValueError(f"method must be {known}, got {self.method!r}")


def _successes(experiment: Experiment) -> tuple[int, int]:
    return experiment.a_successes or 0, experiment.b_successes or 0


def _fewest(experiment: Experiment) -> int:
    """Of successes and failures in either arm: what a rate's normal approximation hangs on."""
    yes = _successes(experiment)
    return min(*yes, experiment.a_size - yes[0], experiment.b_size - yes[1])


def _variances(experiment: Experiment) -> tuple[float, float]:
    a, b = samples(experiment)
    if experiment.kind == "means":
        return a.variance, b.variance
    first, second = (each.mean * (1 - each.mean) * each.n / (each.n - 1) for each in (a, b))
    return first, second


ONCE = Rule("p_value")


@dataclass(frozen=True)
class Tested:
    """The classical half of an analysis."""

    test: str
    statistic: float | None = None
    freedom: float | None = None
    p_value: float | None = None
    interval: tuple[float, float] | None = None
    effect: float | None = None
    power: float | None = None


def samples(experiment: Experiment) -> tuple[Sample, Sample]:
    each = experiment
    if each.kind == "rates":
        counts = ((each.a_size, each.a_successes), (each.b_size, each.b_successes))
        first, second = (Sample(n, (successes or 0) / n) for n, successes in counts)
        return first, second
    return (
        Sample(each.a_size, each.a_mean or 0.0, each.a_variance or 0.0),
        Sample(each.b_size, each.b_mean or 0.0, each.b_variance or 0.0),
    )


def tested_rates(experiment: Experiment, a: Sample, b: Sample) -> Tested:
    yes = _successes(experiment)
    coverage = 1 - experiment.alpha
    interval = proportions.newcombe((yes[0], a.n), (yes[1], b.n), coverage=coverage)
    effect = effect_size.cohens_h(a.mean, b.mean)
    reached = None
    if experiment.smallest_effect is not None:
        reached = power.two_proportions(
            a.mean, experiment.smallest_effect, sizes=(a.n, b.n), alpha=experiment.alpha
        )
    if sum(yes) in (0, a.n + b.n):
        return Tested("chi_square", interval=interval, effect=effect, power=reached)
    if least_expected(yes, (a.n, b.n)) < LEAST_EXPECTED:
        p_value = fisher.exact((yes[0], a.n), (yes[1], b.n))
        return Tested(
            "fisher_exact", p_value=p_value, interval=interval, effect=effect, power=reached
        )
    table = [[yes[0], a.n - yes[0]], [yes[1], b.n - yes[1]]]
    found = chi_square.independence(table)
    return Tested(
        "chi_square", found.statistic, found.freedom, found.p_value, interval, effect, reached
    )


def least_expected(successes: tuple[int, int], sizes: tuple[int, int]) -> float:
    """The least count of the table, were both rates the same."""
    rarer = min(sum(successes), sum(sizes) - sum(successes))
    return min(sizes) * rarer / sum(sizes)


def tested_means(experiment: Experiment, a: Sample, b: Sample) -> Tested:
    variances, sizes = (a.variance, b.variance), (a.n, b.n)
    if not a.variance / a.n + b.variance / b.n > 0:
        return Tested("welch_t")
    found = Welch.of(b.mean - a.mean, variances=variances, sizes=sizes)
    reached = None
    if experiment.smallest_effect is not None:
        reached = power.two_means(
            variances, experiment.smallest_effect, sizes=sizes, alpha=experiment.alpha
        )
    return Tested(
        "welch_t",
        found.statistic,
        found.freedom,
        found.p_value,
        found.interval(1 - experiment.alpha),
        effect_size.cohens_d(found.difference, variances=variances),
        reached,
    )


def analyse(experiment: Experiment, watched: Rule) -> Analysis:
    """All that the two arms tell; `watched` decides where one looks more than once."""
    a, b = samples(experiment)
    told = compare(
        a,
        b,
        kind="binary" if experiment.kind == "rates" else "continuous",
        credible=1 - experiment.alpha,
        power=experiment.power,
        alpha=experiment.alpha,
        smallest_effect=experiment.smallest_effect,
    )
    tested = tested_rates if experiment.kind == "rates" else tested_means
    return analysis(experiment, told, tested(experiment, a, b), watched)


def analysis(experiment: Experiment, told: Comparison, tested: Tested, watched: Rule) -> Analysis:
    a, b = samples(experiment)
    difference = b.mean - a.mean
    sequence = watched.sequence(experiment)
    found = Findings(difference, tested.p_value, told.probability_b_better, sequence)
    rule = watched if experiment.watched else ONCE
    decision = rule.decides(found, experiment.alpha)
    planned = (1 - experiment.share_b, experiment.share_b)
    split = chi_square.fit((a.n, b.n), planned).p_value
    confidence = tested.interval or (None, None)
    credible = told.credible_interval or (None, None)
    always = sequence or (None, None)
    return Analysis(
        decision=decision,
        difference=difference,
        relative_difference=_finite(difference / a.mean) if a.mean > 0 else None,
        test=tested.test,
        statistic=tested.statistic,
        degrees_of_freedom=tested.freedom,
        p_value=tested.p_value,
        confidence_low=confidence[0],
        confidence_high=confidence[1],
        effect_size=tested.effect,
        probability_b_better=told.probability_b_better,
        credible_low=credible[0],
        credible_high=credible[1],
        expected_loss=told.expected_loss,
        always_valid_low=always[0],
        always_valid_high=always[1],
        sample_size=told.sample_size,
        still_needed=told.needed,
        power=tested.power,
        split_p_value=split,
        verdict=verdict(experiment, decision, told, tested, sequence),
        note=" ".join(notes(experiment, told, tested, sequence, split)),
    )


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def verdict(
    experiment: Experiment,
    decision: str,
    told: Comparison,
    tested: Tested,
    sequence: tuple[float, float] | None,
) -> str:
    if tested.p_value is None:
        return "Nothing can be told yet."
    if experiment.watched:
        span = "" if sequence is None else f" (b less a: {sequence[0]:.4g} to {sequence[1]:.4g})"
        if decision == UNDECIDED:
            return f"Too early to tell{span}: go on, and look as often as you like."
        return f"{decision} is better{span}, however often one looks."
    found = f"p = {tested.p_value:.3g}"
    if decision != UNDECIDED:
        return f"{decision} is better ({found}), if this is the only look."
    if told.needed:
        return f"No difference is shown ({found}); {told.needed:,} more are needed in an arm."
    return f"No difference is shown ({found})."


def notes(
    experiment: Experiment,
    told: Comparison,
    tested: Tested,
    sequence: tuple[float, float] | None,
    split: float,
) -> list[str]:
    said = [told.note] if told.note else []
    if tested.p_value is None and tested.test == "chi_square":
        said.append("Both arms have had the same outcome throughout: there is nothing to test.")
    if tested.test == "fisher_exact":
        said.append(
            f"A count below {LEAST_EXPECTED} is expected: the p-value is Fisher's exact one. The "
            "effect, the power and the sample size are for larger counts."
        )
    if split < MISMATCH:
        said.append(
            "The arms' sizes do not fit the planned split: find out why before reading on, since "
            "whatever lost units in one arm may have changed its outcomes too."
        )
    return said


class AbTest(Model):
    def load(self, weights: Path) -> None:
        file = weights / "rule.json"
        if not file.is_file():
            raise FileNotFoundError(f"no {file.name} in {weights}")
        self._rule = Rule(**json.loads(file.read_text()))

    def predict(self, model_input: list[Experiment]) -> list[Analysis]:
        return [analyse(each, self._rule) for each in model_input]


publish(AbTest())

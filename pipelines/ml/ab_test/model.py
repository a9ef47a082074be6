"""Is B better than A, by how much, and is it safe to conclude so yet?

Data: 90,189 players of Cookie Cats, assigned at random to the first gate at level 30 or 40;
experiments without a difference and with a planted one are cut from them.
Task: tests, intervals and a decision for two arms, given as counts or as means with variances.
Model: Welch's t-test, Pearson's chi-square or, for small counts, Fisher's exact test if the result
is looked at once. A watched experiment is decided by the simplest stopping rule that kept its false
alarm rate and had an error within one standard error of the best on the cut experiments.
Limits: the players must be independent of each other, and so must their outcomes. Means need about
30 values per arm, more if a few values are huge. The analysis is for one comparison: several
comparisons need a stricter alpha.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from slipway.contract import Model, Record, publish
from slipway.statistics import always_valid, chi_square, effect_size, fisher, power, proportions
from slipway.statistics.ab import Sample, compare
from slipway.statistics.welch import Welch

UNDECIDED = "undecided"
# The usual p-value limit of sample-ratio mismatch checks: a correct split rarely falls below it.
MISMATCH = 0.001
# The share of alpha that the exact interval gets when the normal mixture decides on rates; the
# mixture gets the rest. The exact interval replaces the mixture while outcomes are few. Together
# they keep alpha, whenever one takes over from the other.
SPENT_EXACT = 0.1
# The chi-square test needs expected counts of at least this: Cochran's rule (1954).
LEAST_EXPECTED = 5
Interval = tuple[float, float]
# Fields that belong to one kind of experiment and are omitted for the other.
Successes = Annotated[int | None, Field(ge=0, le=10**12)]
Mean = Annotated[float | None, Field(ge=-1e100, le=1e100)]
Variance = Annotated[float | None, Field(ge=0, le=1e200)]


class Experiment(Record):
    """The two arms so far: successes for rates, or a mean and variance for any other outcome."""

    model_config = ConfigDict(validate_default=True)

    kind: str = Field(pattern="^(rates|means)$")
    a_size: int = Field(ge=2, le=10**12, description="Units, such as players, in arm a")
    b_size: int = Field(ge=2, le=10**12)
    a_successes: Successes = Field(default=None, description="For kind rates")
    b_successes: Successes = None
    a_mean: Mean = Field(default=None, description="For kind means")
    b_mean: Mean = None
    a_variance: Variance = Field(
        default=None, description="For kind means: the sample variance (n - 1 as denominator)"
    )
    b_variance: Variance = None
    smallest_effect: float | None = Field(
        default=None,
        gt=1e-100,
        le=1e100,
        description="The smallest difference worth detecting, in the unit of the rates or means",
    )
    alpha: float = Field(default=0.05, ge=1e-6, le=0.5, description="The false alarm rate to allow")
    power: float = Field(
        default=0.8, ge=0.01, le=0.999999, description="The power wanted for the smallest effect"
    )
    watched: bool = Field(
        default=False, description="True if you look more than once and may stop early"
    )
    share_b: float = Field(
        default=0.5, ge=0.001, le=0.999, description="The planned share of units in arm b"
    )

    @field_validator("a_successes", "b_successes", "a_mean", "b_mean", "a_variance", "b_variance")
    @classmethod
    def _belongs(cls, value: float | None, info: ValidationInfo) -> float | None:
        """Check that a field is present for its own kind of experiment and absent otherwise."""
        arm, _, name = str(info.field_name).partition("_")
        kind, given = "rates" if name == "successes" else "means", info.data.get("kind")
        if given == kind and value is None:
            raise ValueError(f"is required if kind is {kind}")
        if given is not None and given != kind and value is not None:
            raise ValueError(f"is for kind {kind}; omit it if kind is {given}")
        size = info.data.get(f"{arm}_size")
        if name == "successes" and value is not None and size is not None and value > size:
            raise ValueError(f"must be at most the arm's size, {size}")
        return value

    @property
    def table(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The successes and failures in each arm, for kind rates."""
        a, b = self.a_successes or 0, self.b_successes or 0
        return (a, self.a_size - a), (b, self.b_size - b)

    @property
    def arms(self) -> tuple[Sample, Sample]:
        """Size, mean and sample variance (n - 1 as denominator) of each arm, for rates too."""

        def arm(
            size: int, successes: int | None, mean: float | None, variance: float | None
        ) -> Sample:
            if self.kind == "rates":
                mean = (successes or 0) / size
                variance = mean * (1 - mean) * size / (size - 1)
            return Sample(size, mean or 0.0, variance or 0.0)

        return (
            arm(self.a_size, self.a_successes, self.a_mean, self.a_variance),
            arm(self.b_size, self.b_successes, self.b_mean, self.b_variance),
        )


class Analysis(Record):
    """The comparison of b with a. A value that the data do not allow is None; `note` says why."""

    decision: str = Field(pattern="^(a|b|undecided)$", description="The arm shown to be better")
    difference: float
    relative_difference: float | None = Field(
        default=None, description="The difference divided by a's mean, if that is above 0"
    )
    test: str = Field(pattern="^(chi_square|fisher_exact|welch_t)$")
    statistic: float | None = None
    degrees_of_freedom: float | None = None
    p_value: float | None = Field(default=None, ge=0, le=1, description="Two-sided, for one look")
    confidence_low: float | None = None
    confidence_high: float | None = Field(
        default=None, description="Newcombe's interval for rates, Welch's for means"
    )
    effect_size: float | None = Field(default=None, description="Cohen's h for rates, d for means")
    probability_b_better: float | None = Field(default=None, ge=0, le=1)
    credible_low: float | None = None
    credible_high: float | None = None
    expected_loss: float | None = Field(
        default=None, ge=0, description="The loss of choosing b: how much better a is, else 0"
    )
    always_valid_low: float | None = None
    always_valid_high: float | None = Field(
        default=None, description="The end of the interval that is valid at every look"
    )
    sample_size: int | None = Field(
        default=None, ge=1, description="Units needed in each arm for the power wanted"
    )
    still_needed: int | None = Field(
        default=None, ge=0, description="Units still needed in the smaller arm"
    )
    power: float | None = Field(
        default=None, ge=0, le=1, description="Power for the smallest effect at the sizes so far"
    )
    split_p_value: float = Field(
        ge=0, le=1, description="p-value of the test that the arms' sizes fit the plan"
    )
    verdict: str
    note: str = Field(description="What is missing or unusual; empty if nothing is")


@dataclass(frozen=True)
class Findings:
    """The results that a stopping rule decides by."""

    difference: float
    p_value: float | None
    probability_b_better: float | None
    always_valid: Interval | None


@dataclass(frozen=True)
class Rule:
    """A stopping rule: when to decide a watched experiment."""

    method: str
    """`p_value`, `probability`, `always_valid` (exact for rates) or `normal_mixture`."""
    looks: int = 1
    """The number of looks over which a p-value's alpha is divided evenly."""
    tightest: float = always_valid.TIGHTEST
    """Units per arm at which the normal mixture is narrowest."""

    def sequence(self, experiment: Experiment) -> Interval | None:
        """Return the interval of the difference that is valid at every look.

        None if there are too few values.
        """
        (a, b), coverage = experiment.arms, self.coverage(experiment)
        if self.exact(experiment):
            (a_yes, a_no), (b_yes, b_no) = experiment.table
            return always_valid.rate_interval((a_yes, b_yes), (a_no, b_no), coverage=coverage)
        if min(a.n, b.n) < always_valid.FEWEST or not a.variance + b.variance > 0:
            return None
        return always_valid.mean_interval(
            b.mean - a.mean,
            variances=(a.variance, b.variance),
            sizes=(a.n, b.n),
            coverage=coverage,
            tightest=self.tightest,
        )

    def exact(self, experiment: Experiment) -> bool:
        """Return whether the interval is the exact one for rates, which is valid at any size.

        A rate's normal approximation needs enough successes and failures in both arms.
        """
        few = min(map(min, experiment.table)) < always_valid.FEWEST
        return experiment.kind == "rates" and (few or self.method != "normal_mixture")

    def coverage(self, experiment: Experiment) -> float:
        """Return the coverage of the interval at this look; all looks together keep alpha."""
        spent = 1.0
        if experiment.kind == "rates" and self.method == "normal_mixture":
            spent = SPENT_EXACT if self.exact(experiment) else 1 - SPENT_EXACT
        return 1 - spent * experiment.alpha

    def decides(self, found: Findings, alpha: float) -> str:
        """Return the decision: `a`, `b` or `undecided`.

        Raises:
            ValueError: the method is not one of the four.
        """
        b_ahead = found.difference > 0
        if self.method == "p_value":
            clear = found.p_value is not None and found.p_value < alpha / self.looks
        elif self.method == "probability":
            sure = 0.5 if found.probability_b_better is None else found.probability_b_better
            b_ahead, clear = sure > 0.5, not alpha / 2 <= sure <= 1 - alpha / 2
        elif self.method in ("always_valid", "normal_mixture"):
            low, high = found.always_valid or (-math.inf, math.inf)
            b_ahead, clear = low > 0, not low <= 0 <= high
        else:
            known = "p_value, probability, always_valid or normal_mixture"
            raise ValueError(f"method must be {known}, got {self.method!r}")
        return UNDECIDED if not clear else "b" if b_ahead else "a"


def ends(name: str, interval: Interval | None) -> dict[str, Any]:
    """Return the two fields of an analysis that hold `interval`."""
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def frequentist_rates(experiment: Experiment) -> dict[str, Any]:
    """Return the frequentist fields of an analysis of rates."""
    table, (a, b) = experiment.table, experiment.arms
    sizes, counts = (a.n, b.n), ((table[0][0], a.n), (table[1][0], b.n))
    fields = {
        "test": "chi_square",
        "effect_size": effect_size.cohens_h(a.mean, b.mean),
        **ends("confidence", proportions.newcombe(*counts, coverage=1 - experiment.alpha)),
    }
    if experiment.smallest_effect is not None:
        fields["power"] = power.two_proportions(
            a.mean, experiment.smallest_effect, sizes=sizes, alpha=experiment.alpha
        )
    rarer = min(sum(outcome) for outcome in zip(*table, strict=True))
    if rarer == 0:
        return fields
    # The smallest expected count of the table if both rates were the same.
    if min(sizes) * rarer / sum(sizes) < LEAST_EXPECTED:
        return fields | {"test": "fisher_exact", "p_value": fisher.exact(*counts)}
    found = chi_square.independence(table)
    return fields | {
        "statistic": found.statistic,
        "degrees_of_freedom": found.freedom,
        "p_value": found.p_value,
    }


def frequentist_means(experiment: Experiment) -> dict[str, Any]:
    """Return the frequentist fields of an analysis of means."""
    a, b = experiment.arms
    variances, sizes = (a.variance, b.variance), (a.n, b.n)
    if not a.variance / a.n + b.variance / b.n > 0:
        return {"test": "welch_t"}
    found = Welch.from_moments(b.mean - a.mean, variances=variances, sizes=sizes)
    fields = {
        "test": "welch_t",
        "statistic": found.statistic,
        "degrees_of_freedom": found.freedom,
        "p_value": found.p_value,
        "effect_size": effect_size.cohens_d(found.difference, variances=variances),
        **ends("confidence", found.interval(1 - experiment.alpha)),
    }
    if experiment.smallest_effect is not None:
        fields["power"] = power.two_means(
            variances, experiment.smallest_effect, sizes=sizes, alpha=experiment.alpha
        )
    return fields


def bayesian(experiment: Experiment) -> dict[str, Any]:
    """Return the Bayesian fields of an analysis, and the sample size."""
    comparison = compare(
        *experiment.arms,
        kind="binary" if experiment.kind == "rates" else "continuous",
        credible=1 - experiment.alpha,
        power=experiment.power,
        alpha=experiment.alpha,
        smallest_effect=experiment.smallest_effect,
    )
    return {
        "probability_b_better": comparison.probability_b_better,
        "expected_loss": comparison.expected_loss,
        "sample_size": comparison.sample_size,
        "still_needed": comparison.needed,
        "note": comparison.note,
        **ends("credible", comparison.credible_interval),
    }


def analyse(experiment: Experiment, watched: Rule) -> Analysis:
    """Return the whole analysis of the two arms; `watched` decides a watched experiment."""
    return analysis(experiment, statistics(experiment), watched)


def statistics(experiment: Experiment) -> dict[str, Any]:
    """Return the Bayesian and the frequentist fields of an analysis."""
    frequentist = frequentist_rates if experiment.kind == "rates" else frequentist_means
    return bayesian(experiment) | frequentist(experiment)


def analysis(experiment: Experiment, fields: dict[str, Any], watched: Rule) -> Analysis:
    """Return the analysis with the given `fields`, its decision, verdict and note."""
    a, b = experiment.arms
    difference, sequence = b.mean - a.mean, watched.sequence(experiment)
    relative = difference / a.mean if a.mean > 0 else math.inf
    found = Findings(difference, fields.get("p_value"), fields["probability_b_better"], sequence)
    rule = watched if experiment.watched else Rule("p_value")
    planned = (1 - experiment.share_b, experiment.share_b)
    result = Analysis(
        decision=rule.decides(found, experiment.alpha),
        difference=difference,
        relative_difference=relative if math.isfinite(relative) else None,
        split_p_value=chi_square.fit((a.n, b.n), planned).p_value,
        verdict="",
        **fields,
        **ends("always_valid", sequence),
    )
    texts = {"verdict": verdict(result, watched=experiment.watched), "note": note(result)}
    return result.model_copy(update=texts)


def verdict(result: Analysis, *, watched: bool) -> str:
    """Return the decision as a sentence."""
    if result.p_value is None:
        return "Nothing can be concluded yet."
    if watched:
        low, high = result.always_valid_low, result.always_valid_high
        span = "" if low is None else f" (b less a: {low:.4g} to {high:.4g})"
        if result.decision == UNDECIDED:
            return f"Too early to tell{span}: go on, and look as often as you like."
        return f"{result.decision} is better{span}, however often one looks."
    found = f"p = {result.p_value:.3g}"
    if result.decision != UNDECIDED:
        return f"{result.decision} is better ({found}), if this is the only look."
    if result.still_needed:
        more = f"{result.still_needed:,} more are needed in an arm"
        return f"No difference is shown ({found}); {more}."
    return f"No difference is shown ({found})."


def note(result: Analysis) -> str:
    """Return the note of the comparison with the remarks about the test and the split."""
    remarks = [result.note] if result.note else []
    if result.p_value is None and result.test == "chi_square":
        remarks.append("Both arms have had the same outcome throughout: there is nothing to test.")
    if result.test == "fisher_exact":
        remarks.append(
            f"A count below {LEAST_EXPECTED} is expected: the p-value is Fisher's exact one. The "
            "effect, the power and the sample size are for larger counts."
        )
    if result.split_p_value < MISMATCH:
        remarks.append(
            "The arms' sizes do not fit the planned split: find out why before reading on, since "
            "whatever lost units in one arm may have changed its outcomes too."
        )
    return " ".join(remarks)


class AbTest(Model):
    def load(self, weights: Path) -> None:
        file = weights / "rule.json"
        if not file.is_file():
            raise FileNotFoundError(f"no {file.name} in {weights}")
        self._rule = Rule(**json.loads(file.read_text()))

    def predict(self, model_input: list[Experiment]) -> list[Analysis]:
        return [analyse(each, self._rule) for each in model_input]


publish(AbTest())

"""Is B better than A, by how much, and may one say so yet?

Data: 90,189 players of Cookie Cats, drawn at random to meet the first gate at level 30 or 40;
experiments without a difference and with a planted one are cut from them.
Task: two arms as counts or as means with variances, to tests, intervals and a decision.
Model: Welch's t-test, Pearson's chi-square or, of few outcomes, Fisher's exact test where the
result is looked at once; where it is watched, the simplest rule that kept its false alarms and had
an error within one standard error of the best on the experiments cut.
Limits: values must be independent between players, and so must their outcomes. Means need some 30
values an arm, more where a few values are huge. One comparison: several need a stricter alpha.
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
# Below it a split as planned would be a rare accident: the usual bound of ratio-mismatch checks.
MISMATCH = 0.001
# Of alpha, where the normal mixture decides on rates: as much is spent on the exact interval that
# stands in for it while outcomes are few, the rest on the mixture. Together they err within alpha,
# whenever the one takes over from the other.
SPENT_EXACT = 0.1
# An expected count from which chi-square is trusted: Cochran's rule (1954).
LEAST_EXPECTED = 5
Interval = tuple[float, float]
# Of one kind of experiment, and left out of the other.
Successes = Annotated[int | None, Field(ge=0, le=10**12)]
Mean = Annotated[float | None, Field(ge=-1e100, le=1e100)]
Variance = Annotated[float | None, Field(ge=0, le=1e200)]


class Experiment(Record):
    """Two arms so far: successes of rates, or mean and variance of anything else."""

    model_config = ConfigDict(validate_default=True)

    kind: str = Field(pattern="^(rates|means)$")
    a_size: int = Field(ge=2, le=10**12, description="Units, such as players, in arm a")
    b_size: int = Field(ge=2, le=10**12)
    a_successes: Successes = Field(default=None, description="Of rates")
    b_successes: Successes = None
    a_mean: Mean = Field(default=None, description="Of means")
    b_mean: Mean = None
    a_variance: Variance = Field(
        default=None, description="Of means: the values', with n - 1 below the line"
    )
    b_variance: Variance = None
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

    @field_validator("a_successes", "b_successes", "a_mean", "b_mean", "a_variance", "b_variance")
    @classmethod
    def _belongs(cls, value: float | None, info: ValidationInfo) -> float | None:
        """Each belongs to one kind of experiment: there it is needed, elsewhere in the way."""
        arm, _, name = str(info.field_name).partition("_")
        kind, told = "rates" if name == "successes" else "means", info.data.get("kind")
        if told == kind and value is None:
            raise ValueError(f"is needed where kind is {kind}")
        if told is not None and told != kind and value is not None:
            raise ValueError(f"is for kind {kind}; leave it out where kind is {told}")
        size = info.data.get(f"{arm}_size")
        if name == "successes" and value is not None and size is not None and value > size:
            raise ValueError(f"must be at most the arm's size, {size}")
        return value

    @property
    def table(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of rates: successes and failures in each arm."""
        a, b = self.a_successes or 0, self.b_successes or 0
        return (a, self.a_size - a), (b, self.b_size - b)

    @property
    def arms(self) -> tuple[Sample, Sample]:
        """Variances are those with n - 1 below the line, of rates too."""

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
    always_valid: Interval | None


@dataclass(frozen=True)
class Rule:
    """When a watched experiment is decided."""

    method: str
    """`p_value`, `probability`, `always_valid` (exact for rates) or `normal_mixture`."""
    looks: int = 1
    """Over so many looks a p-value's alpha is divided evenly."""
    tightest: float = always_valid.TIGHTEST
    """Units an arm at which the normal mixture is narrowest."""

    def sequence(self, experiment: Experiment) -> Interval | None:
        """The interval of the difference that holds at every look; None of too few values."""
        (a, b), coverage = experiment.arms, self.coverage(experiment)
        if self.exact(experiment):
            (a_yes, a_no), (b_yes, b_no) = experiment.table
            return always_valid.of_rates((a_yes, b_yes), (a_no, b_no), coverage=coverage)
        if min(a.n, b.n) < always_valid.FEWEST or not a.variance + b.variance > 0:
            return None
        return always_valid.of_means(
            b.mean - a.mean,
            variances=(a.variance, b.variance),
            sizes=(a.n, b.n),
            coverage=coverage,
            tightest=self.tightest,
        )

    def exact(self, experiment: Experiment) -> bool:
        """Whether the interval is that of rates, good at any size.

        A rate's normal approximation hangs on the successes and failures in either arm.
        """
        few = min(map(min, experiment.table)) < always_valid.FEWEST
        return experiment.kind == "rates" and (few or self.method != "normal_mixture")

    def coverage(self, experiment: Experiment) -> float:
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
    """Of an analysis' interval: its two fields."""
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def tested_rates(experiment: Experiment) -> dict[str, Any]:
    """The classical half of an analysis, by the names of its fields."""
    table, (a, b) = experiment.table, experiment.arms
    sizes, counts = (a.n, b.n), ((table[0][0], a.n), (table[1][0], b.n))
    told = {
        "test": "chi_square",
        "effect_size": effect_size.cohens_h(a.mean, b.mean),
        **ends("confidence", proportions.newcombe(*counts, coverage=1 - experiment.alpha)),
    }
    if experiment.smallest_effect is not None:
        told["power"] = power.two_proportions(
            a.mean, experiment.smallest_effect, sizes=sizes, alpha=experiment.alpha
        )
    rarer = min(sum(outcome) for outcome in zip(*table, strict=True))
    if rarer == 0:
        return told
    # The least count of the table, were both rates the same.
    if min(sizes) * rarer / sum(sizes) < LEAST_EXPECTED:
        return told | {"test": "fisher_exact", "p_value": fisher.exact(*counts)}
    found = chi_square.independence(table)
    return told | {
        "statistic": found.statistic,
        "degrees_of_freedom": found.freedom,
        "p_value": found.p_value,
    }


def tested_means(experiment: Experiment) -> dict[str, Any]:
    """The classical half of an analysis, by the names of its fields."""
    a, b = experiment.arms
    variances, sizes = (a.variance, b.variance), (a.n, b.n)
    if not a.variance / a.n + b.variance / b.n > 0:
        return {"test": "welch_t"}
    found = Welch.of(b.mean - a.mean, variances=variances, sizes=sizes)
    told = {
        "test": "welch_t",
        "statistic": found.statistic,
        "degrees_of_freedom": found.freedom,
        "p_value": found.p_value,
        "effect_size": effect_size.cohens_d(found.difference, variances=variances),
        **ends("confidence", found.interval(1 - experiment.alpha)),
    }
    if experiment.smallest_effect is not None:
        told["power"] = power.two_means(
            variances, experiment.smallest_effect, sizes=sizes, alpha=experiment.alpha
        )
    return told


def compared(experiment: Experiment) -> dict[str, Any]:
    """The Bayesian half of an analysis and the sample size, by the names of its fields."""
    told = compare(
        *experiment.arms,
        kind="binary" if experiment.kind == "rates" else "continuous",
        credible=1 - experiment.alpha,
        power=experiment.power,
        alpha=experiment.alpha,
        smallest_effect=experiment.smallest_effect,
    )
    return {
        "probability_b_better": told.probability_b_better,
        "expected_loss": told.expected_loss,
        "sample_size": told.sample_size,
        "still_needed": told.needed,
        "note": told.note,
        **ends("credible", told.credible_interval),
    }


def analyse(experiment: Experiment, watched: Rule) -> Analysis:
    """All that the two arms tell; `watched` decides where one looks more than once."""
    return analysis(experiment, both_halves(experiment), watched)


def both_halves(experiment: Experiment) -> dict[str, Any]:
    tested = tested_rates if experiment.kind == "rates" else tested_means
    return compared(experiment) | tested(experiment)


def analysis(experiment: Experiment, told: dict[str, Any], watched: Rule) -> Analysis:
    """What is `told` by name, decided on and put into words."""
    a, b = experiment.arms
    difference, sequence = b.mean - a.mean, watched.sequence(experiment)
    relative = difference / a.mean if a.mean > 0 else math.inf
    found = Findings(difference, told.get("p_value"), told["probability_b_better"], sequence)
    rule = watched if experiment.watched else Rule("p_value")
    planned = (1 - experiment.share_b, experiment.share_b)
    answer = Analysis(
        decision=rule.decides(found, experiment.alpha),
        difference=difference,
        relative_difference=relative if math.isfinite(relative) else None,
        split_p_value=chi_square.fit((a.n, b.n), planned).p_value,
        verdict="",
        **told,
        **ends("always_valid", sequence),
    )
    said = {"verdict": verdict(answer, watched=experiment.watched), "note": note(answer)}
    return answer.model_copy(update=said)


def verdict(answer: Analysis, *, watched: bool) -> str:
    if answer.p_value is None:
        return "Nothing can be told yet."
    if watched:
        low, high = answer.always_valid_low, answer.always_valid_high
        span = "" if low is None else f" (b less a: {low:.4g} to {high:.4g})"
        if answer.decision == UNDECIDED:
            return f"Too early to tell{span}: go on, and look as often as you like."
        return f"{answer.decision} is better{span}, however often one looks."
    found = f"p = {answer.p_value:.3g}"
    if answer.decision != UNDECIDED:
        return f"{answer.decision} is better ({found}), if this is the only look."
    if answer.still_needed:
        more = f"{answer.still_needed:,} more are needed in an arm"
        return f"No difference is shown ({found}); {more}."
    return f"No difference is shown ({found})."


def note(answer: Analysis) -> str:
    """What there is beside what the comparison noted."""
    said = [answer.note] if answer.note else []
    if answer.p_value is None and answer.test == "chi_square":
        said.append("Both arms have had the same outcome throughout: there is nothing to test.")
    if answer.test == "fisher_exact":
        said.append(
            f"A count below {LEAST_EXPECTED} is expected: the p-value is Fisher's exact one. The "
            "effect, the power and the sample size are for larger counts."
        )
    if answer.split_p_value < MISMATCH:
        said.append(
            "The arms' sizes do not fit the planned split: find out why before reading on, since "
            "whatever lost units in one arm may have changed its outcomes too."
        )
    return " ".join(said)


class AbTest(Model):
    def load(self, weights: Path) -> None:
        file = weights / "rule.json"
        if not file.is_file():
            raise FileNotFoundError(f"no {file.name} in {weights}")
        self._rule = Rule(**json.loads(file.read_text()))

    def predict(self, model_input: list[Experiment]) -> list[Analysis]:
        return [analyse(each, self._rule) for each in model_input]


publish(AbTest())

"""Rules for stopping a watched experiment, by their false alarms and what they find.

Nothing is fitted: the candidates are methods, judged on experiments of known truth. The reference
that parity is measured against are SciPy and statsmodels.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from scipy import integrate, optimize, special, stats

from slipway.statistics import power, sample_size
from slipway.statistics.ab import Sample, compare
from slipway.training import Candidate, Evaluation, Examples, Fitted, plots

from .model import (
    LEAST_EXPECTED,
    UNDECIDED,
    Analysis,
    Experiment,
    Findings,
    Rule,
    Tested,
    analyse,
    analysis,
    samples,
    tested_means,
    tested_rates,
)

Truth = dict[str, Any]


@dataclass(frozen=True)
class Course:
    """One experiment: what was decided at each look, None where the rule does not look."""

    better: str
    decisions: list[str | None]

    @property
    def decided(self) -> int | None:
        """The first look at which an arm was declared better; None if none was."""
        for look, decision in enumerate(self.decisions):
            if decision not in (None, UNDECIDED):
                return look
        return None

    @property
    def declared(self) -> str:
        return UNDECIDED if self.decided is None else str(self.decisions[self.decided])


def courses(truths: list[Truth], decisions: list[str | None]) -> list[Course]:
    """Looks in any order, put together by series."""
    by_series: dict[int, dict[int, str | None]] = {}
    better = {truth["series"]: truth["better"] for truth in truths}
    for truth, decision in zip(truths, decisions, strict=True):
        by_series.setdefault(truth["series"], {})[truth["look"]] = decision
    return [
        Course(better[series], [looks[look] for look in sorted(looks)])
        for series, looks in by_series.items()
    ]


def judged(found: list[Course]) -> dict[str, float]:
    """Shares over experiments; `error` is the mean of false alarms and of what was not found."""
    same = [each for each in found if each.better == "same"]
    planted = [each for each in found if each.better != "same"]
    stopped = [
        1.0 if each.decided is None else (each.decided + 1) / len(each.decisions)
        for each in planted
    ]
    false_alarm = share([each.declared != UNDECIDED for each in same])
    found_rightly = share([each.declared == each.better for each in planted])
    wrong = share([each.declared not in (UNDECIDED, each.better) for each in planted])
    return {
        "error": (false_alarm + 1 - found_rightly) / 2,
        "false_alarm": false_alarm,
        "power": found_rightly,
        "wrong_arm": wrong,
        "sample_used": float(np.mean(stopped)) if stopped else math.nan,
    }


def share(flags: list[bool]) -> float:
    return float(np.mean(flags)) if flags else math.nan


def rules(looks: int) -> dict[str, Rule]:
    """The first is what is done naively: to stop at the first p-value below alpha."""
    return {
        "baseline": Rule("p_value"),
        "probability": Rule("probability"),
        "always_valid": Rule("always_valid"),
        **{
            f"mixture_{tightest}": Rule("normal_mixture", tightest=tightest)
            for tightest in TIGHTEST
        },
        "bonferroni": Rule("p_value", looks),
        "one_look_at_the_end": Rule("p_value"),
    }


# Units an arm at which the normal mixture is narrowest.
TIGHTEST = (300, 1_000, 3_000, 10_000)
# These need to know how often one will look; the served rule must hold however often it is.
COUNTED = ("bonferroni", "one_look_at_the_end")


def decisions(
    name: str,
    rule: Rule,
    experiments: list[Experiment],
    answers: list[Analysis],
    truths: list[Truth],
) -> list[str | None]:
    """What `rule` says of each look; of the answers it takes p-value and posterior only."""
    last = max(truth["look"] for truth in truths)
    told: list[str | None] = []
    for experiment, answer, truth in zip(experiments, answers, truths, strict=True):
        if name == "one_look_at_the_end" and truth["look"] < last:
            told.append(None)
            continue
        found = Findings(
            answer.difference,
            answer.p_value,
            answer.probability_b_better,
            rule.sequence(experiment),
        )
        told.append(rule.decides(found, experiment.alpha))
    return told


def fit(*, train: Examples[Experiment, Truth], weights: Path, alpha: float) -> Fitted:
    """Choose, of the rules that keep `alpha` however often one looks, that of the least error."""
    served = Rule("always_valid")
    answers = [analyse(each, served) for each in train.records]
    looks = max(truth["look"] for truth in train.truths)
    tried = []
    for name, rule in rules(looks).items():
        told = decisions(name, rule, train.records, answers, train.truths)
        parameters = asdict(rule) | {"must_know_the_looks": name in COUNTED}
        tried.append(Candidate(name, judged(courses(train.truths, told)), parameters))

    def rank(candidate: Candidate) -> tuple[bool, float]:
        return candidate.metrics["false_alarm"] > alpha, candidate.metrics["error"]

    chosen = min((each for each in tried if each.name not in COUNTED), key=rank).name
    rule = rules(looks)[chosen]
    (weights / "rule.json").write_text(json.dumps(asdict(rule)) + "\n")

    def native(experiments: list[Experiment]) -> list[Analysis]:
        return [reference(each, rule) for each in experiments]

    return Fitted(tried, chosen, native)


def reference(experiment: Experiment, rule: Rule) -> Analysis:
    """The analysis with all tests, intervals and posteriors by SciPy and statsmodels."""
    a, b = samples(experiment)
    ours = compare(
        a,
        b,
        kind="binary" if experiment.kind == "rates" else "continuous",
        credible=1 - experiment.alpha,
        power=experiment.power,
        alpha=experiment.alpha,
        smallest_effect=experiment.smallest_effect,
    )
    if experiment.kind == "rates":
        told, tested = reference_rates(experiment, a, b)
    else:
        told, tested = reference_means(experiment, a, b)
    return analysis(experiment, ours.model_copy(update=told), tested, ByScipy(**asdict(rule)))


def reference_rates(experiment: Experiment, a: Sample, b: Sample) -> tuple[dict[str, Any], Tested]:
    from statsmodels.stats.proportion import (  # type: ignore[import-untyped]
        confint_proportions_2indep,
        proportion_effectsize,
    )

    yes = experiment.a_successes or 0, experiment.b_successes or 0
    ours = tested_rates(experiment, a, b)
    test, statistic, freedom, p_value = "chi_square", None, None, None
    table = [[yes[0], a.n - yes[0]], [yes[1], b.n - yes[1]]]
    if not 0 < sum(yes) < a.n + b.n:
        pass
    elif stats.contingency.expected_freq(table).min() < LEAST_EXPECTED:
        test, p_value = "fisher_exact", float(stats.fisher_exact(table).pvalue)
    else:
        found = stats.chi2_contingency(table, correction=False)
        statistic, freedom, p_value = (
            float(found.statistic),
            float(found.dof),
            float(found.pvalue),
        )
    interval = confint_proportions_2indep(
        yes[1], b.n, yes[0], a.n, method="newcomb", compare="diff", alpha=experiment.alpha
    )
    effect = float(proportion_effectsize(b.mean, a.mean))
    tested = Tested(
        test,
        statistic,
        freedom,
        p_value,
        (float(interval[0]), float(interval[1])),
        effect,
        ours.power,
    )
    return posterior_of_rates((yes[0], a.n), (yes[1], b.n), 1 - experiment.alpha), tested


@cache
def legendre(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights, which take longer to find than all the rest of a posterior."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    return nodes, weights


def posterior_of_rates(
    a: tuple[int, int], b: tuple[int, int], coverage: float, *, points: int = 400
) -> dict[str, Any]:
    """By Gauss-Legendre quadrature over SciPy's Beta distributions and Brent's method."""
    first, second = (stats.beta(yes + 0.5, n - yes + 0.5) for yes, n in (a, b))
    nodes, node_weights = legendre(points)

    def over(ends: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
        middle, half = (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2
        return middle + half * nodes, half * node_weights

    x, widths = over((first.ppf(1e-14), first.isf(1e-14)))
    density = first.pdf(x) * widths

    def below(difference: float) -> float:
        return float(density @ second.cdf(x + difference))

    tail = (1 - coverage) / 2
    centre, spread = second.mean() - first.mean(), math.hypot(first.std(), second.std())
    low, high = (
        optimize.brentq(
            lambda d, wanted=wanted: below(d) - wanted,
            max(-1.0, centre - 12 * spread),
            min(1.0, centre + 12 * spread),
            xtol=1e-12,
        )
        for wanted in (tail, 1 - tail)
    )
    # The mean of A - B where positive is the integral of P(B <= t < A).
    t, steps = over((second.ppf(1e-14), max(first.isf(1e-14), second.ppf(1e-14) + 1e-12)))
    loss = float(steps @ (second.cdf(t) * first.sf(t)))
    return {
        "credible_interval": (low, high),
        "probability_b_better": 1 - below(0.0),
        "expected_loss": loss,
    }


class ByScipy(Rule):
    """The rule with its interval found by SciPy's solvers from the martingales themselves."""

    def sequence(self, experiment: Experiment) -> tuple[float, float] | None:
        a, b = samples(experiment)
        coverage = self.coverage(experiment)
        if self.exact(experiment):
            yes = experiment.a_successes or 0, experiment.b_successes or 0
            return confidence_sequence((yes[0], a.n), (yes[1], b.n), coverage)
        if super().sequence(experiment) is None:
            return None
        parts = [each.variance for each in (a, b)]
        if experiment.kind == "rates":
            parts = [each.mean * (1 - each.mean) * each.n / (each.n - 1) for each in (a, b)]
        reach = mixture_radius((parts[0], parts[1]), (a.n, b.n), coverage, self.tightest)
        return b.mean - a.mean - reach, b.mean - a.mean + reach


def mixture_radius(
    variances: tuple[float, float], sizes: tuple[int, int], coverage: float, tightest: float
) -> float:
    """Where the likelihood ratio of a normal mixture of effects to none reaches its limit."""
    error = math.sqrt(variances[0] / sizes[0] + variances[1] / sizes[1])
    limit = -2 * math.log1p(-coverage)
    prior = math.sqrt((limit + math.log1p(limit)) * sum(variances) / tightest)
    wide = math.hypot(error, prior)

    def over(distance: float) -> float:
        ratio = stats.norm.logpdf(distance, 0, wide) - stats.norm.logpdf(distance, 0, error)
        return float(ratio + math.log1p(-coverage))

    return float(optimize.brentq(over, 0, 1e3 * error, xtol=1e-14 * error, rtol=1e-14))


def confidence_sequence(
    a: tuple[int, int], b: tuple[int, int], coverage: float
) -> tuple[float, float]:
    """The differences whose least evidence against them, over all pairs of rates, is too little."""
    limit = -math.log1p(-coverage)

    def evidence(arm: tuple[int, int], rate: float) -> float:
        yes, no = arm[0], arm[1] - arm[0]
        mixture = special.betaln(yes + 0.5, no + 0.5) - math.log(math.pi)
        return float(mixture - special.xlogy(yes, rate) - special.xlog1py(no, -rate))

    def over(difference: float) -> float:
        """Least evidence less the limit, for b's rate less a's being `difference`."""
        ends = max(0.0, -difference) + 1e-12, min(1.0, 1.0 - difference) - 1e-12
        found = optimize.minimize_scalar(
            lambda rate: evidence(a, rate) + evidence(b, rate + difference),
            bounds=ends,
            method="bounded",
            options={"xatol": 1e-11},
        )
        return float(found.fun) - limit

    centre = b[0] / b[1] - a[0] / a[1]
    return (
        float(optimize.brentq(over, -1 + 1e-9, centre, xtol=1e-11)),
        float(optimize.brentq(over, centre, 1 - 1e-9, xtol=1e-11)),
    )


def reference_means(experiment: Experiment, a: Sample, b: Sample) -> tuple[dict[str, Any], Tested]:
    ours = tested_means(experiment, a, b)
    if ours.p_value is None:
        return {}, ours
    found = stats.ttest_ind_from_stats(
        b.mean, math.sqrt(b.variance), b.n, a.mean, math.sqrt(a.variance), a.n, equal_var=False
    )
    parts = a.variance / a.n, b.variance / b.n
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (a.n - 1) + parts[1] ** 2 / (b.n - 1))
    difference, error = b.mean - a.mean, math.sqrt(sum(parts))
    student = stats.t(freedom, difference, error)
    interval = tuple(float(end) for end in student.interval(1 - experiment.alpha))
    density = student.pdf
    loss = integrate.quad(lambda x: -x * density(x), -np.inf, 0, points=None, limit=200)[0]
    told = {
        "credible_interval": interval,
        "probability_b_better": float(student.sf(0)),
        "expected_loss": float(loss),
    }
    tested = Tested(
        "welch_t",
        float(found.statistic),
        float(freedom),
        float(found.pvalue),
        (interval[0], interval[1]),
        difference / math.sqrt((a.variance + b.variance) / 2),
        ours.power,
    )
    return told, tested


def score(*, answers: list[Analysis], truths: list[Truth]) -> dict[str, float]:
    """What the served rule did, and whether the intervals of the last look hold the truth."""
    found: list[str | None] = [each.decision for each in answers]
    last = max(truth["look"] for truth in truths)
    ends = [
        (answer, truth["effect"])
        for answer, truth in zip(answers, truths, strict=True)
        if truth["look"] == last
    ]
    metrics = judged(courses(truths, found))
    metrics["coverage_at_the_end"] = share(
        [bool(within(each.confidence_low, each.confidence_high, effect)) for each, effect in ends]
    )
    holds = [
        within(answer.always_valid_low, answer.always_valid_high, truth["effect"])
        for answer, truth in zip(answers, truths, strict=True)
    ]
    missed = {truth["series"] for truth, held in zip(truths, holds, strict=True) if held is False}
    metrics["coverage_at_every_look"] = 1 - len(missed) / len({each["series"] for each in truths})
    metrics["without_interval"] = share([held is None for held in holds])
    return metrics


def within(low: float | None, high: float | None, value: float) -> bool | None:
    """None where there is no interval: that neither holds the truth nor misses it."""
    return None if low is None or high is None else low <= value <= high


COLOURS = {
    "baseline": plots.INK,
    "probability": "#d1793b",
    "always_valid": "#8a5fa8",
    "bonferroni": "#7a8f3c",
    "one_look_at_the_end": plots.PALE,
}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    from .data import EXAMPLES  # `fit` does not depend on data.py

    yield "looks", looks_taken(evaluation)
    yield "intervals", intervals(evaluation)
    yield "posterior", posterior(EXAMPLES[0])
    yield "sizes", sizes(EXAMPLES[0])


def looks_taken(evaluation: Evaluation) -> Figure:
    """What share of the test experiments each rule has decided by each look."""
    truths = evaluation.test.truths
    alpha = max(each.alpha for each in evaluation.test.records)
    looks = max(truth["look"] for truth in truths)
    figure, (left, right) = plots.panels(2)
    for name, rule in rules(looks).items():
        if name not in COLOURS and name != evaluation.chosen:
            continue
        said = decisions(name, rule, evaluation.test.records, evaluation.answers, truths)
        told = courses(truths, said)
        same = [each for each in told if each.better == "same"]
        planted = [each for each in told if each.better != "same"]
        for axes, part in ((left, same), (right, planted)):
            by = [100 * decided_by(part, look) for look in range(looks)]
            label = name.replace("_", " ")
            colour = COLOURS.get(name, plots.ACCENT)
            # Its course is nearly the baseline's, which shows in the gaps.
            style = "o--" if name == "probability" else "o-"
            axes.plot(range(1, looks + 1), by, style, markersize=3, color=colour, label=label)
    left.axhline(100 * alpha, color=plots.INK, linestyle=":", linewidth=0.8)
    left.set(xlabel="look", ylabel="experiments, %")
    left.set_ylim(top=1.45 * left.get_ylim()[1])  # room for six names above the curves
    left.legend(frameon=False, fontsize=7, loc="upper left", ncols=2)
    left.set_title("No difference, and yet one declared by then")
    right.set(xlabel="look", ylabel="experiments, %", ylim=(0, 102))
    right.set_title("A difference planted, and declared by then")
    return figure


def decided_by(found: list[Course], look: int) -> float:
    return share([each.decided is not None and each.decided <= look for each in found])


def intervals(evaluation: Evaluation) -> Figure:
    """Two test experiments over time: one without a difference that peeking would have called."""
    rows: dict[int, list[tuple[Truth, Analysis]]] = {}
    for truth, answer in zip(evaluation.test.truths, evaluation.answers, strict=True):
        rows.setdefault(truth["series"], []).append((truth, answer))
    for each in rows.values():
        each.sort(key=lambda pair: pair[0]["look"])

    def of(better: Callable[[str], bool], called: bool) -> list[tuple[Truth, Analysis]]:
        """The first such series of rates, one with an early p-value below 5 % if there is one."""
        kind = [
            each
            for each in rows.values()
            if better(each[0][0]["better"]) and each[0][0]["outcome"].startswith("retention")
        ]
        early = [each for each in kind if any((told.p_value or 1) < 0.05 for _, told in each[:-1])]
        return (early if called and early else kind)[0]

    figure, axes = plots.panels(2)
    shown = {
        "No difference, but p < 0.05 on the way": of(lambda better: better == "same", True),
        "A planted difference": of(lambda better: better == "b", False),
    }
    for panel, (title, series) in zip(axes, shown.items(), strict=True):
        over_time(panel, series)
        panel.set_title(title)
    return figure


def over_time(axes: Axes, series: list[tuple[Truth, Analysis]]) -> None:
    told = [answer for _, answer in series]
    looks = [truth["look"] for truth, _ in series]
    always = [(each.always_valid_low or 0.0, each.always_valid_high or 0.0) for each in told]
    single = [(each.credible_low or 0.0, each.credible_high or 0.0) for each in told]
    axes.fill_between(
        looks,
        [100 * low for low, _ in always],
        [100 * high for _, high in always],
        color=plots.PALE,
        alpha=0.5,
        label="interval for every look",
    )
    axes.fill_between(
        looks,
        [100 * low for low, _ in single],
        [100 * high for _, high in single],
        color=plots.ACCENT,
        alpha=0.4,
        label="credible interval, one look",
    )
    axes.plot(looks, [100 * each.difference for each in told], color=plots.INK, label="difference")
    axes.axhline(100 * series[0][0]["effect"], color="#d1793b", linestyle="--", label="the truth")
    axes.axhline(0, color=plots.INK, linewidth=0.6)
    axes.set(xlabel="look", ylabel="b less a, percentage points")
    axes.legend(frameon=False, fontsize=7)


def posterior(experiment: Experiment) -> Figure:
    """The real experiment: posterior densities of both rates and of their difference."""
    a, b = samples(experiment)
    yes = experiment.a_successes or 0, experiment.b_successes or 0
    betas = [
        stats.beta(count + 0.5, each.n - count + 0.5)
        for count, each in zip(yes, (a, b), strict=True)
    ]
    answer = analyse(experiment, Rule("always_valid"))
    figure, (left, right) = plots.panels(2)
    ends = min(each.ppf(1e-5) for each in betas), max(each.isf(1e-5) for each in betas)
    rates = np.linspace(*ends, 300)
    names = ("a: gate at level 30", "b: gate at level 40")
    for each, name, colour in zip(betas, names, (plots.INK, plots.ACCENT), strict=True):
        left.plot(100 * rates, each.pdf(rates) / 100, color=colour, label=name)
        left.fill_between(100 * rates, each.pdf(rates) / 100, color=colour, alpha=0.15)
    left.set(xlabel="players back after 7 days, %", ylabel="posterior density")
    left.set_ylim(top=1.4 * max(each.pdf(rates).max() for each in betas) / 100)
    left.legend(frameon=False, fontsize=8, loc="upper left")
    left.set_title("Cookie Cats: retention after a week")
    centre = betas[1].mean() - betas[0].mean()
    spread = math.hypot(*(each.std() for each in betas))
    steps = np.linspace(centre - 4.5 * spread, centre + 4.5 * spread, 300)
    grid = np.linspace(betas[0].ppf(1e-12), betas[0].isf(1e-12), 2001)
    weights = betas[0].pdf(grid) * (grid[1] - grid[0])
    density = np.array([weights @ betas[1].pdf(grid + step) for step in steps])
    right.plot(100 * steps, density / 100, color=plots.ACCENT)
    low, high = answer.credible_low or 0.0, answer.credible_high or 0.0
    inside = (steps >= low) & (steps <= high)
    right.fill_between(
        100 * steps[inside],
        density[inside] / 100,
        color=plots.ACCENT,
        alpha=0.3,
        label=f"95 % credible: {100 * low:.2f} to {100 * high:.2f}",
    )
    right.axvline(0, color=plots.INK, linewidth=0.8)
    right.set_ylim(0, 1.25 * density.max() / 100)
    right.set(xlabel="b less a, percentage points", ylabel="posterior density")
    right.legend(frameon=False, fontsize=8)
    right.set_title(f"P(b better) = {answer.probability_b_better:.4f}, p = {answer.p_value:.4f}")
    return figure


def sizes(experiment: Experiment) -> Figure:
    """Power by the size of the arms, and the size that a smallest effect needs."""
    rate = samples(experiment)[0].mean
    figure, (left, right) = plots.panels(2)
    arms = np.geomspace(300, 300_000, 120)
    for effect, colour in ((0.005, plots.INK), (0.01, plots.ACCENT), (0.02, "#d1793b")):
        reached = [
            power.two_proportions(rate, effect, sizes=(int(n), int(n)), alpha=0.05) or 0.0
            for n in arms
        ]
        left.plot(arms, reached, color=colour, label=f"effect {100 * effect:g} points")
    left.axhline(0.8, color=plots.PALE, linestyle=":")
    left.set(xscale="log", xlabel="players an arm", ylabel="power")
    left.legend(frameon=False, fontsize=8)
    left.set_title(f"Power at a rate of {100 * rate:.1f} %, alpha 0.05")
    effects = np.geomspace(0.002, 0.05, 60)
    for wanted, colour in ((0.8, plots.ACCENT), (0.95, plots.INK)):
        needed = [
            sample_size.two_proportions(rate, float(effect), power=wanted, alpha=0.05) or math.nan
            for effect in effects
        ]
        right.plot(100 * effects, needed, color=colour, label=f"power {wanted:g}")
    right.set(xscale="log", yscale="log")
    right.xaxis.set_major_locator(FixedLocator([0.2, 0.5, 1, 2, 5]))
    right.xaxis.set_major_formatter("{x:g}")
    right.xaxis.set_minor_locator(NullLocator())
    right.set(xlabel="smallest effect, percentage points", ylabel="players an arm")
    right.legend(frameon=False, fontsize=8)
    right.set_title("Sample size for power")
    return figure

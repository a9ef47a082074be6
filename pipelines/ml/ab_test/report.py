"""Error rates and interval coverage of the served rule on the test experiments, and pictures.

The pictures show looks, intervals, posterior and sample sizes.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from scipy import stats

from slipway.reporting import Evaluation, plots
from slipway.statistics import power, sample_size

from .model import Analysis, Experiment, Rule, analyse
from .stopping import Truth, courses, decisions, error_rates, rules

# What really came of moving the first gate from level 30 (a) to 40 (b): whether players came back
# after a week and a day, and the logarithm of 1 + the rounds they played. In six digits, as which
# the documentation shows them.
ARMS: dict[str, Any] = {"a_size": 44_700, "b_size": 45_489}
RETENTION_7: dict[str, Any] = {"a_successes": 8_502, "b_successes": 8_279}
RETENTION_1: dict[str, Any] = {"a_successes": 20_034, "b_successes": 20_119}
LOG_ROUNDS: dict[str, Any] = {
    "a_mean": 2.88891,
    "b_mean": 2.87074,
    "a_variance": 2.24484,
    "b_variance": 2.27754,
}
EXAMPLES = [
    Experiment(kind="rates", **ARMS, **RETENTION_7, smallest_effect=0.01),
    Experiment(kind="rates", **ARMS, **RETENTION_1, smallest_effect=0.01, watched=True),
    Experiment(kind="means", **ARMS, **LOG_ROUNDS, smallest_effect=0.05),
]

COLOURS = {
    "baseline": plots.INK,
    "probability": "#d1793b",
    "always_valid": "#8a5fa8",
    "bonferroni": "#7a8f3c",
    "one_look_at_the_end": plots.PALE,
}


def told_by_look(answers: list[Analysis], truths: list[Truth]) -> pd.DataFrame:
    """A row a look, in order: what was told of it, beside what was planted."""
    told = pd.DataFrame([each.model_dump() for each in answers]).join(pd.DataFrame(truths))
    return told.sort_values("look", kind="stable", ignore_index=True)


def score(*, answers: list[Analysis], truths: list[Truth]) -> dict[str, float]:
    """What the served rule did, and whether the intervals of the last look hold the truth."""
    told = told_by_look(answers, truths)

    def holds(interval: str) -> pd.Series:
        low, high = (told[f"{interval}_{end}"].astype(float) for end in ("low", "high"))
        return told["effect"].between(low, high)

    # That neither holds the truth nor misses it.
    without = told["always_valid_low"].isna()
    missed = told.loc[~without & ~holds("always_valid"), "series"]
    return error_rates(courses(truths, [each.decision for each in answers])) | {
        "coverage_at_the_end": float(
            holds("confidence")[told["look"] == told["look"].max()].mean()
        ),
        "coverage_at_every_look": 1 - missed.nunique() / told["series"].nunique(),
        "without_interval": float(without.mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "looks", looks_taken(evaluation)
    yield "intervals", intervals(evaluation)
    yield "posterior", posterior(EXAMPLES[0])
    yield "sizes", sizes(EXAMPLES[0])


def looks_taken(evaluation: Evaluation) -> Figure:
    """What share of the test experiments each rule has decided by each look."""
    records, truths = evaluation.test.records, evaluation.test.truths
    looks = range(1, max(truth["look"] for truth in truths) + 1)
    figure, (left, right) = plots.panels(2)
    for name, rule in rules(len(looks)).items():
        if name not in COLOURS and name != evaluation.chosen:
            continue
        told = courses(truths, decisions(name, rule, records, evaluation.answers, truths))
        same = told["better"] == "same"
        # Its course is nearly the baseline's, which shows in the gaps.
        style = "o--" if name == "probability" else "o-"
        options: dict[str, Any] = {"color": COLOURS.get(name, plots.ACCENT), "markersize": 3}
        for axes, part in ((left, told[same]), (right, told[~same])):
            by = [100 * (part["at"] <= look).mean() for look in looks]
            axes.plot(looks, by, style, label=name.replace("_", " "), **options)
    alpha = max(each.alpha for each in records)
    left.axhline(100 * alpha, color=plots.INK, linestyle=":", linewidth=0.8)
    for axes, title in (
        (left, "No difference, and yet one declared by then"),
        (right, "A difference planted, and declared by then"),
    ):
        axes.set(xlabel="look", ylabel="experiments, %", title=title)
    left.set_ylim(top=1.45 * left.get_ylim()[1])  # room for six names above the curves
    left.legend(fontsize=7, loc="upper left", ncols=2)
    right.set_ylim(0, 102)
    return figure


def intervals(evaluation: Evaluation) -> Figure:
    """Two test experiments over time: one without a difference that peeking would have called."""
    told = told_by_look(evaluation.answers, evaluation.test.truths)
    rates = told[told["outcome"].str.startswith("retention")]
    early = rates.loc[(rates["p_value"] < 0.05) & (rates["look"] < rates["look"].max()), "series"]
    same, planted = (rates[rates["better"] == better] for better in ("same", "b"))
    called = same[same["series"].isin(early)]
    shown = {
        "No difference, but p < 0.05 on the way": same if called.empty else called,
        "A planted difference": planted,
    }
    bands = {
        "always_valid": ("interval for every look", plots.PALE, 0.5),
        "credible": ("credible interval, one look", plots.ACCENT, 0.4),
    }
    figure, panels = plots.panels(2)
    for axes, (title, kind) in zip(panels, shown.items(), strict=True):
        series = kind[kind["series"] == kind["series"].iloc[0]]
        for name, (label, colour, alpha) in bands.items():
            low, high = (100 * series[f"{name}_{end}"].astype(float) for end in ("low", "high"))
            axes.fill_between(series["look"], low, high, color=colour, alpha=alpha, label=label)
        axes.plot(series["look"], 100 * series["difference"], color=plots.INK, label="difference")
        effect = 100 * series["effect"].iloc[0]
        axes.axhline(effect, color="#d1793b", linestyle="--", label="the truth")
        axes.axhline(0, color=plots.INK, linewidth=0.6)
        axes.set(xlabel="look", ylabel="b less a, percentage points", title=title)
        axes.legend(fontsize=7)
    return figure


def posterior(experiment: Experiment) -> Figure:
    """The real experiment: posterior densities of both rates and of their difference."""
    a, b = betas = [stats.beta(yes + 0.5, no + 0.5) for yes, no in experiment.table]
    figure, (left, right) = plots.panels(2)
    rates = np.linspace(
        min(each.ppf(1e-5) for each in betas), max(each.isf(1e-5) for each in betas), 300
    )
    names = {"a: gate at level 30": plots.INK, "b: gate at level 40": plots.ACCENT}
    for each, (name, colour) in zip(betas, names.items(), strict=True):
        left.plot(100 * rates, each.pdf(rates) / 100, color=colour, label=name)
        left.fill_between(100 * rates, each.pdf(rates) / 100, color=colour, alpha=0.15)
    left.set(
        xlabel="players back after 7 days, %",
        ylabel="posterior density",
        title="Cookie Cats: retention after a week",
    )
    left.set_ylim(top=1.4 * max(each.pdf(rates).max() for each in betas) / 100)
    left.legend(fontsize=8, loc="upper left")
    centre, reach = b.mean() - a.mean(), 4.5 * math.hypot(a.std(), b.std())
    steps = np.linspace(centre - reach, centre + reach, 300)
    grid = np.linspace(a.ppf(1e-12), a.isf(1e-12), 2001)
    weights = a.pdf(grid) * (grid[1] - grid[0])
    density = np.array([weights @ b.pdf(grid + step) for step in steps]) / 100
    right.plot(100 * steps, density, color=plots.ACCENT)
    answer = analyse(experiment, Rule("always_valid"))
    low, high = answer.credible_low or 0.0, answer.credible_high or 0.0
    right.fill_between(
        100 * steps,
        density,
        where=(steps >= low) & (steps <= high),
        color=plots.ACCENT,
        alpha=0.3,
        label=f"95 % credible: {100 * low:.2f} to {100 * high:.2f}",
    )
    right.axvline(0, color=plots.INK, linewidth=0.8)
    right.set(
        xlabel="b less a, percentage points",
        ylabel="posterior density",
        ylim=(0, 1.25 * density.max()),
        title=f"P(b better) = {answer.probability_b_better:.4f}, p = {answer.p_value:.4f}",
    )
    right.legend(fontsize=8)
    return figure


def sizes(experiment: Experiment) -> Figure:
    """Power by the size of the arms, and the size that a smallest effect needs."""
    rate = experiment.arms[0].mean
    figure, (left, right) = plots.panels(2)
    arms = np.geomspace(300, 300_000, 120)
    for effect, colour in ((0.005, plots.INK), (0.01, plots.ACCENT), (0.02, "#d1793b")):
        reached = [
            power.two_proportions(rate, effect, sizes=(int(n), int(n)), alpha=0.05) or 0.0
            for n in arms
        ]
        left.plot(arms, reached, color=colour, label=f"effect {100 * effect:g} points")
    left.axhline(0.8, color=plots.PALE, linestyle=":")
    title = f"Power at a rate of {100 * rate:.1f} %, alpha 0.05"
    left.set(xscale="log", xlabel="players an arm", ylabel="power", title=title)
    effects = np.geomspace(0.002, 0.05, 60)
    for wanted, colour in ((0.8, plots.ACCENT), (0.95, plots.INK)):
        needed = [
            sample_size.two_proportions(rate, float(effect), power=wanted, alpha=0.05) or math.nan
            for effect in effects
        ]
        right.plot(100 * effects, needed, color=colour, label=f"power {wanted:g}")
    right.set(
        xscale="log",
        yscale="log",
        xlabel="smallest effect, percentage points",
        ylabel="players an arm",
        title="Sample size for power",
    )
    right.xaxis.set_major_locator(FixedLocator([0.2, 0.5, 1, 2, 5]))
    right.xaxis.set_major_formatter("{x:g}")
    right.xaxis.set_minor_locator(NullLocator())
    for axes in (left, right):
        axes.legend(fontsize=8)
    return figure

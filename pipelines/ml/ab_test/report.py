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
from slipway.training.resampled import RowMetric
from slipway.training.selection import bootstrap_interval

from .model import UNDECIDED, Analysis, Experiment, Findings, Rule, analyse
from .stopping import Label, courses, decisions, error_rates, rules

# The real results of moving the first gate from level 30 (a) to 40 (b): whether players came back
# after a week and a day, and the logarithm of 1 + the rounds they played. They have six digits, as
# in the documentation.
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


def looks_with_labels(predictions: list[Analysis], labels: list[Label]) -> pd.DataFrame:
    """Return a row per look, in order, with the columns of its analysis and of its label."""
    table = pd.DataFrame([each.model_dump() for each in predictions]).join(pd.DataFrame(labels))
    return table.sort_values("look", kind="stable", ignore_index=True)


def score(*, predictions: list[Analysis], labels: list[Label]) -> dict[str, float]:
    """Return the error rates of the served rule, and the coverage of its intervals."""
    table = looks_with_labels(predictions, labels)

    def covers(interval: str) -> pd.Series:
        low, high = (table[f"{interval}_{end}"].astype(float) for end in ("low", "high"))
        return table["effect"].between(low, high)

    # A look without an interval neither covers the effect nor misses it.
    without = table["always_valid_low"].isna()
    missed = table.loc[~without & ~covers("always_valid"), "series"]
    found = courses(labels, [each.decision for each in predictions])
    # The baseline declares a difference at the first p-value below alpha.
    naive, alpha = Rule("p_value"), Experiment.model_fields["alpha"].default
    early: list[str | None] = [
        naive.decides(Findings(each.difference, each.p_value, None, None), alpha)
        for each in predictions
    ]
    low, high = bootstrap_interval(error_of(found), len(found), seed=0)
    return error_rates(found) | {
        # Over experiments, since the looks at one experiment depend on each other.
        "error_low": low,
        "error_high": high,
        **{
            f"baseline_{name}": value
            for name, value in error_rates(courses(labels, early)).items()
            if name in ("error", "false_alarm", "power")
        },
        "coverage_at_the_end": float(
            covers("confidence")[table["look"] == table["look"].max()].mean()
        ),
        "coverage_at_every_look": 1 - missed.nunique() / table["series"].nunique(),
        "without_interval": float(without.mean()),
    }


def error_of(found: pd.DataFrame) -> RowMetric:
    """Return the error rate as a function of the numbers of experiments in `found`."""
    same, declared, better = (
        (found["better"] == "same").to_numpy(),
        found["declared"].to_numpy(),
        found["better"].to_numpy(),
    )
    alarm, missed = declared != UNDECIDED, declared != better

    def error(rows: np.ndarray) -> float:
        alike = same[rows]
        parts = alarm[rows][alike], missed[rows][~alike]
        return float(sum(each.mean() for each in parts if len(each))) / 2

    return error


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "looks", looks_taken(evaluation)
    yield "intervals", intervals(evaluation)
    yield "posterior", posterior(EXAMPLES[0])
    yield "sizes", sizes(EXAMPLES[0])


def looks_taken(evaluation: Evaluation) -> Figure:
    """Draw the share of test experiments that each rule has decided by each look."""
    records, labels = evaluation.test.records, evaluation.test.labels
    looks = range(1, max(label["look"] for label in labels) + 1)
    figure, (left, right) = plots.panels(2)
    for name, rule in rules(len(looks)).items():
        if name not in COLOURS and name != evaluation.chosen:
            continue
        table = courses(labels, decisions(name, rule, records, evaluation.predictions, labels))
        same = table["better"] == "same"
        # Dashed, since the baseline's curve lies under it and shows in the gaps.
        style = "o--" if name == "probability" else "o-"
        options: dict[str, Any] = {"color": COLOURS.get(name, plots.ACCENT), "markersize": 3}
        for axes, part in ((left, table[same]), (right, table[~same])):
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
    """Draw the intervals of two test experiments over time.

    One has no difference, but peeking would have declared one.
    """
    table = looks_with_labels(evaluation.predictions, evaluation.test.labels)
    rates = table[table["outcome"].str.startswith("retention")]
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
    """Draw the posterior densities of both rates of the real experiment and of their difference."""
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
    result = analyse(experiment, Rule("always_valid"))
    low, high = result.credible_low or 0.0, result.credible_high or 0.0
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
        title=f"P(b better) = {result.probability_b_better:.4f}, p = {result.p_value:.4f}",
    )
    right.legend(fontsize=8)
    return figure


def sizes(experiment: Experiment) -> Figure:
    """Draw the power by size of the arms, and the size needed by smallest effect."""
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

"""Rules for stopping a watched experiment, by their false alarms and what they find.

Nothing is fitted: the candidates are methods, judged on experiments of known truth.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from scipy import stats

from slipway.statistics import power, sample_size
from slipway.training import Candidate, Evaluation, Examples, Fitted, plots

from .model import UNDECIDED, Analysis, Experiment, Findings, Rule, analyse
from .reference import reference

Truth = dict[str, Any]
# Units an arm at which the normal mixture is narrowest.
TIGHTEST = (300, 1_000, 3_000, 10_000)
# These need to know how often one will look; the served rule must hold however often it is.
COUNTED = ("bonferroni", "one_look_at_the_end")
COLOURS = {
    "baseline": plots.INK,
    "probability": "#d1793b",
    "always_valid": "#8a5fa8",
    "bonferroni": "#7a8f3c",
    "one_look_at_the_end": plots.PALE,
}


def rules(looks: int) -> dict[str, Rule]:
    """The first is what is done naively: to stop at the first p-value below alpha."""
    return {
        "baseline": Rule("p_value"),
        "probability": Rule("probability"),
        "always_valid": Rule("always_valid"),
        **{f"mixture_{units}": Rule("normal_mixture", tightest=units) for units in TIGHTEST},
        "bonferroni": Rule("p_value", looks),
        "one_look_at_the_end": Rule("p_value"),
    }


def decisions(
    name: str,
    rule: Rule,
    experiments: list[Experiment],
    answers: list[Analysis],
    truths: list[Truth],
) -> list[str | None]:
    """What `rule` says of each look, None where it does not look; of the answers it takes p-value
    and posterior only.
    """
    first = max(truth["look"] for truth in truths) if name == "one_look_at_the_end" else 1
    told: list[str | None] = []
    for experiment, answer, truth in zip(experiments, answers, truths, strict=True):
        found = Findings(
            answer.difference,
            answer.p_value,
            answer.probability_b_better,
            rule.sequence(experiment),
        )
        looked = truth["look"] >= first
        told.append(rule.decides(found, experiment.alpha) if looked else None)
    return told


def courses(truths: list[Truth], decisions: list[str | None]) -> pd.DataFrame:
    """A row an experiment: the arm that is `better`, how many `looks` were taken in any order, the
    arm that was `declared` to be better first, and `at` which look.
    """
    looks = pd.DataFrame(truths).assign(declared=pd.Series(decisions)).sort_values("look")
    first = looks[looks["declared"].isin(["a", "b"])].groupby("series")
    return (
        looks.groupby("series")
        .agg(better=("better", "first"), looks=("look", "max"))
        .join(first.agg(declared=("declared", "first"), at=("look", "first")))
        .fillna({"declared": UNDECIDED})
    )


def judged(found: pd.DataFrame) -> dict[str, float]:
    """Shares over experiments; `error` is the mean of false alarms and of what was not found."""
    same = found["better"] == "same"
    planted, declared = found[~same], found["declared"] != UNDECIDED
    right = planted["declared"] == planted["better"]
    false_alarm, found_rightly = float(declared[same].mean()), float(right.mean())
    return {
        "error": (false_alarm + 1 - found_rightly) / 2,
        "false_alarm": false_alarm,
        "power": found_rightly,
        "wrong_arm": float((declared[~same] & ~right).mean()),
        "sample_used": float((planted["at"] / planted["looks"]).fillna(1).mean()),
    }


def fit(*, train: Examples[Experiment, Truth], weights: Path, alpha: float) -> Fitted:
    """Choose, of the rules that keep `alpha` however often one looks, that of the least error."""
    answers = [analyse(each, Rule("always_valid")) for each in train.records]
    tried, all_rules = [], rules(max(truth["look"] for truth in train.truths))
    for name, rule in all_rules.items():
        told = decisions(name, rule, train.records, answers, train.truths)
        parameters = asdict(rule) | {"must_know_the_looks": name in COUNTED}
        tried.append(Candidate(name, judged(courses(train.truths, told)), parameters))

    def rank(candidate: Candidate) -> tuple[bool, float]:
        return candidate.metrics["false_alarm"] > alpha, candidate.metrics["error"]

    chosen = min((each for each in tried if each.name not in COUNTED), key=rank).name
    rule = all_rules[chosen]
    (weights / "rule.json").write_text(json.dumps(asdict(rule)) + "\n")

    def native(experiments: list[Experiment]) -> list[Analysis]:
        return [reference(each, rule) for each in experiments]

    return Fitted(tried, chosen, native)


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
    return judged(courses(truths, [each.decision for each in answers])) | {
        "coverage_at_the_end": float(
            holds("confidence")[told["look"] == told["look"].max()].mean()
        ),
        "coverage_at_every_look": 1 - missed.nunique() / told["series"].nunique(),
        "without_interval": float(without.mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    from .data import EXAMPLES  # `fit` does not depend on data.py

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

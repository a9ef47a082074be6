"""Stopping rules for a watched experiment, what each decides, and its error rates.

`fit` compares all rules on the training experiments; `evaluate` scores and draws them on the test
experiments.
"""

from typing import Any

import numpy as np
import pandas as pd

from .model import UNDECIDED, Analysis, Experiment, Findings, Rule

Label = dict[str, Any]
# Units per arm at which the normal mixture is narrowest.
TIGHTEST = (300, 1_000, 3_000, 10_000)
# These rules need the number of looks in advance; the served rule must hold for any number.
COUNTED = ("bonferroni", "one_look_at_the_end")


def rules(looks: int) -> dict[str, Rule]:
    """Return every rule by name; the baseline stops at the first p-value below alpha.

    From the simplest to the most complex: a rule without a parameter is simpler than one with a
    parameter; of two mixtures, the one that is narrowest at smaller arms is simpler.
    """
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
    analyses: list[Analysis],
    labels: list[Label],
) -> list[str | None]:
    """Return the decision of `rule` at each look, None if the rule skips the look.

    Only the p-value and the posterior are read from `analyses`.
    """
    first = max(label["look"] for label in labels) if name == "one_look_at_the_end" else 1
    decided: list[str | None] = []
    for experiment, analysis, label in zip(experiments, analyses, labels, strict=True):
        found = Findings(
            analysis.difference,
            analysis.p_value,
            analysis.probability_b_better,
            rule.sequence(experiment),
        )
        looked = label["look"] >= first
        decided.append(rule.decides(found, experiment.alpha) if looked else None)
    return decided


def courses(labels: list[Label], decisions: list[str | None]) -> pd.DataFrame:
    """Return a row for each experiment, given its looks in any order.

    The columns are `better` (the better arm), `looks` (their number), `declared` (the arm first
    declared better) and `at` (the look of that decision).
    """
    looks = pd.DataFrame(labels).assign(declared=pd.Series(decisions)).sort_values("look")
    first = looks[looks["declared"].isin(["a", "b"])].groupby("series")
    return (
        looks.groupby("series")
        .agg(better=("better", "first"), looks=("look", "max"))
        .join(first.agg(declared=("declared", "first"), at=("look", "first")))
        .fillna({"declared": UNDECIDED})
    )


def error_rates(found: pd.DataFrame) -> dict[str, float]:
    """Return error rates of the experiments in `found`, the result of `courses`.

    `error` is the mean of the shares of false alarms and of planted differences not found.
    """
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


def standard_error(found: pd.DataFrame) -> float:
    """Return the standard error of `error`, which is half the sum of two independent shares."""
    same = found["better"] == "same"
    alarms = found.loc[same, "declared"] != UNDECIDED
    missed = found.loc[~same, "declared"] != found.loc[~same, "better"]
    variances = [each.mean() * (1 - each.mean()) / len(each) for each in (alarms, missed)]
    return float(np.sqrt(np.sum(variances)) / 2)

"""Choice of the stopping rule for watched experiments, by its error on labelled experiments.

Nothing is fitted: the candidates are methods. Of the rules that keep `alpha` for any number of
looks, the simplest one within one standard error of the best is served.
"""

import json
from dataclasses import asdict
from pathlib import Path

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import simplest_within_error

from .model import Analysis, Experiment, Rule, analyse
from .reference import reference
from .stopping import COUNTED, Label, courses, decisions, error_rates, rules, standard_error


def fit(*, train: LabelledRows[Experiment, Label], weights: Path, alpha: float) -> Fitted:
    """Compare the rules on the training experiments, and write the chosen one."""
    analyses = [analyse(each, Rule("always_valid")) for each in train.records]
    tried, all_rules = [], rules(max(label["look"] for label in train.labels))
    for name, rule in all_rules.items():
        decided = decisions(name, rule, train.records, analyses, train.labels)
        found = courses(train.labels, decided)
        parameters = asdict(rule) | {"must_know_the_looks": name in COUNTED}
        metrics = error_rates(found) | {"error_se": standard_error(found)}
        tried.append(Candidate(name, metrics, parameters))
    chosen = choose(tried, alpha).name
    rule = all_rules[chosen]
    (weights / "rule.json").write_text(json.dumps(asdict(rule)) + "\n")

    def framework_predict(experiments: list[Experiment]) -> list[Analysis]:
        return [reference(each, rule) for each in experiments]

    return Fitted(tried, chosen, framework_predict)


def choose(tried: list[Candidate], alpha: float) -> Candidate:
    """Return the rule to serve; one with more false alarms than `alpha` only if none keeps it."""
    allowed = [each for each in tried if each.name not in COUNTED]
    kept = [each for each in allowed if each.metrics["false_alarm"] <= alpha]
    return simplest_within_error(kept or allowed, "error", best="lowest")

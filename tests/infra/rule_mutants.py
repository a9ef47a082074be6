"""Mutate rules in one place each, and check that the promtool cases fail."""

import copy
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# Outside a selector's braces, where `!=` and `=~` are matchers.
COMPARISON = re.compile(r"(?<![<>=!])(>=|<=|==|!=|>|<)(?![=~])(?![^{]*\})")
CONTRARY = {">": "<=", "<": ">=", ">=": "<", "<=": ">", "==": "!=", "!=": "=="}

Rule = dict[str, Any]


class CaseLoader(yaml.SafeLoader):
    """YAML as promtool's reader has it, for whom the series `0x20` is no hexadecimal number."""


CaseLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:int"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
CaseLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile("^-?[0-9]+$"), list("-0123456789")
)


@dataclass(frozen=True)
class Mutant:
    what: str
    rule: Rule


def name_of(rule: Rule) -> str:
    if "record" in rule:
        return str(rule["record"])
    return f"{rule['alert']} ({', '.join(map(str, rule['labels'].values()))})"


def mutants(rule: Rule) -> Iterator[Mutant]:
    """Yield the mutants of an alert or of a recording rule."""
    expr = rule["expr"]
    if "record" in rule:
        yield Mutant("twice the value", {**rule, "expr": f"2 * ({expr})"})
        return
    yield Mutant("never fires", {**rule, "expr": f"({expr}) and on () vector(1) == 0"})
    for found in COMPARISON.finditer(expr):
        contrary = CONTRARY[found[0]]
        changed = f"{expr[: found.start()]}{contrary}{expr[found.end() :]}"
        yield Mutant(f"{found[0]} at {found.start()} is {contrary}", {**rule, "expr": changed})
    clauses = expr.split("\n  and ")
    for clause in clauses if len(clauses) > 1 else []:
        left = "\n  and ".join(each for each in clauses if each != clause)
        yield Mutant(f"without {clause}", {**rule, "expr": left})
    if "for" in rule:
        yield Mutant("fires at once", {key: rule[key] for key in rule.keys() - {"for"}})
        yield Mutant("fires a day later", {**rule, "for": "1d"})


def survivors(promtool: Path, rule: Rule, rules: list[Rule], cases: list[Any], at: Path) -> list:
    """Return the mutants of `rule` for which no case fails.

    `rules` are all of its service, `cases` the contents of the test files. Only what concerns the
    rule is run: itself, the ratios that it reads, and of the expected alerts its own.

    Raises:
        AssertionError: the cases fail for the rule as it is.
    """
    read = [each for each in rules if each.get("record", "\0") in rule["expr"]]
    own = [_own(case, rule) for case in cases]
    candidates = [Mutant("as it is", rule), *mutants(rule)]
    files: list[list[Path]] = []
    for number, mutant in enumerate(candidates):
        group = {"name": "mutant", "rules": [*read, mutant.rule]}
        place = at / f"{number}-rules.yaml"
        place.write_text(yaml.safe_dump({"groups": [group]}))
        files.append([])
        for which, case in enumerate(each for each in own if each["tests"]):
            test = at / f"{number}-case-{which}.yaml"
            test.write_text(yaml.safe_dump({**case, "rule_files": [place.name]}))
            files[-1].append(test)
    if not files[0]:
        return ["no case names it"]
    failed = _failed(promtool, [file for each in files for file in each])
    assert not failed & set(files[0]), f"{name_of(rule)}: its cases fail as it is"
    return [
        mutant.what
        for mutant, tests in zip(candidates[1:], files[1:], strict=True)
        if not failed & set(tests)
    ]


def _own(case: Any, rule: Rule) -> Any:
    """Return the tests of a file that name the rule, reduced to their expectations on it."""
    kept = copy.deepcopy(case)
    for test in kept["tests"]:
        if "record" in rule:
            test.pop("alert_rule_test", None)
            test["promql_expr_test"] = [
                each
                for each in test.get("promql_expr_test", [])
                if re.search(rf"\b{re.escape(rule['record'])}\b", each["expr"])
            ]
            continue
        test.pop("promql_expr_test", None)
        test["alert_rule_test"] = [
            {**each, "exp_alerts": [one for one in each["exp_alerts"] if _is_alert_of(one, rule)]}
            for each in test.get("alert_rule_test", [])
            if each["alertname"] == rule["alert"]
        ]
    kept["tests"] = [
        test
        for test in kept["tests"]
        if test.get("alert_rule_test") or test.get("promql_expr_test")
    ]
    return kept


def _is_alert_of(expected: Any, rule: Rule) -> bool:
    return rule["labels"].items() <= expected["exp_labels"].items()


def _failed(promtool: Path, tests: list[Path]) -> set[Path]:
    done = subprocess.run(
        [promtool, "test", "rules", *tests], capture_output=True, text=True, timeout=600
    )
    # Each file's name goes to stdout with SUCCESS or, where it fails, FAILED.
    results = re.findall(r"Unit Testing:\s+(\S+)\n\s*(SUCCESS|FAILED)?", done.stdout)
    assert len(results) == len(tests), done.stdout + done.stderr
    return {Path(file) for file, outcome in results if outcome != "SUCCESS"}

"""A dashboard's runbook: its services' alerts, and which files to read."""

import re
from collections.abc import Iterator, Sequence

from infra.slo.objectives import ServiceObjectives, promises
from infra.slo.rules import burn_name, runbook_entry


def runbook(services: Sequence[str], reading: Sequence[str]) -> str:
    """Return the runbook as Markdown.

    Raises:
        KeyError: a service has no file in infra/slo.
    """
    known = {each.service: each for each in promises()}
    rows = [row for name in services for row in _rows(known[name])]
    files = [f"- `{each}`" for each in reading]
    table = ["| alert | severity | meaning | what to do |", "| --- | --- | --- | --- |", *rows]
    return "\n".join([*table, "", "Further reading in the repository:", "", *files, ""])


def _rows(promise: ServiceObjectives) -> Iterator[str]:
    for objective in promise.objectives:
        for burn in objective.burns:
            meaning = (
                f"the budget of {100 * objective.budget:g}% burns {burn.factor:g} times too fast, "
                f"over {burn.long} and over {burn.short}"
            )
            yield _row(burn_name(promise, objective), burn.severity, meaning)
    for alert in promise.alerts:
        meaning = _plain(alert.summary) + ("; training again can cure it" if alert.retrain else "")
        yield _row(alert.name, alert.severity, meaning)


def _row(alert: str, severity: str, meaning: str) -> str:
    return f"| {alert} | {severity} | {meaning} | `{runbook_entry(alert)}` |"


def _plain(summary: str) -> str:
    """Replace the values that Prometheus fills in by capitals."""
    labels = re.sub(r"{{ \$labels\.(\w+) }}", lambda found: found[1].upper(), summary)
    return re.sub(r"{{ \$value[^}]*}}", "N", labels)

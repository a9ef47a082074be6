"""Generate Prometheus' rules from a service's objectives.

Objectives become the multi-window, multi-burn-rate alerts of "The Site Reliability Workbook"
(Beyer et al., O'Reilly 2018), chapter 5, method 6, for each project separately.
"""

from typing import Any

from infra.slo.objectives import Alert, Burn, Duration, Objective, ServiceObjectives

BY = "sum by (project)"
RETRAIN = "retrain"
RUNBOOK = "docs/runbook.md"


def rules(promise: ServiceObjectives) -> dict[str, Any]:
    """Return a rule file's content: the recorded ratios of each objective, then the alerts."""
    groups = []
    for objective in promise.objectives:
        recorded = [
            {"record": recording(promise, objective, window), "expr": ratio(objective, window)}
            for window in objective.windows
        ]
        burns = [burn_alert(promise, objective, burn) for burn in objective.burns]
        groups.append({"name": f"{promise.service}-{objective.name}", "rules": recorded + burns})
    if promise.alerts:
        alerts = [alert_rule(promise, each) for each in promise.alerts]
        groups.append({"name": f"{promise.service}-alerts", "rules": alerts})
    return {"groups": groups}


def recording(promise: ServiceObjectives, objective: Objective, window: Duration) -> str:
    """Return the recorded series' name, level:metric:operations as Prometheus recommends."""
    return f"project:slipway_{promise.service}_{objective.name}_errors:ratio_rate{window}"


def ratio(objective: Objective, window: Duration) -> str:
    """Return the share of failed requests, 0 without errors; no series without requests."""
    total = _total(objective, "rate", window)
    # Some counters of errors exist only after the first error; until then there is none to divide.
    errors = f"{failed(objective, 'rate', window)} or {total} * 0"
    return f"({errors})\n  / ({total} > 0)"


def _total(objective: Objective, function: str, window: Duration) -> str:
    if objective.latency is not None:
        selector = _selector(f"{objective.latency.histogram}_count", objective.latency.matchers)
    else:
        assert objective.ratio is not None
        selector = objective.ratio.total
    return f"{BY} ({function}({selector}[{window}]))"


def failed(objective: Objective, function: str, window: Duration) -> str:
    """Return the failed requests; `function` is `rate` or `increase`."""
    if objective.latency is None:
        assert objective.ratio is not None
        return f"{BY} ({function}({objective.ratio.errors}[{window}]))"
    from prometheus_client.utils import floatToGoString

    latency = objective.latency
    bound = f'le="{floatToGoString(latency.seconds)}"'
    matchers = f"{bound},{latency.matchers}" if latency.matchers else bound
    quick = _selector(f"{latency.histogram}_bucket", matchers)
    return f"({_total(objective, function, window)} - {BY} ({function}({quick}[{window}])))"


def _selector(metric: str, matchers: str) -> str:
    return f"{metric}{{{matchers}}}" if matchers else metric


def burn_alert(promise: ServiceObjectives, objective: Objective, burn: Burn) -> dict[str, Any]:
    over = f"> {burn.factor:g} * {objective.budget:g}"
    conditions = [
        f"{recording(promise, objective, burn.long)} {over}",
        f"{recording(promise, objective, burn.short)} {over}",
        f"{failed(objective, 'increase', burn.long)} >= {objective.least_errors}",
    ]
    return {
        "alert": burn_name(promise, objective),
        "expr": "\n  and ".join(conditions),
        "labels": {
            "service": promise.service,
            "severity": burn.severity,
            "window": burn.long,
        },
        "annotations": annotations(burn_name(promise, objective), _summary(objective, burn)),
    }


def burn_name(promise: ServiceObjectives, objective: Objective) -> str:
    """Return the alerts' name; there is one alert per burn, distinguished by the label `window`."""
    words = (promise.service, *objective.name.split("_"))
    return "".join(word.capitalize() for word in words) + "Burn"


def annotations(alert: str, summary: str) -> dict[str, str]:
    """Return an alert's annotations: what is wrong, and where to read what to do."""
    return {"summary": summary, "runbook": runbook_entry(alert)}


def runbook_entry(alert: str) -> str:
    """Return a path in this repository, with the anchor of the alert's heading."""
    return f"{RUNBOOK}#{alert.lower()}"


def _summary(objective: Objective, burn: Burn) -> str:
    latency = objective.latency
    wrong = f"responses took over {latency.seconds:g} s" if latency else "requests failed"
    return (
        f"{{{{ $labels.project }}}}: in {burn.long} {{{{ $value | humanizePercentage }}}} of the "
        f"{wrong}; the objective allows {100 * objective.budget:g}%"
    )


def alert_rule(promise: ServiceObjectives, alert: Alert) -> dict[str, Any]:
    labels = {"service": promise.service, "severity": alert.severity}
    return {
        "alert": alert.name,
        "expr": alert.expr.strip(),
        **({"for": alert.lasts} if alert.lasts else {}),
        "labels": labels | ({"action": RETRAIN} if alert.retrain else {}),
        "annotations": annotations(alert.name, alert.summary),
    }

"""The dashboard on error budgets: how much is left, and how fast they burn."""

from infra.grafana.dashboard import OF_PREDICT, Dashboard, Row
from infra.grafana.objective import restrict
from infra.grafana.panel import Panel, Query
from infra.grafana.promql import PROJECT
from infra.slo.objectives import BURNS, Objective, ServiceObjectives, promises
from infra.slo.rules import failed, ratio, recording

PERIOD = "30d"
SLOW, FAST, FASTEST = sorted(burn.factor for burn in BURNS)


def left(objective: Objective) -> Panel:
    share = ratio(restrict(objective), PERIOD)
    return Panel(
        title=f"Budget left: {objective.name}",
        description=f"Share left of the {100 * objective.budget:g}% that may fail in 30 days, "
        f"or since "
        "Prometheus started. Below 0 the objective is missed.",
        unit="percentunit",
        kind="bargauge",
        queries=(Query(expr=f"1 - ({share}) / {objective.budget:g}", legend="{{project}}"),),
        base="red",
        thresholds=((0, "orange"), (0.25, "yellow"), (0.5, "green")),
        least=None,
        most=1,
        width=6,
    )


def rates(promise: ServiceObjectives, objective: Objective) -> Panel:
    windows = ("5m", "1h", "6h", "3d")
    return Panel(
        title=f"Burn rate: {objective.name}",
        description=f"At 1 the budget lasts exactly 30 days. A page at {FASTEST:g} over 1 h and "
        f"5 min "
        f"or at {FAST:g} over 6 h and 30 min, a ticket at {SLOW:g} over 3 d and 6 h.",
        unit="none",
        queries=tuple(
            Query(
                expr=f"{recording(promise, objective, window)}{{{PROJECT}}} / {objective.budget:g}",
                legend=f"{{{{project}}}} over {window}",
            )
            for window in windows
        ),
        thresholds=((SLOW, "yellow"), (FAST, "orange"), (FASTEST, "red")),
        width=12,
    )


def counted(objective: Objective) -> Panel:
    return Panel(
        title=f"Failed in an hour: {objective.name}",
        description=f"Requests. Fewer than {objective.least_errors} raise no alert, whatever "
        "their share.",
        unit="short",
        queries=(Query(expr=failed(restrict(objective), "increase", "1h"), legend="{{project}}"),),
        thresholds=((objective.least_errors, "yellow"),),
        width=6,
    )


def objective_row(promise: ServiceObjectives, objective: Objective) -> Row:
    return Row(
        title=f"{promise.service}: {objective.percent:g}% {objective.name}",
        panels=(left(objective), rates(promise, objective), counted(objective)),
    )


ALARMS = Row(
    title="Alerts",
    panels=(
        Panel(
            title="Firing now",
            description="Every alert that fires, with its labels. Retraining can cure those "
            "with the "
            "action `retrain`; Alertmanager sends them to the trainer.",
            unit="none",
            kind="table",
            queries=(
                Query(
                    expr="count by (alertname, severity, service, project, window, action) "
                    '(ALERTS{alertstate="firing"})'
                ),
            ),
            width=12,
        ),
        Panel(
            title="Firing and pending over time",
            description="By alert. A pending alert has not yet lasted for its required time.",
            unit="short",
            queries=(
                Query(
                    expr="count by (alertname, alertstate) (ALERTS)",
                    legend="{{alertname}} {{alertstate}}",
                ),
            ),
            stacked=True,
            width=12,
        ),
    ),
)
DASHBOARD = Dashboard(
    name="burn",
    title="Slipway: SLO burn",
    description="The objectives in infra/slo, and how much of the error budgets is left.",
    variables=(OF_PREDICT,),
    services=("predict",),
    reading=("infra/prometheus/README.md#from-an-objective-to-a-rule", "infra/slo/predict.yaml"),
    rows=(
        *(objective_row(promise, each) for promise in promises() for each in promise.objectives),
        ALARMS,
    ),
    hours=24,
)

"""How much of each objective's budget of errors is left, and how fast it burns."""

from slipway.grafana.dashboard import OF_PREDICT, Dashboard, Row
from slipway.grafana.objective import chosen
from slipway.grafana.panel import Panel, Query
from slipway.grafana.promql import PROJECT
from slipway.slo.objectives import BURNS, Objective, Promise, promises
from slipway.slo.rules import failed, ratio, recording

PERIOD = "30d"
SLOW, FAST, FASTEST = sorted(burn.factor for burn in BURNS)


def left(objective: Objective) -> Panel:
    share = ratio(chosen(objective), PERIOD)
    return Panel(
        title=f"Budget left: {objective.name}",
        description=f"Of the {100 * objective.budget:g}% that may go wrong in 30 days, or since "
        "Prometheus began. Below 0 the promise is broken.",
        unit="percentunit",
        kind="bargauge",
        queries=(Query(expr=f"1 - ({share}) / {objective.budget:g}", legend="{{project}}"),),
        base="red",
        thresholds=((0, "orange"), (0.25, "yellow"), (0.5, "green")),
        least=None,
        most=1,
        width=6,
    )


def rates(promise: Promise, objective: Objective) -> Panel:
    windows = ("5m", "1h", "6h", "3d")
    return Panel(
        title=f"Burn rate: {objective.name}",
        description=f"At 1 the budget just lasts 30 days. A page at {FASTEST:g} over 1 h and 5 min "
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
        title=f"Gone wrong in an hour: {objective.name}",
        description=f"Requests. Fewer than {objective.least_errors} raise no alert, whatever "
        "their share.",
        unit="short",
        queries=(Query(expr=failed(chosen(objective), "increase", "1h"), legend="{{project}}"),),
        thresholds=((objective.least_errors, "yellow"),),
        width=6,
    )


def of(promise: Promise, objective: Objective) -> Row:
    return Row(
        title=f"{promise.service}: {objective.percent:g}% {objective.name}",
        panels=(left(objective), rates(promise, objective), counted(objective)),
    )


ALARMS = Row(
    title="Alerts",
    panels=(
        Panel(
            title="Firing now",
            description="Every alert that fires, with what it is about. Training again can cure "
            "those with the action `retrain`: the trainer has them already.",
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
            description="By alert. A pending one has yet to last for its time.",
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
    description="What is promised in infra/slo, and how much of the error budgets is left.",
    variables=(OF_PREDICT,),
    services=("predict",),
    reading=("infra/prometheus/README.md#from-an-objective-to-a-rule", "infra/slo/predict.yaml"),
    rows=(
        *(of(promise, each) for promise in promises() for each in promise.objectives),
        ALARMS,
    ),
    hours=24,
)

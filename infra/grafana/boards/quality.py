"""The dashboard on model quality: performance compared with the test rows, and drift."""

from infra.grafana.dashboard import Dashboard, Row, Variable
from infra.grafana.panel import Panel, Query
from infra.grafana.promql import PROJECT, mean, rate, rise, worst

WINDOW = f'{PROJECT},window=~"$window"'
FIELD = "project, field, window"
EACH = "{{project}} {{field}} ({{window}})"

ALARMS = Row(
    title="Alarms",
    panels=(
        Panel(
            title="Drift alarm",
            description="1 while a field of the project is drifted. After 10 minutes the "
            "trainer is "
            "notified.",
            unit="bool_yes_no",
            kind="stat",
            queries=(
                Query(
                    expr=worst("slipway_monitor_drift_alarm", PROJECT, by="project"),
                    legend="{{project}}",
                ),
            ),
            thresholds=((1, "red"),),
            height=5,
            leads="training",
        ),
        Panel(
            title="Performance alarm",
            description="1 while a metric on late labels is significantly worse than on the "
            "test rows, by "
            "more than the margin.",
            unit="bool_yes_no",
            kind="stat",
            queries=(
                Query(
                    expr=worst("slipway_monitor_performance_alarm", PROJECT, by="project"),
                    legend="{{project}}",
                ),
            ),
            thresholds=((1, "red"),),
            height=5,
            leads="training",
        ),
        Panel(
            title="Since the last check",
            description="Time since a project's last completed check. Repeated failures alert "
            "as ProjectUnwatched.",
            unit="s",
            kind="stat",
            queries=(
                Query(
                    expr="time() - "
                    + worst("slipway_monitor_last_check_timestamp_seconds", PROJECT, by="project"),
                    legend="{{project}}",
                ),
            ),
            thresholds=((1800, "yellow"), (3600, "red")),
            height=5,
        ),
    ),
)
PERFORMANCE = Row(
    title="Performance on late labels",
    panels=(
        Panel(
            title="Metrics with their intervals",
            description="Of the champion, on the rows whose labels have arrived. The interval, "
            "not the "
            "value, decides on an alarm.",
            unit="none",
            queries=tuple(
                Query(
                    expr=worst(f"slipway_monitor_performance{end}", PROJECT, by="project, metric"),
                    legend=f"{{{{project}}}} {{{{metric}}}}{suffix}",
                )
                for end, suffix in (("", ""), ("_low", " low"), ("_high", " high"))
            ),
            least=None,
            width=12,
        ),
        Panel(
            title="Difference from the test rows",
            description="Metric on late labels minus the same metric on the version's test "
            "rows. Which "
            "direction is better depends on the metric: accuracy up, mae down.",
            unit="none",
            queries=(
                Query(
                    expr=worst("slipway_monitor_performance", PROJECT, by="project, metric")
                    + " - "
                    + worst("slipway_monitor_reference_performance", PROJECT, by="project, metric"),
                    legend="{{project}} {{metric}}",
                ),
            ),
            least=None,
            width=12,
        ),
        Panel(
            title="Labels received",
            description="Share of the mature rows whose label is known. A small share makes wide "
            "intervals.",
            unit="percentunit",
            queries=(
                Query(
                    expr=worst("slipway_monitor_labelled_share", PROJECT, by="project"),
                    legend="{{project}}",
                ),
            ),
            most=1,
            width=12,
        ),
        Panel(
            title="Labelled rows",
            description="Mature rows with a label, from which the metrics above are computed.",
            unit="short",
            queries=(
                Query(
                    expr=worst("slipway_monitor_labelled_rows", PROJECT, by="project"),
                    legend="{{project}}",
                ),
            ),
            width=12,
        ),
    ),
)


def fields_panel(metric: str, title: str, description: str, **more: object) -> Panel:
    queries = (Query(expr=worst(f"slipway_monitor_{metric}", WINDOW, by=FIELD), legend=EACH),)
    given = {"title": title, "description": description, "queries": queries}
    return Panel.model_validate({"unit": "percentunit", **given, **more})


DRIFT = Row(
    title="Drift",
    panels=(
        fields_panel(
            "drift_effect",
            "Distance of fields from the reference",
            "Wasserstein distance in standard deviations for numbers, Jensen-Shannon distance for "
            "categories.",
            unit="none",
        ),
        fields_panel(
            "drift_psi",
            "Population stability index",
            "By convention 0.1 is a small shift and 0.25 a large one; the alarm uses the effect "
            "and its "
            "significance instead.",
            unit="none",
            thresholds=((0.1, "yellow"), (0.25, "red")),
        ),
        fields_panel(
            "drifted",
            "Fields that drifted",
            "1 for a field whose effect is over its threshold and significant after Holm.",
            unit="none",
            kind="table",
        ),
        Panel(
            title="Share of fields that drifted",
            description="Of the inputs and of the predictions. Drift of predictions alone "
            "points to the "
            "model; drift of inputs to the traffic.",
            unit="percentunit",
            queries=tuple(
                Query(
                    expr=worst(f"slipway_monitor_{side}_drift_share", WINDOW, by="project, window"),
                    legend=f"{{{{project}}}} {side} ({{{{window}}}})",
                )
                for side in ("input", "prediction")
            ),
            most=1,
        ),
    ),
)
DATA = Row(
    title="Data quality",
    panels=(
        fields_panel(
            "missing_share", "Missing", "Share of the rows whose field is missing.", most=1
        ),
        fields_panel(
            "out_of_range_share",
            "Outside the reference's range",
            "Share of numbers outside the reference's minimum and maximum: another unit, or new "
            "data.",
            most=1,
        ),
        fields_panel(
            "new_category_share",
            "Categories that the reference lacks",
            "Share of values that do not occur in the reference.",
            most=1,
        ),
        fields_panel(
            "constant",
            "Stuck at one value",
            "1 for a field with one value in the window and several in the reference. If it "
            "also drifted, "
            "a feed is broken and retraining is held back.",
            unit="none",
            most=1,
        ),
    ),
)
FAIR = Row(
    title="Fairness",
    panels=(
        Panel(
            title="Gap between groups",
            description="Largest minus smallest value among the groups of a protected field "
            "that are "
            "large enough.",
            unit="none",
            queries=(
                Query(
                    expr=worst(
                        "slipway_monitor_fairness_gap", PROJECT, by="project, field, metric"
                    ),
                    legend="{{project}} {{field}} {{metric}}",
                ),
            ),
        ),
        Panel(
            title="Metrics by group",
            description="Of each group of a protected field: positive rate, mean prediction, "
            "accuracy.",
            unit="none",
            queries=(
                Query(
                    expr=worst(
                        "slipway_monitor_group_metric", PROJECT, by="project, field, group, metric"
                    ),
                    legend="{{project}} {{field}}={{group}} {{metric}}",
                ),
            ),
        ),
        Panel(
            title="Rows by group",
            description="In the time window. A small group's metrics vary by chance.",
            unit="short",
            queries=(
                Query(
                    expr=worst("slipway_monitor_group_rows", PROJECT, by="project, field, group"),
                    legend="{{project}} {{field}}={{group}}",
                ),
            ),
        ),
    ),
)
WATCH = Row(
    title="The monitor itself",
    panels=(
        Panel(
            title="Rows in the window",
            description="The champion's rows, and how many of them were sampled and compared.",
            unit="short",
            queries=tuple(
                Query(
                    expr=worst(f"slipway_monitor_{kind}_rows", WINDOW, by="project, window"),
                    legend=f"{{{{project}}}} {kind} ({{{{window}}}})",
                )
                for kind in ("window", "sampled")
            ),
        ),
        Panel(
            title="Checks by outcome",
            description="judged, too_few_rows, no_reference or failed; per second.",
            unit="ops",
            queries=(
                Query(
                    expr=rate("slipway_monitor_checks_total", PROJECT, by="project, outcome"),
                    legend="{{project}} {{outcome}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            title="Duration of a check",
            description="Mean by project. A round over millions of rows takes minutes.",
            unit="s",
            queries=(
                Query(
                    expr=mean("slipway_monitor_check_seconds", PROJECT, by="project"),
                    legend="{{project}}",
                ),
            ),
        ),
    ),
)
NOTICES = Row(
    title="Notifications",
    panels=(
        Panel(
            title="Calls of the webhook",
            description="About alarms, where no Alertmanager sends them (SLIPWAY_MONITOR_WEBHOOK). "
            "Failed calls are repeated with the next round.",
            unit="short",
            queries=(
                Query(
                    expr=rise("slipway_monitor_webhooks_total", by="outcome"),
                    legend="{{outcome}}",
                ),
            ),
            stacked=True,
        ),
    ),
)
DASHBOARD = Dashboard(
    name="quality",
    title="Slipway: model quality and drift",
    description="The monitor's results: performance on late labels, drift, data quality, fairness.",
    variables=(
        Variable(name="project", metric="slipway_monitor_drift_alarm"),
        Variable(name="window", metric=f"slipway_monitor_window_rows{{{PROJECT}}}"),
    ),
    services=("monitor",),
    reading=("services/monitor/README.md#alarms", "services/trainer/README.md#alerts"),
    rows=(ALARMS, PERFORMANCE, DRIFT, DATA, FAIR, WATCH, NOTICES),
    hours=24,
)

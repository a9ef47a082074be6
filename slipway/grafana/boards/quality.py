"""Whether the models are as good as on their test rows, and are asked what they learnt from."""

from slipway.grafana.dashboard import Dashboard, Row, Variable
from slipway.grafana.panel import Panel, Query
from slipway.grafana.promql import PROJECT, mean, rate, rise, worst

WINDOW = f'{PROJECT},window=~"$window"'
FIELD = "project, field, window"
EACH = "{{project}} {{field}} ({{window}})"

ALARMS = Row(
    title="Alarms",
    panels=(
        Panel(
            title="Drift alarm",
            description="1 while a field of the project is drifted. After 10 minutes the trainer "
            "is told.",
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
            description="1 while a metric on late labels is worse than on the test rows, beyond "
            "its interval and the margin.",
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
            description="Of each project, carried through. One that fails again and again alerts "
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
            description="Of the champion, on the rows whose truth came back. The interval, not "
            "the value, decides on an alarm.",
            unit="none",
            queries=tuple(
                Query(
                    expr=worst(f"slipway_monitor_performance{end}", PROJECT, by="project, metric"),
                    legend=f"{{{{project}}}} {{{{metric}}}}{told}",
                )
                for end, told in (("", ""), ("_low", " low"), ("_high", " high"))
            ),
            least=None,
            width=12,
        ),
        Panel(
            title="Difference from the test rows",
            description="Metric on late labels less the same on the version's test rows. Whether "
            "more is better is the metric's: accuracy up, mae down.",
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
            title="Labels that came back",
            description="Share of the mature rows whose truth is known. Little of it makes wide "
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
            description="Mature rows with a truth, that the metrics above are made of.",
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


def of_fields(metric: str, title: str, description: str, **more: object) -> Panel:
    queries = (Query(expr=worst(f"slipway_monitor_{metric}", WINDOW, by=FIELD), legend=EACH),)
    given = {"title": title, "description": description, "queries": queries}
    return Panel.model_validate({"unit": "percentunit", **given, **more})


DRIFT = Row(
    title="Drift",
    panels=(
        of_fields(
            "drift_effect",
            "How far fields lie from the reference",
            "Wasserstein distance in standard deviations for numbers, Jensen-Shannon distance for "
            "categories.",
            unit="none",
        ),
        of_fields(
            "drift_psi",
            "Population stability index",
            "By custom 0.1 is a small shift and 0.25 a large one; the alarm goes by the effect "
            "and its significance instead.",
            unit="none",
            thresholds=((0.1, "yellow"), (0.25, "red")),
        ),
        of_fields(
            "drifted",
            "Fields that drifted",
            "1 for a field whose effect is over its threshold and significant after Holm.",
            unit="none",
            kind="table",
        ),
        Panel(
            title="Share of fields that drifted",
            description="Of the record's fields and of the answer's. Answers alone point to the "
            "model, inputs to what it is asked.",
            unit="percentunit",
            queries=tuple(
                Query(
                    expr=worst(f"slipway_monitor_{side}_drift_share", WINDOW, by="project, window"),
                    legend=f"{{{{project}}}} {side} ({{{{window}}}})",
                )
                for side in ("input", "answer")
            ),
            most=1,
        ),
    ),
)
DATA = Row(
    title="Data quality",
    panels=(
        of_fields("missing_share", "Missing", "Share of the rows whose field is missing.", most=1),
        of_fields(
            "out_of_range_share",
            "Out of the reference's range",
            "Share of numbers below its least or above its largest: another unit, or a new world.",
            most=1,
        ),
        of_fields(
            "new_category_share",
            "Categories that the reference lacks",
            "Share of values that the model was never shown.",
            most=1,
        ),
        of_fields(
            "constant",
            "Stuck at one value",
            "1 for a field with one value in the window and several in the reference. If it "
            "drifted too, a feed is broken: retraining is held back.",
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
            description="Largest less smallest among the groups of a protected field that are "
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
            description="Of each group of a protected field: positive rate, mean answer, accuracy.",
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
            description="Of the champion; and how many of them were drawn and compared.",
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
            description="judged, too_few_rows, no_reference or failed; a second.",
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
            title="Time that a check takes",
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
TOLD = Row(
    title="Whom it tells",
    panels=(
        Panel(
            title="Notices to the webhook",
            description="Of alarms, where no Alertmanager tells of them (SLIPWAY_MONITOR_WEBHOOK). "
            "What failed is sent again with the next round.",
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
    description="What the monitor finds: performance on late labels, drift, data, fairness.",
    variables=(
        Variable(name="project", metric="slipway_monitor_drift_alarm"),
        Variable(name="window", metric=f"slipway_monitor_window_rows{{{PROJECT}}}"),
    ),
    services=("monitor",),
    reading=("services/monitor/README.md#alarms", "services/trainer/README.md#alerts"),
    rows=(ALARMS, PERFORMANCE, DRIFT, DATA, FAIR, WATCH, TOLD),
    hours=24,
)

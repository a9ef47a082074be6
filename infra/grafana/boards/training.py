"""The dashboard on training runs, what starts them, and what models cost to serve."""

from infra.grafana.dashboard import Dashboard, Row, Variable
from infra.grafana.panel import Panel, Query
from infra.grafana.promql import PROJECT, mean, rate, rise, worst

EACH = "{{project}}"
# The threshold of the alert TrainingStuck.
STUCK = 1800
RUNS = Row(
    title="Training runs",
    panels=(
        Panel(
            title="In progress",
            description="Runs by project. An operator has to end stuck ones.",
            unit="none",
            kind="stat",
            queries=(
                Query(expr=f"sum by (project) (slipway_trainer_running{{{PROJECT}}})", legend=EACH),
            ),
            width=6,
            height=5,
        ),
        Panel(
            title="Waiting",
            description="Runs that wait for a worker, and the number of workers.",
            unit="none",
            kind="stat",
            queries=(
                Query(expr="sum (slipway_trainer_queued)", legend="waiting"),
                Query(expr="sum (slipway_trainer_workers)", legend="workers"),
            ),
            width=6,
            height=5,
        ),
        Panel(
            title="Automatic runs left",
            description="Runs that alerts may still start in these 24 hours; at 0 only people "
            "can start runs.",
            unit="none",
            kind="stat",
            queries=(Query(expr="min (slipway_trainer_budget_left)"),),
            base="red",
            thresholds=((1, "yellow"), (2, "green")),
            width=6,
            height=5,
        ),
        Panel(
            title="Cooldown until the next automatic run",
            description="By project; 0 if an alert may start a run.",
            unit="s",
            kind="stat",
            queries=(
                Query(
                    expr=worst("slipway_trainer_cooldown_seconds", PROJECT, by="project"),
                    legend=EACH,
                ),
            ),
            width=6,
            height=5,
        ),
        Panel(
            title="Runs that ended in a day by outcome",
            description="succeeded, failed, cancelled and so on; `slipway runs list` has each.",
            unit="short",
            queries=(
                Query(
                    expr="sum by (project, outcome) "
                    f"(increase(slipway_trainer_runs_total{{{PROJECT}}}[1d]))",
                    legend="{{project}} {{outcome}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            title="Time since the last success and failure",
            description="If the failure is more recent than the success, TrainingFailed fires.",
            unit="dtdurations",
            queries=tuple(
                Query(
                    expr="time() - "
                    + worst(f"slipway_trainer_last_{end}_timestamp_seconds", PROJECT, by="project"),
                    legend=f"{EACH} {end}",
                )
                for end in ("success", "failure")
            ),
        ),
        Panel(
            title="Age, and time since progress",
            description="Of the run in progress. Half an hour without a line or a stage counts "
            "as stuck: "
            "TrainingStuck.",
            unit="s",
            queries=(
                Query(
                    expr=worst("slipway_trainer_running_seconds", PROJECT, by="project"),
                    legend=f"{EACH} age",
                ),
                Query(
                    expr=worst("slipway_trainer_seconds_since_progress", PROJECT, by="project"),
                    legend=f"{EACH} without progress",
                ),
            ),
            thresholds=((STUCK, "red"),),
        ),
    ),
)
WHY = Row(
    title="What starts them",
    panels=(
        Panel(
            title="Alerts received",
            description="Alerts about a project that came to the trainer.",
            unit="ops",
            queries=(Query(expr=rate("slipway_trainer_alerts_total")),),
        ),
        Panel(
            title="Decisions on alerts",
            description="`started`, or the reason why not: cooldown, budget, unknown project "
            "and so on.",
            unit="ops",
            queries=(
                Query(
                    expr=rate("slipway_trainer_decisions_total", PROJECT, by="project, outcome"),
                    legend="{{project}} {{outcome}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            title="Refused requests for a run",
            description="No valid key, a missing scope, the rate limit, or "
            "SLIPWAY_TRAINER_QUEUE runs "
            "waiting already.",
            unit="short",
            queries=(
                Query(expr=rise("slipway_trainer_refused_total", by="reason"), legend="{{reason}}"),
            ),
            stacked=True,
        ),
    ),
)
COST = Row(
    title="What models cost to serve",
    panels=(
        Panel(
            title="Model time for 1000 records",
            description="Core seconds by version, which determine how many machines are needed.",
            unit="s",
            queries=(
                Query(
                    expr="1000 * "
                    + rate("slipway_infer_seconds_sum", PROJECT, by="project, version")
                    + " / ("
                    + rate("slipway_rows_total", PROJECT, by="project, version")
                    + " > 0)",
                    legend="{{project}} v{{version}}",
                ),
            ),
        ),
        Panel(
            title="Cores used by models",
            description="By project, shadows included: a shadow costs as much as a champion.",
            unit="none",
            queries=(
                Query(
                    expr=rate("slipway_infer_seconds_sum", PROJECT, by="project, variant"),
                    legend="{{project}} {{variant}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            title="Memory of loaded models",
            description="Of all workers. Above SLIPWAY_PREDICT_MEMORY_BYTES models are evicted.",
            unit="bytes",
            queries=(
                Query(expr="sum by (instance) (slipway_loaded_bytes)", legend="{{instance}}"),
            ),
        ),
        Panel(
            title="Versions in memory",
            description="Workers that hold each version. Of several versions, the older one is "
            "outdated.",
            unit="none",
            kind="table",
            queries=(
                Query(
                    expr=f"sum by (project, version) (slipway_model_loaded{{{PROJECT}}})",
                ),
            ),
        ),
        Panel(
            title="Time to load a version",
            description="Mean. Models that are evicted for lack of memory take it again each time.",
            unit="s",
            queries=(Query(expr=mean("slipway_load_seconds")),),
        ),
        Panel(
            title="Isolated versions",
            description="1 for a version that runs in a separate process, since it would delay "
            "others.",
            unit="none",
            kind="table",
            queries=(Query(expr=worst("slipway_model_isolated", PROJECT, by="project, version")),),
        ),
    ),
)
DASHBOARD = Dashboard(
    name="training",
    title="Slipway: training and cost",
    description="Runs of the trainer, what starts them, and what the models cost to serve.",
    variables=(Variable(name="project", metric="slipway_trainer_running"),),
    services=("trainer",),
    reading=("services/trainer/README.md#alerts", "benchmarks/README.md"),
    rows=(RUNS, WHY, COST),
    hours=24,
)

"""Whether training goes on, what starts it, and what models cost."""

from slipway.grafana.dashboard import Dashboard, Row, Variable
from slipway.grafana.panel import Panel, Query
from slipway.grafana.promql import PROJECT, mean, rate, rise, worst

EACH = "{{project}}"
# The alert TrainingStuck fires beyond.
STUCK = 1800
RUNS = Row(
    title="Training runs",
    panels=(
        Panel(
            title="In progress",
            description="Runs by project. They end by themselves, or stuck ones by an operator.",
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
            description="Runs that wait for a worker; beside the number of workers.",
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
            description="That alerts may still start in these 24 hours; at 0 only people start.",
            unit="none",
            kind="stat",
            queries=(Query(expr="min (slipway_trainer_budget_left)"),),
            base="red",
            thresholds=((1, "yellow"), (2, "green")),
            width=6,
            height=5,
        ),
        Panel(
            title="Until an alert may start one again",
            description="The cooldown of each project; 0 if it may.",
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
            title="Runs that ended in a day, by outcome",
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
            title="Since the last success and failure",
            description="A failure that is younger than the success is the last word: "
            "TrainingFailed.",
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
            description="Of the run in progress. Without a line or a stage for half an hour it is "
            "stuck: TrainingStuck.",
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
            description="By how they reached the trainer: from Alertmanager, or by asking the "
            "monitor.",
            unit="ops",
            queries=(
                Query(expr=rate("slipway_trainer_alerts_total", by="source"), legend="{{source}}"),
            ),
        ),
        Panel(
            title="What was decided on them",
            description="started, or why not: cooldown, budget, unknown project and so on.",
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
            title="Monitor that did not answer",
            description="Times that the trainer asked the monitor in vain.",
            unit="ops",
            queries=(Query(expr=rate("slipway_trainer_monitor_failures_total")),),
        ),
        Panel(
            title="Requests for a run that were refused",
            description="No valid key, a scope that it lacks, its rate, or SLIPWAY_TRAINER_QUEUE "
            "runs that wait already.",
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
            description="Seconds of a core, by version: what decides how many machines it takes.",
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
            title="Cores that models keep busy",
            description="By project, shadows included: a shadow costs what a champion does.",
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
            title="Memory that models hold",
            description="Of all workers. What goes over SLIPWAY_PREDICT_MEMORY_BYTES gives way.",
            unit="bytes",
            queries=(
                Query(expr="sum by (instance) (slipway_loaded_bytes)", legend="{{instance}}"),
            ),
        ),
        Panel(
            title="Versions in memory",
            description="Workers that hold each version; more than one version is an old one.",
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
            description="Mean. Models that come and go for want of memory pay it every time.",
            unit="s",
            queries=(Query(expr=mean("slipway_load_seconds")),),
        ),
        Panel(
            title="In a process of their own",
            description="1 for a version that would hold up others: it takes a process's memory.",
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

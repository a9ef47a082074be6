"""Whether the services answer, how fast, for whom, and how full they are."""

from slipway.grafana.dashboard import OF_PREDICT, VERSIONS, Dashboard, Row
from slipway.grafana.panel import Panel, Query
from slipway.grafana.promql import (
    ASKED,
    CALLERS,
    PROJECT,
    VERSION,
    failed_share,
    mean,
    quantile,
    rate,
    rise,
    worst,
)
from slipway.grafana.rows import door, machine
from slipway.slo.promised import promised

REQUESTS, SECONDS = "slipway_requests_total", "slipway_request_seconds"
BY = "project, version"
EACH = "{{project}} v{{version}}"
SLOW = promised("predict", "latency").latency_seconds
BUDGET = promised("predict", "availability").budget
NOW = Row(
    title="Now",
    panels=(
        Panel(
            title="Alerts that fire",
            description="Of all services. Which: the dashboard on objectives, or Alertmanager.",
            unit="none",
            kind="stat",
            queries=(Query(expr='count(ALERTS{alertstate="firing"}) or vector(0)'),),
            thresholds=((1, "red"),),
            width=4,
            height=4,
            leads="burn",
        ),
        Panel(
            title="Services that answer Prometheus",
            description="1 while a service is scraped. What is red tells nothing below.",
            unit="bool_yes_no",
            kind="stat",
            queries=(Query(expr="min by (job) (up)", legend="{{job}}"),),
            base="red",
            thresholds=((1, "green"),),
            width=8,
            height=4,
        ),
        Panel(
            title="Requests",
            description="Of callers, a second; what a shadow is asked does not count.",
            unit="reqps",
            kind="stat",
            queries=(Query(expr=rate(REQUESTS, ASKED)),),
            width=4,
            height=4,
        ),
        Panel(
            title="Failed",
            description="Share of the requests that failed on our side (5xx), against the budget.",
            unit="percentunit",
            kind="stat",
            queries=(Query(expr=failed_share(ASKED)),),
            thresholds=((BUDGET, "yellow"), (10 * BUDGET, "red")),
            decimals=2,
            width=4,
            height=4,
            leads="burn",
        ),
        Panel(
            title="99th percentile",
            description=f"Time to answer, over all projects; {SLOW:g} s are promised to 99%.",
            unit="s",
            kind="stat",
            queries=(Query(expr=quantile(0.99, SECONDS, ASKED)),),
            thresholds=((SLOW / 2, "yellow"), (SLOW, "red")),
            width=4,
            height=4,
        ),
    ),
)
TRAFFIC = Row(
    title="Traffic",
    panels=(
        Panel(
            title="Requests by version",
            description="Of callers, a second. A version that takes over shows as a change.",
            unit="reqps",
            queries=(Query(expr=rate(REQUESTS, ASKED, by=BY), legend=EACH),),
            stacked=True,
        ),
        Panel(
            title="Records by version",
            description="A request holds one record or a list of them.",
            unit="recps",
            queries=(
                Query(expr=rate("slipway_rows_total", f"{VERSION},{CALLERS}", by=BY), legend=EACH),
            ),
            stacked=True,
        ),
        Panel(
            title="Not served as the registry wants",
            description="1 for a project whose wanted version is not served; GET /v1/models says "
            "why. The version before answers on.",
            unit="none",
            queries=(
                Query(
                    expr=worst("slipway_model_faults", PROJECT, by="project"), legend="{{project}}"
                ),
            ),
            thresholds=((1, "red"),),
            most=1,
            leads="experiments",
        ),
    ),
)
ERRORS = Row(
    title="Errors",
    panels=(
        Panel(
            title="Requests that were not answered, by status",
            description="4xx are the caller's; 500 the model raised, 503 too busy, 504 too slow.",
            unit="reqps",
            queries=(
                Query(
                    expr=rate(REQUESTS, f'{ASKED},status!="200"', by="project, status"),
                    legend="{{project}} {{status}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            title="Failed share by project",
            description="Of the requests, on our side. Over the line the month's budget shrinks.",
            unit="percentunit",
            queries=(Query(expr=failed_share(ASKED, by="project"), legend="{{project}}"),),
            thresholds=((BUDGET, "red"),),
            leads="burn",
        ),
        Panel(
            title="What models failed at",
            description="Calls that a model failed, by kind; the log of the server has the trace.",
            unit="ops",
            queries=(
                Query(
                    expr=rate("slipway_model_errors_total", VERSION, by="project, version, kind"),
                    legend=f"{EACH} {{{{kind}}}}",
                ),
            ),
            stacked=True,
        ),
    ),
)
LATENCY = Row(
    title="Latency",
    panels=(
        Panel(
            title="Median and 99th percentile by version",
            description=f"Time to answer a caller. {SLOW:g} s are promised to 99% of the answers.",
            unit="s",
            queries=(
                Query(expr=quantile(0.99, SECONDS, ASKED, by=BY), legend=f"p99 {EACH}"),
                Query(expr=quantile(0.5, SECONDS, ASKED, by=BY), legend=f"p50 {EACH}"),
            ),
            thresholds=((SLOW, "red"),),
        ),
        Panel(
            title="How long answers took",
            description="Requests by the time that they took. Two bands mean two kinds of request.",
            unit="short",
            kind="heatmap",
            queries=(Query(expr=rise(f"{SECONDS}_bucket", ASKED, by="le"), legend="{{le}}"),),
        ),
        Panel(
            title="Where the time goes",
            description="Mean of each part: validating the record, waiting for the model, the "
            "model itself. Waiting that grows calls for another worker.",
            unit="s",
            queries=tuple(
                Query(expr=mean(f"slipway_{part}_seconds", ASKED), legend=part)
                for part in ("validate", "queue", "infer")
            ),
            stacked=True,
        ),
    ),
)
FULL = Row(
    title="Saturation",
    panels=(
        Panel(
            title="Requests that wait for a model",
            description="Of models that are called with several requests at once. At the policy's "
            "`queue` (256) the next one gets 503.",
            unit="short",
            queries=(
                Query(
                    expr=f"sum by (project) (slipway_waiting{{{PROJECT}}})", legend="{{project}}"
                ),
            ),
            thresholds=((128, "yellow"), (256, "red")),
        ),
        Panel(
            title="Requests answered by one call",
            description="Mean number that a model answered together; more under load.",
            unit="short",
            queries=(Query(expr=mean("slipway_batch_requests", VERSION, by=BY), legend=EACH),),
        ),
        Panel(
            title="Models at work",
            description="Seconds of model time a second; 1 is a worker that does nothing else.",
            unit="short",
            queries=(
                Query(
                    expr=rate("slipway_infer_seconds_sum", VERSION, by="project"),
                    legend="{{project}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            title="Memory",
            description="Of the workers as a whole, and of the models in it. A worker that grows "
            "over SLIPWAY_PREDICT_WORKER_BYTES (6 GiB) is replaced.",
            unit="bytes",
            queries=(
                Query(expr="sum by (instance) (slipway_process_bytes)", legend="workers"),
                Query(expr="sum by (instance) (slipway_loaded_bytes)", legend="models"),
            ),
        ),
        Panel(
            title="Prediction records",
            description="Written, or dropped since the disk did not follow: none may be. Drift, "
            "late labels and audit read them.",
            unit="ops",
            queries=(
                Query(
                    expr=rate("slipway_prediction_records_total", by="outcome"),
                    legend="{{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Registry reached",
            description="0 while the server goes on with what it has; no new version or policy "
            "reaches it.",
            unit="bool_yes_no",
            queries=(
                Query(expr="min by (instance) (slipway_registry_reachable)", legend="{{instance}}"),
            ),
            most=1,
        ),
    ),
)
RARE = Row(
    title="What should not happen often",
    panels=(
        Panel(
            title="Workers that ended on their own",
            description="By the signal that ended them. SIGKILL is the server's own for one that "
            "stands still, or the system's for want of memory; a crash isolates the version.",
            unit="short",
            queries=(
                Query(expr=rise("slipway_worker_restarts_total", by="reason"), legend="{{reason}}"),
            ),
            thresholds=((1, "red"),),
            width=6,
        ),
        Panel(
            title="Versions that would not load",
            description="Into a worker, though the keeper had tried them out: damaged on the disk, "
            "too large, or too slow. Callers get 503.",
            unit="short",
            queries=(
                Query(
                    expr=rise("slipway_model_load_failures_total", PROJECT, by="project"),
                    legend="{{project}}",
                ),
            ),
            thresholds=((1, "red"),),
            width=6,
        ),
        Panel(
            title="Models that gave way to others",
            description="For want of SLIPWAY_PREDICT_MEMORY_BYTES. The next caller waits until the "
            "model is loaded again: many of them call for more memory.",
            unit="short",
            queries=(
                Query(
                    expr=rise("slipway_evictions_total", PROJECT, by="project"),
                    legend="{{project}}",
                ),
            ),
            width=6,
        ),
        Panel(
            title="Refused before a model was asked",
            description="No valid key (401), a scope that it lacks (403), its rate (429), or a "
            "caller who went away before the whole body was here.",
            unit="short",
            queries=(Query(expr=rise("slipway_refused_total", by="reason"), legend="{{reason}}"),),
            stacked=True,
            width=6,
        ),
    ),
)
DASHBOARD = Dashboard(
    name="overview",
    title="Slipway: overview",
    description="Traffic, errors, latency and saturation of the model server, the door before it "
    "and the machine below it.",
    variables=(OF_PREDICT, VERSIONS),
    services=("predict", "proxy", "node", "stream"),
    reading=(
        "services/predict/README.md",
        "infra/prometheus/README.md",
        "benchmarks/README.md",
    ),
    rows=(NOW, TRAFFIC, ERRORS, LATENCY, FULL, door.ROW, machine.ROW, RARE),
)

"""The overview dashboard: traffic, errors, latency and saturation of the services."""

from infra.grafana.dashboard import OF_PREDICT, VERSIONS, Dashboard, Row
from infra.grafana.panel import Panel, Query
from infra.grafana.promql import (
    CALLERS,
    CALLERS_OF_VERSION,
    PROJECT,
    VERSION,
    failed_share,
    mean,
    quantile,
    rate,
    rise,
    worst,
)
from infra.grafana.rows import machine, proxy
from infra.slo.promised import promised

REQUESTS, SECONDS = "slipway_requests_total", "slipway_request_seconds"
BY = "project, version"
EACH = "{{project}} v{{version}}"
SLOW = promised("predict", "latency").latency_seconds
BUDGET = promised("predict", "availability").budget
NOW = Row(
    title="Now",
    panels=(
        Panel(
            title="Firing alerts",
            description="Of all services. The SLO burn dashboard and Alertmanager list them.",
            unit="none",
            kind="stat",
            queries=(Query(expr='count(ALERTS{alertstate="firing"}) or vector(0)'),),
            thresholds=((1, "red"),),
            width=4,
            height=4,
            leads="burn",
        ),
        Panel(
            title="Services up",
            description="1 while a service can be scraped. Panels about a red service show "
            "nothing current.",
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
            description="Callers' requests a second, without mirrored (shadow) traffic.",
            unit="reqps",
            kind="stat",
            queries=(Query(expr=rate(REQUESTS, CALLERS_OF_VERSION)),),
            width=4,
            height=4,
        ),
        Panel(
            title="Failed",
            description="Share of requests with a server error (5xx), against the error budget.",
            unit="percentunit",
            kind="stat",
            queries=(Query(expr=failed_share(CALLERS_OF_VERSION)),),
            thresholds=((BUDGET, "yellow"), (10 * BUDGET, "red")),
            decimals=2,
            width=4,
            height=4,
            leads="burn",
        ),
        Panel(
            title="99th percentile",
            description=f"Time to a response, over all projects; the objective is {SLOW:g} s "
            f"for 99%.",
            unit="s",
            kind="stat",
            queries=(Query(expr=quantile(0.99, SECONDS, CALLERS_OF_VERSION)),),
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
            description="Callers' requests a second. A new champion shows as a change of version.",
            unit="reqps",
            queries=(Query(expr=rate(REQUESTS, CALLERS_OF_VERSION, by=BY), legend=EACH),),
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
            description="1 for a project whose wanted version is not served; GET /v1/models "
            "gives the "
            "reason. The previous version stays in service.",
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
            title="Failed requests by status",
            description="4xx are the caller's errors; 500 the model raised, 503 too busy, 504 "
            "too slow.",
            unit="reqps",
            queries=(
                Query(
                    expr=rate(
                        REQUESTS, f'{CALLERS_OF_VERSION},status!="200"', by="project, status"
                    ),
                    legend="{{project}} {{status}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            title="Failed share by project",
            description="Share of requests with a server error. Above the line the month's "
            "budget shrinks.",
            unit="percentunit",
            queries=(
                Query(expr=failed_share(CALLERS_OF_VERSION, by="project"), legend="{{project}}"),
            ),
            thresholds=((BUDGET, "red"),),
            leads="burn",
        ),
        Panel(
            title="Model errors",
            description="Failed model calls by kind of error; the server's log has the traceback.",
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
            description=f"Time to a caller's response. The objective is {SLOW:g} s for 99% of "
            f"the responses.",
            unit="s",
            queries=(
                Query(
                    expr=quantile(0.99, SECONDS, CALLERS_OF_VERSION, by=BY), legend=f"p99 {EACH}"
                ),
                Query(expr=quantile(0.5, SECONDS, CALLERS_OF_VERSION, by=BY), legend=f"p50 {EACH}"),
            ),
            thresholds=((SLOW, "red"),),
        ),
        Panel(
            title="Distribution of latency",
            description="Requests by latency. Two bands mean two kinds of request.",
            unit="short",
            kind="heatmap",
            queries=(
                Query(expr=rise(f"{SECONDS}_bucket", CALLERS_OF_VERSION, by="le"), legend="{{le}}"),
            ),
        ),
        Panel(
            title="Where the time goes",
            description="Mean of each part: validating the record, waiting for the model, the "
            "model "
            "itself. If waiting grows, add a worker.",
            unit="s",
            queries=tuple(
                Query(expr=mean(f"slipway_{part}_seconds", CALLERS_OF_VERSION), legend=part)
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
            title="Requests waiting for a model",
            description="For models that process several requests in one call. At the policy's "
            "`queue` "
            "(256) further requests get 503.",
            unit="short",
            queries=(
                Query(
                    expr=f"sum by (project) (slipway_waiting{{{PROJECT}}})", legend="{{project}}"
                ),
            ),
            thresholds=((128, "yellow"), (256, "red")),
        ),
        Panel(
            title="Requests in one batch",
            description="Mean number of requests that one model call processes; more under load.",
            unit="short",
            queries=(Query(expr=mean("slipway_batch_requests", VERSION, by=BY), legend=EACH),),
        ),
        Panel(
            title="Model time",
            description="Seconds of model time a second; 1 means one fully busy worker.",
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
            description="Of all workers, and of the models in them. A worker above "
            "SLIPWAY_PREDICT_WORKER_BYTES (6 GiB) is replaced.",
            unit="bytes",
            queries=(
                Query(expr="sum by (instance) (slipway_process_bytes)", legend="workers"),
                Query(expr="sum by (instance) (slipway_loaded_bytes)", legend="models"),
            ),
        ),
        Panel(
            title="Prediction records",
            description="Written, or dropped because the disk was too slow: none may be "
            "dropped. Drift, "
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
            title="Registry reachable",
            description="0 while the server continues with the versions it has; no new version "
            "or policy "
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
    title="Rare events",
    panels=(
        Panel(
            title="Workers that crashed or were killed",
            description="By signal. SIGKILL comes from the server for a hanging worker, or from "
            "the "
            "system for lack of memory. A version that crashes a worker is isolated.",
            unit="short",
            queries=(
                Query(expr=rise("slipway_worker_restarts_total", by="reason"), legend="{{reason}}"),
            ),
            thresholds=((1, "red"),),
            width=6,
        ),
        Panel(
            title="Versions that failed to load",
            description="In a worker, although registry_sync had loaded them: damaged on the "
            "disk, too "
            "large, or too slow. Callers get 503.",
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
            title="Evicted models",
            description="To stay within SLIPWAY_PREDICT_MEMORY_BYTES. The next caller waits "
            "until the "
            "model is loaded again; if there are many, add memory.",
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
            title="Requests refused before prediction",
            description="No valid key (401), a missing scope (403), the rate limit (429), or a "
            "caller "
            "who disconnected before the whole body arrived.",
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
    description="Traffic, errors, latency and saturation of the model server, of the proxy before "
    "it and of the machine.",
    variables=(OF_PREDICT, VERSIONS),
    services=("predict", "proxy", "node", "stream"),
    reading=(
        "services/predict/README.md",
        "infra/prometheus/README.md",
        "benchmarks/README.md",
    ),
    rows=(NOW, TRAFFIC, ERRORS, LATENCY, FULL, proxy.ROW, machine.ROW, RARE),
)

"""The A/B and canary dashboard: traffic shares, and whether the new version is worse."""

from infra.grafana.dashboard import OF_PREDICT, Dashboard, Row
from infra.grafana.panel import Panel, Query
from infra.grafana.promql import CALLERS, PROJECT, failed_share, mean, quantile, rate, rise, worst
from infra.slo.promised import promised

REQUESTS, SECONDS = "slipway_requests_total", "slipway_request_seconds"
BY = "project, variant, version"
EACH = "{{project}} {{variant}} v{{version}}"
SLOW = promised("predict", "latency").latency_seconds
OF_CALLERS = f"{PROJECT},{CALLERS}"

WHO = Row(
    title="Who serves",
    panels=(
        Panel(
            title="Versions in service",
            description="Which version of a project serves as champion, challenger or shadow.",
            unit="none",
            kind="table",
            queries=(Query(expr=worst("slipway_model_serving", PROJECT, by=BY)),),
        ),
        Panel(
            title="Share of the traffic",
            description="Share of callers' requests by variant: the measured effect of the policy.",
            unit="percentunit",
            queries=(
                Query(
                    expr=f"{rate(REQUESTS, OF_CALLERS, by='project, variant')} "
                    "/ on (project) group_left () "
                    f"({rate(REQUESTS, OF_CALLERS, by='project')} > 0)",
                    legend="{{project}} {{variant}}",
                ),
            ),
            most=1,
        ),
        Panel(
            title="Requests by variant",
            description="Includes shadows, whose responses nobody waits for.",
            unit="reqps",
            queries=(Query(expr=rate(REQUESTS, PROJECT, by=BY), legend=EACH),),
        ),
    ),
)
WORSE = Row(
    title="Is the new version worse?",
    panels=(
        Panel(
            title="Failed share by variant",
            description="Share of requests with 5xx. A rollout is rolled back when the "
            "challenger's share "
            "is significantly higher.",
            unit="percentunit",
            queries=(Query(expr=failed_share(PROJECT, by=BY), legend=EACH),),
        ),
        Panel(
            title="99th percentile by variant",
            description="Time to a response. For a shadow it is its own time, which no caller "
            "sees.",
            unit="s",
            queries=(Query(expr=quantile(0.99, SECONDS, PROJECT, by=BY), legend=EACH),),
            thresholds=((SLOW, "red"),),
        ),
        Panel(
            title="Time of the model itself",
            description="Mean by variant, without queueing and validation: what another version "
            "costs.",
            unit="s",
            queries=(Query(expr=mean("slipway_infer_seconds", PROJECT, by=BY), legend=EACH),),
        ),
        Panel(
            title="Model errors",
            description="Failed model calls by version and kind of error.",
            unit="ops",
            queries=(
                Query(
                    expr=rate("slipway_model_errors_total", PROJECT, by="project, version, kind"),
                    legend="{{project}} v{{version}} {{kind}}",
                ),
            ),
        ),
        Panel(
            title="Labels received",
            description="Feedback on predictions, by outcome; GET /v1/models/PROJECT/ab "
            "compares the "
            "variants on it.",
            unit="ops",
            queries=(
                Query(
                    expr=rate("slipway_feedback_total", PROJECT, by="project, outcome"),
                    legend="{{project}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Requests dropped from the shadow's queue",
            description="The shadow's queue was full, so its requests are no fair sample: a "
            "smaller "
            "share (`slipway policy set NAME --shadow`) drops none.",
            unit="short",
            queries=(
                Query(
                    expr=rise("slipway_shadow_dropped_total", PROJECT, by="project"),
                    legend="{{project}}",
                ),
            ),
            thresholds=((1, "yellow"),),
        ),
    ),
)
DASHBOARD = Dashboard(
    name="experiments",
    title="Slipway: A/B and canary",
    description="Champion, challenger and shadow compared.",
    variables=(OF_PREDICT,),
    services=("predict",),
    reading=("docs/rollout.md#the-rules", "services/predict/README.md#two-versions-at-once"),
    rows=(WHO, WORSE),
)

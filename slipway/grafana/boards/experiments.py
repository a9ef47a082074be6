"""Two versions at once: who answers how much, and whether the new one is worse."""

from slipway.grafana.dashboard import OF_PREDICT, Dashboard, Row
from slipway.grafana.panel import Panel, Query
from slipway.grafana.promql import CALLERS, PROJECT, failed_share, mean, quantile, rate, rise, worst
from slipway.slo.promised import promised

REQUESTS, SECONDS = "slipway_requests_total", "slipway_request_seconds"
BY = "project, variant, version"
EACH = "{{project}} {{variant}} v{{version}}"
SLOW = promised("predict", "latency").latency_seconds
OF_CALLERS = f"{PROJECT},{CALLERS}"

WHO = Row(
    title="Who answers",
    panels=(
        Panel(
            title="Versions that answer",
            description="Which version of a project answers as champion, challenger or shadow.",
            unit="none",
            kind="table",
            queries=(Query(expr=worst("slipway_model_serving", PROJECT, by=BY)),),
        ),
        Panel(
            title="Share of the traffic",
            description="Of callers' requests, by variant: what the policy deals, as it came out.",
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
            description="Shadows too; nobody waits for these.",
            unit="reqps",
            queries=(Query(expr=rate(REQUESTS, PROJECT, by=BY), legend=EACH),),
        ),
    ),
)
WORSE = Row(
    title="Is the new one worse?",
    panels=(
        Panel(
            title="Failed share by variant",
            description="Of the requests, 5xx. A rollout goes back when the challenger's is worse "
            "beyond chance.",
            unit="percentunit",
            queries=(Query(expr=failed_share(PROJECT, by=BY), legend=EACH),),
        ),
        Panel(
            title="99th percentile by variant",
            description="Time to answer; that of a shadow is its own time, which no caller sees.",
            unit="s",
            queries=(Query(expr=quantile(0.99, SECONDS, PROJECT, by=BY), legend=EACH),),
            thresholds=((SLOW, "red"),),
        ),
        Panel(
            title="Time of the model itself",
            description="Mean by variant, without waiting and validation: what another version "
            "costs.",
            unit="s",
            queries=(Query(expr=mean("slipway_infer_seconds", PROJECT, by=BY), legend=EACH),),
        ),
        Panel(
            title="What models failed at",
            description="Calls that a version failed, by kind.",
            unit="ops",
            queries=(
                Query(
                    expr=rate("slipway_model_errors_total", PROJECT, by="project, version, kind"),
                    legend="{{project}} v{{version}} {{kind}}",
                ),
            ),
        ),
        Panel(
            title="Truths that came back",
            description="On which GET /v1/models/PROJECT/ab compares the variants' answers; by "
            "outcome.",
            unit="ops",
            queries=(
                Query(
                    expr=rate("slipway_feedback_total", PROJECT, by="project, outcome"),
                    legend="{{project}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Requests that the shadow was not asked",
            description="Its queue was full. What it was asked is no fair sample then: a smaller "
            "share (`slipway policy set NAME --shadow`) leaves none out.",
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
    description="Champion, challenger and shadow beside each other.",
    variables=(OF_PREDICT,),
    services=("predict",),
    reading=("docs/rollout.md#the-rule", "services/predict/README.md#two-versions-at-once"),
    rows=(WHO, WORSE),
)

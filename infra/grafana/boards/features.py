"""The dashboard on the online features: their freshness and the look-ups."""

from infra.grafana.dashboard import Dashboard, Row, Variable
from infra.grafana.panel import Panel, Query
from infra.grafana.promql import PROJECT, quantile, rate, worst

VIEW = 'view=~"$view"'
# The threshold of the alert FeaturesStale: the views hold a row a customer and day.
STALE = 3 * 86400


def views_panel(metric: str, title: str, description: str, **more: object) -> Panel:
    queries = (Query(expr=worst(f"slipway_features_{metric}", VIEW, by="view"), legend="{{view}}"),)
    return Panel.model_validate(
        {"title": title, "description": description, "queries": queries, **more}
    )


STORE = Row(
    title="The online store",
    panels=(
        Panel(
            title="Store up",
            description="1 if the online store responded at the last scrape.",
            unit="bool_yes_no",
            kind="stat",
            queries=(Query(expr="min (slipway_features_store_up)"),),
            base="red",
            thresholds=((1, "green"),),
        ),
        views_panel(
            "view_materialized",
            "Materialized views",
            "1 for a view that is in the online store; `slipway features materialize` fills it.",
            unit="bool_yes_no",
            kind="stat",
            base="red",
            thresholds=((1, "green"),),
        ),
        views_panel(
            "view_current",
            "Materialized with the current definition",
            "0 for a view materialized with an older definition: training and serving differ.",
            unit="bool_yes_no",
            kind="stat",
            base="red",
            thresholds=((1, "green"),),
        ),
    ),
)
FRESH = Row(
    title="Freshness",
    panels=(
        views_panel(
            "newest_event_age_seconds",
            "Age of the newest event",
            "Measured by the store's clock, so it also grows when nothing fills the store any "
            "more.",
            unit="dtdurations",
            thresholds=((STALE, "red"),),
        ),
        Panel(
            title="Time since materialization",
            description="From the end of the last materialization until now.",
            unit="dtdurations",
            queries=(
                Query(
                    expr="time() - "
                    + worst(
                        "slipway_features_last_materialization_timestamp_seconds", VIEW, by="view"
                    ),
                    legend="{{view}}",
                ),
            ),
        ),
        views_panel(
            "materialized_rows",
            "Rows written",
            "Since the view was last emptied. A flat line means that the view is not being filled.",
            unit="short",
        ),
    ),
)
LOOKUPS = Row(
    title="Looked up for callers",
    panels=(
        Panel(
            title="Records by outcome",
            description="Records whose features were looked up. `unavailable` got 503: the "
            "store did not "
            "respond in time.",
            unit="recps",
            queries=(
                Query(
                    expr=rate("slipway_feature_lookups_total", PROJECT, by="project, outcome"),
                    legend="{{project}} {{outcome}}",
                ),
            ),
            stacked=True,
            width=12,
        ),
        Panel(
            title="Time to look up",
            description="Median and 99th percentile, including the thread switch. After "
            "SLIPWAY_PREDICT_FEATURE_SECONDS (0.2 s) the look-up is cancelled.",
            unit="s",
            queries=tuple(
                Query(
                    expr=quantile(share, "slipway_feature_lookup_seconds", PROJECT, by="project"),
                    legend=f"{{{{project}}}} p{share * 100:g}",
                )
                for share in (0.99, 0.5)
            ),
            thresholds=((0.2, "red"),),
            width=12,
            leads="overview",
        ),
    ),
)
DASHBOARD = Dashboard(
    name="features",
    title="Slipway: features",
    description="The feature store's freshness, and what callers look up in it.",
    variables=(
        Variable(name="project", metric="slipway_feature_lookups_total"),
        Variable(name="view", metric="slipway_features_view_materialized"),
    ),
    services=("features",),
    reading=("feature_repo/README.md",),
    rows=(STORE, FRESH, LOOKUPS),
    shows_versions=False,
    hours=24,
)

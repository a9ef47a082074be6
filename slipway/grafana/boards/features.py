"""Whether the online features are fresh, and whether they are found when a caller needs them."""

from slipway.grafana.dashboard import Dashboard, Row, Variable
from slipway.grafana.panel import Panel, Query
from slipway.grafana.promql import PROJECT, quantile, rate, worst

VIEW = 'view=~"$view"'
# The alert FeaturesStale fires beyond: the views hold a row a customer and day.
STALE = 3 * 86400


def of_views(metric: str, title: str, description: str, **more: object) -> Panel:
    queries = (Query(expr=worst(f"slipway_features_{metric}", VIEW, by="view"), legend="{{view}}"),)
    return Panel.model_validate(
        {"title": title, "description": description, "queries": queries, **more}
    )


STORE = Row(
    title="The online store",
    panels=(
        Panel(
            title="Store answers",
            description="1 if the online store answered the last scrape.",
            unit="bool_yes_no",
            kind="stat",
            queries=(Query(expr="min (slipway_features_store_up)"),),
            base="red",
            thresholds=((1, "green"),),
        ),
        of_views(
            "view_materialized",
            "Views that are there",
            "1 for a view that is in the online store; `slipway features materialize` fills it.",
            unit="bool_yes_no",
            kind="stat",
            base="red",
            thresholds=((1, "green"),),
        ),
        of_views(
            "view_current",
            "Filled by today's definition",
            "0 for a view that was filled by an older definition: training and serving differ.",
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
        of_views(
            "newest_event_age_seconds",
            "Age of the newest event",
            "By the store's clock, which also tells that nothing fills the store any more.",
            unit="dtdurations",
            thresholds=((STALE, "red"),),
        ),
        Panel(
            title="Since views were filled",
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
        of_views(
            "materialized_rows",
            "Rows written",
            "Since the view was last emptied. A view that stands still is not filled.",
            unit="short",
        ),
    ),
)
ASKED = Row(
    title="Looked up for callers",
    panels=(
        Panel(
            title="Records by outcome",
            description="Whose features were looked up. Unavailable ones were answered 503: the "
            "store did not answer in time.",
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
            description="Median and 99th percentile, with the way to a thread and back. After "
            "SLIPWAY_PREDICT_FEATURE_SECONDS (0.2 s) it is given up.",
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
    rows=(STORE, FRESH, ASKED),
    shows_versions=False,
    hours=24,
)

"""Customers of the Online Retail shop: purchases, returns, baskets and the last year.

There is one row per customer and active day. Its timestamp is the midnight that ends the day, and
it depends only on events before that midnight. `customer_year` also has a row when a day is a year
ago. Amounts are in pounds.
"""

from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Float64, Int64, UnixTimestamp

from slipway.features import places

customer = Entity(
    name="customer",
    join_keys=["customer_id"],
    value_type=ValueType.INT64,
    description="A customer of the Online Retail shop, identified by the number on the invoice",
)

customer_days = places.source("customer_days")
customer_years = places.source("customer_years")

customer_purchases = FeatureView(
    name="customer_purchases",
    entities=[customer],
    source=customer_days,
    schema=[
        Field(name="customer_id", dtype=Int64),
        Field(name="first_purchase", dtype=UnixTimestamp, description="Time of the first invoice"),
        Field(name="last_purchase", dtype=UnixTimestamp, description="Time of the last invoice"),
        Field(name="orders", dtype=Int64, description="Invoices so far"),
        Field(name="orders_90d", dtype=Int64, description="In the 90 days to the last activity"),
        Field(name="spent", dtype=Float64, description="Total of all orders so far"),
        Field(name="spent_90d", dtype=Float64, description="In the 90 days to the last activity"),
        Field(name="abroad", dtype=Bool, description="The last invoice went abroad"),
    ],
    description="Recency, frequency and monetary value",
)

customer_returns = FeatureView(
    name="customer_returns",
    entities=[customer],
    source=customer_days,
    schema=[
        Field(name="customer_id", dtype=Int64),
        Field(name="returns", dtype=Int64, description="Credit notes so far"),
        Field(name="returned", dtype=Float64, description="Value of all returns so far"),
    ],
    description="Returns",
)

customer_baskets = FeatureView(
    name="customer_baskets",
    entities=[customer],
    source=customer_days,
    schema=[
        Field(name="customer_id", dtype=Int64),
        Field(name="items", dtype=Int64, description="Pieces bought so far"),
        Field(name="lines", dtype=Int64, description="Invoice lines so far"),
        Field(name="products", dtype=Int64, description="Different products so far"),
    ],
    description="Basket habits",
)

customer_year = FeatureView(
    name="customer_year",
    entities=[customer],
    source=customer_years,
    schema=[
        Field(name="customer_id", dtype=Int64),
        Field(name="orders_365d", dtype=Int64, description="Invoices in the last 365 days"),
        Field(
            name="net_spent_365d",
            dtype=Float64,
            description="Orders minus returns in the last 365 days; 0 if more was returned",
        ),
    ],
    description="The last 365 days",
)

at_request = RequestSource(
    name="at_request",
    schema=[Field(name="asked_at", dtype=UnixTimestamp)],
    description="The time of the request",
)


@on_demand_feature_view(
    sources=[customer_purchases, customer_returns, customer_baskets, at_request],
    schema=[
        Field(name="days_since_purchase", dtype=Float64),
        Field(name="days_known", dtype=Float64),
        Field(name="days_between_orders", dtype=Float64),
        Field(name="average_order", dtype=Float64),
        Field(name="items_per_order", dtype=Float64),
        Field(name="lines_per_order", dtype=Float64),
        Field(name="return_share", dtype=Float64),
        Field(name="day_of_year", dtype=Int64),
    ],
    mode="python",
    description="What changes with the moment of the question, and ratios",
)
def customer_at_request(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    # Self-contained: Feast keeps this source in its registry and runs it from there.
    # A number that is missing is nan, since Feast takes types from the values.
    day, missing = 86_400.0, float("nan")
    names = ("asked_at", "first_purchase", "last_purchase", "orders", "spent", "returned")
    names = (*names, "items", "lines")
    made: dict[str, list[Any]] = {
        "days_since_purchase": [],
        "days_known": [],
        "days_between_orders": [],
        "average_order": [],
        "items_per_order": [],
        "lines_per_order": [],
        "return_share": [],
        "day_of_year": [],
    }
    for held in zip(*(columns[name] for name in names), strict=True):
        row: tuple[Any, ...] = (*(missing,) * 7, None)
        # While the store is filled, a view may know a customer before another does.
        if None not in held and held[3]:
            asked, first, last, orders, spent, returned, items, lines = held
            row = (
                (asked - last).total_seconds() / day,
                (asked - first).total_seconds() / day,
                (last - first).total_seconds() / day / (orders - 1) if orders > 1 else missing,
                spent / orders,
                items / orders,
                lines / orders,
                min(1.0, returned / spent) if spent else 0.0,
                asked.timetuple().tm_yday,
            )
        for column, value in zip(made.values(), row, strict=True):
            column.append(value)
    return made


repurchase = FeatureService(
    name="repurchase",
    features=[
        customer_purchases[["orders", "orders_90d", "spent", "spent_90d", "abroad"]],
        customer_returns[["returns"]],
        customer_baskets[["products"]],
        customer_at_request,
    ],
    description="The record of the model `repurchase`",
)

customer_segments = FeatureService(
    name="customer_segments",
    features=[customer_at_request[["days_since_purchase"]], customer_year],
    description="The record of the model `customer_segments`",
)

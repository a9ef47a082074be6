"""Flight routes within the United States, with the delays known on the morning of each day."""

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float64, Int64, String

from slipway.features import places
from slipway.features.tables.flight_routes import COUNTS, SHARES

flight_route = Entity(
    name="flight_route",
    join_keys=["route"],
    value_type=ValueType.STRING,
    description="Two airports, from and to, like ATL-BOS",
)

flight_mornings = FeatureView(
    name="flight_mornings",
    entities=[flight_route],
    source=places.source("flight_routes"),
    schema=[
        Field(name="route", dtype=String),
        Field(name="origin", dtype=String, description="Airport code"),
        Field(name="destination", dtype=String, description="Airport code"),
        Field(name="distance", dtype=Int64, description="Miles"),
        Field(name="weekday", dtype=Int64, description="Of the morning; Monday is 0"),
        *(Field(name=each, dtype=Float64, description="Flights per day") for each in COUNTS),
        *(Field(name=each, dtype=Float64, description="Share of late flights") for each in SHARES),
    ],
    description="The delays of the days before, of the route, its airports and the whole network",
)

flight_delay = FeatureService(
    name="flight_delay",
    features=[flight_mornings],
    description="The record of the model `flight_delay`",
)

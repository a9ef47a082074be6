"""Flight routes within the United States, with the delays known on the morning of each day."""

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64, String

from slipway.features import places

flight_route = Entity(
    name="flight_route",
    join_keys=["route"],
    value_type=ValueType.STRING,
    description="Two airports, from and to, like ATL-BOS",
)

flight_routes = FileSource(
    name="flight_routes",
    path=str(places.table("flight_routes")),
    timestamp_field="event_timestamp",
)

KEY = Field(name="route", dtype=String)


def shares(*groups: str) -> list[Field]:
    """Return the shares of late flights of each group, over yesterday, 7 and 28 days."""
    spans = ("yesterday", "week", "month")
    return [Field(name=f"{group}_{span}", dtype=Float64) for group in groups for span in spans]


flight_airports = FeatureView(
    name="flight_airports",
    entities=[flight_route],
    source=flight_routes,
    schema=[
        KEY,
        Field(name="origin", dtype=String, description="Airport code"),
        Field(name="destination", dtype=String, description="Airport code"),
        Field(name="distance", dtype=Int64, description="Miles"),
        Field(name="weekday", dtype=Int64, description="Of the morning; Monday is 0"),
        Field(name="origin_flights", dtype=Float64, description="Per day, over 28 days"),
        Field(name="destination_flights", dtype=Float64, description="Per day, over 28 days"),
        *shares("origin", "destination", "network"),
    ],
    description="The two airports, the whole network, and the weekday",
)

flight_route_delays = FeatureView(
    name="flight_route_delays",
    entities=[flight_route],
    source=flight_routes,
    schema=[
        KEY,
        Field(name="route_flights", dtype=Float64, description="Per day, over 28 days"),
        *shares("route"),
    ],
    description="The route itself",
)

flight_delay = FeatureService(
    name="flight_delay",
    features=[flight_airports, flight_route_delays],
    description="The record of the model `flight_delay`",
)

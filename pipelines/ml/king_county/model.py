"""What would this house in King County sell for on this day?

Data: 20,817 dated sales in Seattle and around it, May 2014 to May 2015, at 78,000 to 7.7 million
dollars.
Task: regression on the logarithm of the price, from the house, its location and neighbours' prices.
Model: linear and boosted models over an encoded zip code, and stacks of them. The simplest one
within one standard error of the best on the last weeks of training is served. Conformalized
boosted quantiles (Romano, Patterson and Candes 2019) give the interval. The files are one ONNX
graph and the training sales.
Limits: one county in one year of rising prices; prices of neighbours are as old as the training.
After May 2015 the price continues that year's trend while both ends of the interval stay constant.
Schools, noise and the inside of the house are not in the data. Not for lending decisions about
people.
"""

from datetime import date
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from slipway.contract import OnnxModel, Record, publish

# Dollars. The graph predicts the logarithm of price over this, near 0, where float32 is finest.
TYPICAL, TYPICAL_PER_FOOT = 450_000.0, 250.0
FARTHEST = 4.0
FIRST = date(2014, 5, 1)
NEIGHBOURS = 12
# Kilometres: closer neighbours hardly count more, since coordinates are rounded to 80 m.
CLOSE = 0.2
KILOMETRES = 111.2
# Degrees north and east, from the English Wikipedia's article on each place.
PLACES = {
    "seattle": (47.6061, -122.3328),
    "bellevue": (47.6144, -122.1925),
    "redmond_campus": (47.6397, -122.1283),
    "university": (47.6542, -122.3080),
    "airport": (47.4489, -122.3094),
}


class House(Record):
    """A house as the county's assessor describes it, and the day of sale; areas in square feet."""

    sold_on: str = Field(
        pattern=r"^201[45]-\d{2}-\d{2}$",
        description="Day of sale, 2014-05-01 to 2015-12-31, like 2015-04-20",
    )
    zip_code: str = Field(pattern=r"^98\d{3}$", description="70 zip codes are known, such as 98103")
    latitude: float = Field(ge=47.1, le=47.8, description="Degrees north")
    longitude: float = Field(ge=-122.6, le=-121.2, description="Degrees east, below 0")
    living_area: float = Field(ge=200, le=15_000, description="Basement included")
    area_above_ground: float = Field(ge=200, le=15_000, description="At most the living area")
    lot_area: float = Field(ge=400, le=2_000_000)
    neighbours_living_area: float = Field(ge=200, le=15_000, description="Mean of the nearest 15")
    neighbours_lot_area: float = Field(ge=400, le=2_000_000, description="Mean of the nearest 15")
    bedrooms: int = Field(ge=0, le=40)
    bathrooms: float = Field(ge=0, le=12, description="A room without a tub counts in part")
    floors: float = Field(ge=1, le=5)
    waterfront: bool = False
    view: int = Field(default=0, ge=0, le=4, description="0 is none, 4 the best")
    condition: int = Field(ge=1, le=5, description="5 the best")
    grade: int = Field(ge=1, le=13, description="Of construction: 7 is average, 13 a mansion")
    year_built: int = Field(ge=1850, le=2015)
    year_renovated: int | None = Field(default=None, ge=1850, le=2015, description="None if never")

    @field_validator("sold_on")
    @classmethod
    def is_in_the_calendar(cls, value: str) -> str:
        if date.fromisoformat(value) < FIRST:
            raise ValueError(f"sold_on must be {FIRST} or later, got {value}: no sale is older")
        return value

    @field_validator("area_above_ground")
    @classmethod
    def is_part_of_the_living_area(cls, value: float, info: ValidationInfo) -> float:
        if value > (whole := info.data.get("living_area", value)):
            raise ValueError(f"area_above_ground must be at most living_area {whole}, got {value}")
        return value

    @field_validator("year_renovated")
    @classmethod
    def is_after_it_was_built(cls, value: int | None, info: ValidationInfo) -> int | None:
        built = info.data.get("year_built")
        if value is not None and built is not None and value < built:
            raise ValueError(f"year_renovated must be {built} or later, got {value}")
        return value


class Valuation(Record):
    """A predicted price with its interval, in dollars of the day of sale."""

    price: float = Field(gt=0)
    low: float = Field(gt=0, description="One sale in twenty is expected below")
    high: float = Field(gt=0, description="One sale in twenty is expected above")
    neighbours_per_foot: float = Field(
        gt=0, description="Earlier price per square foot of neighbours"
    )
    neighbours_within: float = Field(ge=0, description="Kilometres to the farthest neighbour")


# Typical values: areas become logarithms relative to them, counts become differences from them.
AREAS = {
    "living_area": 2000,
    "area_above_ground": 2000,
    "lot_area": 8000,
    "neighbours_living_area": 2000,
    "neighbours_lot_area": 8000,
}
COUNTS = {"bedrooms": 3, "bathrooms": 2, "floors": 1, "view": 0, "condition": 3, "grade": 7}
# All are about 1 in size, so that one penalty suits all coefficients of a linear model.
HOUSE = (
    *(f"log_{name}" for name in AREAS),
    *COUNTS,
    "age",
    "years_since_renovated",
    "waterfront",
    "quarters",
    "quarters_squared",
)
PLACE = (
    "north",
    "east",
    *(f"turned_{degrees}_{axis}" for degrees in (30, 60) for axis in ("north", "east")),
    *(f"to_{place}" for place in PLACES),
    "to_shore",
)
NEARBY = ("neighbours_per_foot", "neighbours_price", "neighbours_distance")
NUMBERS = (*HOUSE, *PLACE, *NEARBY, "zip_code")


def position(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return kilometres north and east of Seattle's centre (rows, 2), exact to 0.9 %."""
    centre = PLACES["seattle"]
    east = (longitude - centre[1]) * np.cos(np.radians(centre[0]))
    return np.stack([latitude - centre[0], east], axis=1) * KILOMETRES


def days(houses: list[House]) -> np.ndarray:
    """Return days since the first of May 2014 (rows,)."""
    return np.array([(date.fromisoformat(each.sold_on) - FIRST).days for each in houses])


def positions_of(houses: list[House]) -> np.ndarray:
    """Return the `position` of houses (rows, 2)."""
    degrees = [(each.latitude, each.longitude) for each in houses]
    return position(*np.reshape(degrees, (-1, 2)).T)


class Sales:
    """Known sales: position, day, and the logarithm of the price per square foot.

    `table` (sales, 4) float32 holds kilometres north and east, days, and the logarithm over
    `TYPICAL_PER_FOOT`; `shore` (houses, 2) holds the positions of houses on the water.
    """

    def __init__(self, table: np.ndarray, shore: np.ndarray) -> None:
        self.table, self.shore = table.astype(np.float32), shore.astype(np.float32)

    @classmethod
    def from_houses(cls, houses: list[House], prices: np.ndarray) -> "Sales":
        logs = np.log(prices / [each.living_area for each in houses] / TYPICAL_PER_FOOT)
        at = positions_of(houses)
        table = np.column_stack([at, days(houses), logs])
        return cls(table, at[[each.waterfront for each in houses]])

    def nearest_before(self, at: np.ndarray, day: np.ndarray, chunk: int = 256) -> np.ndarray:
        """Return the nearest earlier sales' mean logarithm and greatest distance in km (rows, 2).

        Sales of the same day are excluded, and so is the house's own sale. Without any earlier
        sale the result is the typical price at 50 km.
        """
        neighbours = np.tile(np.array([0.0, 50.0]), (len(at), 1))
        for start in range(0, len(at), chunk):
            rows = slice(start, start + chunk)
            away = distances(at[rows], self.table[:, :2])
            away[self.table[:, 2] >= day[rows, None]] = np.inf
            nearest = min(NEIGHBOURS, away.shape[1])
            places = np.argpartition(away, nearest - 1, axis=1)[:, :nearest]
            near = np.take_along_axis(away, places, axis=1)
            weights = 1 / (near + CLOSE)
            known = weights.sum(axis=1) > 0
            mean = (weights * self.table[places, 3]).sum(axis=1)[known] / weights.sum(axis=1)[known]
            finite = np.where(np.isfinite(near), near, 0).max(axis=1)[known]
            neighbours[rows][known] = np.column_stack([mean, finite])
        return neighbours

    def to_shore(self, at: np.ndarray) -> np.ndarray:
        """Return kilometres to the nearest house on the water (rows,), 50 where none is known."""
        if not len(self.shore):
            return np.full(len(at), 50.0)
        return np.asarray(distances(at, self.shore).min(axis=1))


def distances(at: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return distances in kilometres (rows, others) float32."""
    apart = at.astype(np.float32)[:, None] - others[None]
    return np.asarray(np.hypot(apart[:, :, 0], apart[:, :, 1]))


def house_numbers(each: House, day: int) -> list[float]:
    sold = date.fromisoformat(each.sold_on).year
    age = max(sold - each.year_built, 0)
    renovated = age if each.year_renovated is None else max(sold - each.year_renovated, 0)
    quarters = day / 90
    return [
        *(np.log(getattr(each, name) / typical) for name, typical in AREAS.items()),
        *(getattr(each, name) - typical for name, typical in COUNTS.items()),
        age / 40,
        renovated / 40,
        each.waterfront,
        quarters,
        quarters**2 / 4,
    ]


def place_numbers(at: np.ndarray) -> np.ndarray:
    """Return coordinates and distances in units of 10 km.

    Coordinates come rotated too, so that a tree can cut along the shores.
    """
    (north, east), turned = at.T, []
    for turn in np.radians([30, 60]):
        turned.append(np.cos(turn) * north - np.sin(turn) * east)
        turned.append(np.sin(turn) * north + np.cos(turn) * east)
    away = distances(at, position(*np.array(list(PLACES.values())).T))
    return np.column_stack([at, *turned, away]) / 10


def features(houses: list[House], sales: Sales) -> dict[str, np.ndarray]:
    """Return numbers (rows, 32) float32; the zip code comes last, exact in float32.

    Rounded to four digits, so that float32 and float64 agree at a tree's threshold.
    """
    at, day = positions_of(houses), days(houses)
    own = np.array([house_numbers(*each) for each in zip(houses, day.tolist(), strict=True)])
    own = own.reshape(-1, len(HOUSE))
    # A house on the water is at distance 0, whether it is a training house or a new one.
    shore = np.where([each.waterfront for each in houses], 0, sales.to_shore(at)) / 10
    nearby = sales.nearest_before(at, day)
    price = nearby[:, 0] + own[:, HOUSE.index("log_living_area")]
    codes = [int(each.zip_code) for each in houses]
    columns = [own, place_numbers(at), shore, nearby[:, 0], price, np.log1p(nearby[:, 1]), codes]
    return {"numbers": np.round(np.column_stack(columns), 4).astype(np.float32)}


def valuations(numbers: np.ndarray, logs: np.ndarray) -> list[Valuation]:
    """Return valuations from features and logarithms over `TYPICAL` (rows, 3): price, low, high."""
    logs_in_range = np.clip(logs.astype(np.float64), -FARTHEST, FARTHEST)
    # The three models are fitted separately and can cross; the interval must contain the price.
    price, low, high = (
        logs_in_range[:, 0],
        logs_in_range[:, :2].min(axis=1),
        logs_in_range[:, [0, 2]].max(axis=1),
    )
    per_foot = numbers[:, NUMBERS.index("neighbours_per_foot")]
    return Valuation.from_columns(
        price=TYPICAL * np.exp(price),
        low=TYPICAL * np.exp(low),
        high=TYPICAL * np.exp(high),
        neighbours_per_foot=TYPICAL_PER_FOOT * np.exp(per_foot),
        neighbours_within=np.expm1(numbers[:, NUMBERS.index("neighbours_distance")]),
    )


class KingCounty(OnnxModel):
    explained = "price"

    def load(self, weights: Path) -> None:
        super().load(weights)
        with np.load(weights / "sales.npz") as arrays:
            self._sales = Sales(arrays["table"], arrays["shore"])

    def predict(self, model_input: list[House]) -> list[Valuation]:
        blocks = features(model_input, self._sales)
        outputs = self.run(blocks)
        logs = np.column_stack([outputs[name] for name in ("price", "low", "high")])
        return valuations(blocks["numbers"], logs)


publish(KingCounty())

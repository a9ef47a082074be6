"""What would this house in King County sell for on this day?

Data: 20,817 dated sales in Seattle and around it, May 2014 to May 2015, at 78,000 to 7.7 million
dollars.
Task: regression on the logarithm of the price, from the house, its place and what neighbours paid.
Model: linear and boosted models over an encoded zip code, and stacks of them: the simplest one
within one standard error of the best on the last weeks of training. Boosted quantiles made
conformal (Romano, Patterson and Candes 2019) give the interval. One ONNX graph, and the sales it
was trained on.
Limits: one county in one rising year; prices of neighbours are as old as the training. After May
2015 the price runs on with the line of that year while both ends of the interval stand still.
Schools, noise and the inside of the house are not in the data. No use for lending decisions about
people.
"""

from datetime import date
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from slipway.contract import OnnxModel, Record, publish

# Dollars. The graph answers the logarithm of price over this, near 0 where float32 is finest.
TYPICAL, TYPICAL_PER_FOOT = 450_000.0, 250.0
FARTHEST = 4.0
FIRST = date(2014, 5, 1)
NEIGHBOURS = 12
# Kilometres: nearer neighbours than this weigh hardly more, for coordinates are rounded to 80 m.
CLOSE = 0.2
KILOMETRES = 111.2
# Degrees north and east, from the articles of the English Wikipedia on each.
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
        description="Day of sale, 2014-05-01 to 2015-12-31: 2015-04-20",
    )
    zip_code: str = Field(pattern=r"^98\d{3}$", description="One of 70 is known, such as 98103")
    latitude: float = Field(ge=47.1, le=47.8, description="Degrees north")
    longitude: float = Field(ge=-122.6, le=-121.2, description="Degrees east, below 0")
    living_area: float = Field(ge=200, le=15_000, description="Basement included")
    area_above_ground: float = Field(ge=200, le=15_000, description="At most the living area")
    lot_area: float = Field(ge=400, le=2_000_000)
    neighbours_living_area: float = Field(ge=200, le=15_000, description="Of the nearest 15, mean")
    neighbours_lot_area: float = Field(ge=400, le=2_000_000, description="Of the nearest 15, mean")
    bedrooms: int = Field(ge=0, le=40)
    bathrooms: float = Field(ge=0, le=12, description="A room without a tub counts for a part")
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
    """Dollars of the day of sale."""

    price: float = Field(gt=0)
    low: float = Field(gt=0, description="One sale in twenty is expected below")
    high: float = Field(gt=0, description="One sale in twenty is expected above")
    neighbours_per_foot: float = Field(
        gt=0, description="What neighbours paid a square foot before"
    )
    neighbours_within: float = Field(ge=0, description="Kilometres to the farthest of them")


# What is typical: of areas the logarithm over it is told, of the others how far they are from it.
AREAS = {
    "living_area": 2000,
    "area_above_ground": 2000,
    "lot_area": 8000,
    "neighbours_living_area": 2000,
    "neighbours_lot_area": 8000,
}
COUNTS = {"bedrooms": 3, "bathrooms": 2, "floors": 1, "view": 0, "condition": 3, "grade": 7}
# All near 1 in size, so that one penalty weighs alike on the coefficients of a linear model.
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
    """Kilometres north and east of Seattle's centre (rows, 2); at most 0.9 % off, in the south."""
    centre = PLACES["seattle"]
    east = (longitude - centre[1]) * np.cos(np.radians(centre[0]))
    return np.stack([latitude - centre[0], east], axis=1) * KILOMETRES


def days(houses: list[House]) -> np.ndarray:
    """Since the first of May 2014 (rows,)."""
    return np.array([(date.fromisoformat(each.sold_on) - FIRST).days for each in houses])


def located(houses: list[House]) -> np.ndarray:
    """`position` of houses (rows, 2)."""
    degrees = [(each.latitude, each.longitude) for each in houses]
    return position(*np.reshape(degrees, (-1, 2)).T)


class Sales:
    """Sales that are known: where, when, and the logarithm of the price a square foot.

    `told` (sales, 4) float32 is north and east in kilometres, days, and that logarithm, over
    `TYPICAL_PER_FOOT`; `shore` (houses, 2) is where houses on the water stand.
    """

    def __init__(self, told: np.ndarray, shore: np.ndarray) -> None:
        self.told, self.shore = told.astype(np.float32), shore.astype(np.float32)

    @classmethod
    def of(cls, houses: list[House], prices: np.ndarray) -> "Sales":
        logs = np.log(prices / [each.living_area for each in houses] / TYPICAL_PER_FOOT)
        at = located(houses)
        told = np.column_stack([at, days(houses), logs])
        return cls(told, at[[each.waterfront for each in houses]])

    def before(self, at: np.ndarray, day: np.ndarray, chunk: int = 256) -> np.ndarray:
        """What the nearest sales of earlier days say: (rows, 2) of logarithm and kilometres.

        The day itself is out, and with it the house's own sale. Where none is earlier, the typical
        price 50 km away.
        """
        found = np.tile(np.array([0.0, 50.0]), (len(at), 1))
        for start in range(0, len(at), chunk):
            rows = slice(start, start + chunk)
            away = distances(at[rows], self.told[:, :2])
            away[self.told[:, 2] >= day[rows, None]] = np.inf
            nearest = min(NEIGHBOURS, away.shape[1])
            places = np.argpartition(away, nearest - 1, axis=1)[:, :nearest]
            near = np.take_along_axis(away, places, axis=1)
            weights = 1 / (near + CLOSE)
            known = weights.sum(axis=1) > 0
            mean = (weights * self.told[places, 3]).sum(axis=1)[known] / weights.sum(axis=1)[known]
            finite = np.where(np.isfinite(near), near, 0).max(axis=1)[known]
            found[rows][known] = np.column_stack([mean, finite])
        return found

    def to_shore(self, at: np.ndarray) -> np.ndarray:
        """Kilometres to the nearest house on the water (rows,); 50 where none is known."""
        if not len(self.shore):
            return np.full(len(at), 50.0)
        return np.asarray(distances(at, self.shore).min(axis=1))


def distances(at: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Kilometres (rows, others) float32."""
    apart = at.astype(np.float32)[:, None] - others[None]
    return np.asarray(np.hypot(apart[:, :, 0], apart[:, :, 1]))


def of_house(each: House, day: int) -> list[float]:
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


def of_place(at: np.ndarray) -> np.ndarray:
    """Coordinates, turned too so that a tree can cut along the shores, and distances; in 10 km."""
    (north, east), turned = at.T, []
    for turn in np.radians([30, 60]):
        turned.append(np.cos(turn) * north - np.sin(turn) * east)
        turned.append(np.sin(turn) * north + np.cos(turn) * east)
    away = distances(at, position(*np.array(list(PLACES.values())).T))
    return np.column_stack([at, *turned, away]) / 10


def features(houses: list[House], sales: Sales) -> dict[str, np.ndarray]:
    """Numbers (rows, 32) float32; the zip code comes last, exact in float32, for the encoder.

    Of four digits: in float32 and float64 they fall on the same side of a tree's threshold.
    """
    at, day = located(houses), days(houses)
    own = np.array([of_house(*each) for each in zip(houses, day.tolist(), strict=True)])
    own = own.reshape(-1, len(HOUSE))
    # A training house on the water is on the shore itself, and so is one that was never seen.
    shore = np.where([each.waterfront for each in houses], 0, sales.to_shore(at)) / 10
    nearby = sales.before(at, day)
    price = nearby[:, 0] + own[:, HOUSE.index("log_living_area")]
    codes = [int(each.zip_code) for each in houses]
    columns = [own, of_place(at), shore, nearby[:, 0], price, np.log1p(nearby[:, 1]), codes]
    return {"numbers": np.round(np.column_stack(columns), 4).astype(np.float32)}


def valuations(numbers: np.ndarray, logs: np.ndarray) -> list[Valuation]:
    """From the features and logarithms (rows, 3) over `TYPICAL`: price, low and high."""
    told = np.clip(logs.astype(np.float64), -FARTHEST, FARTHEST)
    # Models fitted apart can cross: the interval always holds the price.
    price, low, high = told[:, 0], told[:, :2].min(axis=1), told[:, [0, 2]].max(axis=1)
    per_foot = numbers[:, NUMBERS.index("neighbours_per_foot")]
    return Valuation.of_columns(
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
        with np.load(weights / "sales.npz") as held:
            self._sales = Sales(held["told"], held["shore"])

    def predict(self, model_input: list[House]) -> list[Valuation]:
        blocks = features(model_input, self._sales)
        told = self.run(blocks)
        logs = np.column_stack([told[name] for name in ("price", "low", "high")])
        return valuations(blocks["numbers"], logs)


publish(KingCounty())

"""What would this house in Ames, Iowa, have sold for?

Data: 1,460 sales of 2006 to 2010 in one town, at 34,900 to 755,000 dollars.
Task: regression on the logarithm of the price, so that an error of 10 % counts the same at any
price.
Model: the simplest candidate whose cross-validated R2 on log price lies within one standard error
of the best, over ratings, areas, ages and one-hot categories, as ONNX. The interval is the price
divided and multiplied by one factor; it contained nine in ten held-out training sales.
Limits: one town around the crisis of 2008; no use for other places or years. Two huge houses that
sold for little were left out of training, so similar houses are valued at many times their price.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

# Dollars. The graph predicts the logarithm of price over this. Near 0, float32 is exact to 1e-7 or
# better; near log(160,000) = 12 only to 1e-6, which the exponential would pass on to the price.
TYPICAL = 160_000.0
# Training prices lie between -1.6 and 1.6; beyond 3 (8,000 and 3.2 million) nothing is known.
FARTHEST = 3.0

GRADES = ("poor", "fair", "typical", "good", "excellent")
GRADE = "^(poor|fair|typical|good|excellent)$"


class House(Record):
    """A house as the town's assessor describes it, in their codes; areas are in square feet."""

    neighborhood: str = Field(max_length=20, description="Such as NAmes, CollgCr or OldTown")
    zoning: str = Field(max_length=10, description="RL, RM, RH, FV or C (all)")
    surroundings: str = Field(
        default="Norm", max_length=10, description="Artery, Feedr, Norm, PosA, PosN or RR.."
    )
    building_type: str = Field(pattern="^(1Fam|2fmCon|Duplex|TwnhsE|Twnhs)$")
    house_style: str = Field(max_length=10, description="Such as 1Story, 2Story or SLvl")
    lot_frontage: float | None = Field(
        default=None, ge=0, le=500, description="Feet of street; unknown for 18 %"
    )
    lot_area: float = Field(ge=500, le=250_000)
    overall_quality: int = Field(ge=1, le=10, description="Of material and finish")
    overall_condition: int = Field(ge=1, le=10)
    year_built: int = Field(ge=1800, le=2010)
    year_remodelled: int | None = Field(
        default=None, ge=1800, le=2010, description="None if never; 1950 for any earlier one"
    )
    exterior_material: str = Field(max_length=10, description="Such as VinylSd or HdBoard")
    exterior_quality: str = Field(pattern=GRADE)
    masonry_veneer_area: float | None = Field(default=None, ge=0, le=3000)
    foundation: str = Field(max_length=10, description="PConc, CBlock, BrkTil, Slab, Stone, Wood")
    basement_quality: str | None = Field(default=None, pattern=GRADE, description="Of its height")
    basement_exposure: str | None = Field(
        default=None, pattern="^(Gd|Av|Mn|No)$", description="Walk-out or garden-level walls"
    )
    basement_area: float = Field(default=0, ge=0, le=7000)
    basement_finished_area: float = Field(default=0, ge=0, le=7000)
    heating_quality: str = Field(pattern=GRADE)
    central_air: bool
    first_floor_area: float = Field(ge=100, le=6000)
    living_area: float = Field(ge=100, le=8000, description="Above ground, all floors")
    bedrooms: int = Field(ge=0, le=12, description="Above ground")
    rooms: int = Field(ge=1, le=20, description="Above ground, without bathrooms")
    kitchens: int = Field(ge=0, le=5)
    kitchen_quality: str = Field(pattern=GRADE)
    full_baths: int = Field(ge=0, le=6, description="Above ground")
    half_baths: int = Field(ge=0, le=6, description="Above ground")
    basement_full_baths: int = Field(default=0, ge=0, le=6)
    basement_half_baths: int = Field(default=0, ge=0, le=6)
    functionality: str = Field(
        default="Typ", pattern="^(Typ|Min1|Min2|Mod|Maj1|Maj2|Sev|Sal)$", description="Damage"
    )
    fireplaces: int = Field(default=0, ge=0, le=6)
    fireplace_quality: str | None = Field(default=None, pattern=GRADE)
    garage_type: str | None = Field(default=None, max_length=10, description="Such as Attchd")
    garage_finish: str | None = Field(default=None, pattern="^(Fin|RFn|Unf)$")
    garage_year: int | None = Field(default=None, ge=1800, le=2010)
    garage_cars: int = Field(default=0, ge=0, le=6)
    garage_area: float = Field(default=0, ge=0, le=2000)
    wood_deck_area: float = Field(default=0, ge=0, le=1500)
    open_porch_area: float = Field(default=0, ge=0, le=1000)
    enclosed_porch_area: float = Field(default=0, ge=0, le=1000)
    screen_porch_area: float = Field(default=0, ge=0, le=1000)
    year_sold: int = Field(ge=2006, le=2010)
    sale_condition: str = Field(
        default="Normal", max_length=10, description="Normal, Abnorml, Partial, Family, ..."
    )


class Valuation(Record):
    """A predicted price with its interval, in dollars of the year of sale."""

    price: float = Field(gt=0)
    low: float = Field(gt=0, description="One sale in twenty is expected below")
    high: float = Field(gt=0, description="One sale in twenty is expected above")


# Columns by the kind of their fields, in the record's order.
TEXT = [name for name, field in House.model_fields.items() if field.annotation in (str, str | None)]
PLAIN = tuple(name for name in House.model_fields if name not in TEXT)
GRADED = tuple(name for name in TEXT if name.endswith("_quality"))
CATEGORIES = tuple(name for name in TEXT if name not in GRADED)


def age(house: House) -> int:
    return max(house.year_sold - house.year_built, 0)


def year_remodelled(house: House) -> int:
    """Return it as the assessor does: the year built if never remodelled, and at least 1950."""
    return max(house.year_remodelled or house.year_built, 1950)


def years_since_remodelled(house: House) -> int:
    return max(house.year_sold - year_remodelled(house), 0)


def total_area(house: House) -> float:
    return house.living_area + house.basement_area


def total_baths(house: House) -> float:
    """Return the number of baths; a half bath (without tub or shower) counts one half."""
    full = house.full_baths + house.basement_full_baths
    return full + 0.5 * (house.half_baths + house.basement_half_baths)


# Computed from the plain columns. Areas are heavy-tailed and prices are proportional to them, so
# their logarithms are linear in the logarithm of the price.
ENGINEERED: dict[str, Callable[[House], float]] = {
    "log_total_area": lambda house: np.log(total_area(house)),
    "log_living_area": lambda house: np.log(house.living_area),
    "log_lot_area": lambda house: np.log(house.lot_area),
    "age": age,
    "root_age": lambda house: np.sqrt(age(house)),  # gives more weight to the first years
    "years_since_remodelled": years_since_remodelled,
    "is_new": lambda house: age(house) <= 1,
    "total_baths": total_baths,
    "area_per_room": lambda house: house.living_area / house.rooms,
    "porch_area": lambda house: (
        house.open_porch_area + house.enclosed_porch_area + house.screen_porch_area
    ),
    "quality_area": lambda house: house.overall_quality * total_area(house),
    "has_garage": lambda house: house.garage_area > 0,
    "has_basement": lambda house: house.basement_area > 0,
}
# A missing number can carry information: a house without a garage has no garage year.
GAPS = ("lot_frontage", "masonry_veneer_area", "garage_year")
NUMBERS = (*PLAIN, *GRADED, *ENGINEERED, *(f"{name}_missing" for name in GAPS))


def grade(word: str | None) -> int:
    """Return 1 (poor) to 5 (excellent), or 0 where there is nothing to grade."""
    return 0 if word is None else GRADES.index(word) + 1


def numbers(house: House) -> list[float | None]:
    known = {**dict(house), "year_remodelled": year_remodelled(house)}
    return [
        *(known[name] for name in PLAIN),
        *(grade(known[name]) for name in GRADED),
        *(compute(house) for compute in ENGINEERED.values()),
        *(known[name] is None for name in GAPS),
    ]


def features(houses: list[House]) -> dict[str, np.ndarray]:
    """Return numbers (rows, 49) float32, NaN where missing, and categories (rows, 12) of text."""
    categories = [[getattr(each, name) or "none" for name in CATEGORIES] for each in houses]
    return {
        "numbers": np.array([numbers(each) for each in houses], dtype=np.float32),
        "categories": np.array(categories, dtype=object),
    }


def valuations(logs: np.ndarray, spread: float) -> list[Valuation]:
    """Return valuations from logarithms of price over `TYPICAL` (rows,).

    The interval reaches `spread` to either side of each logarithm.
    """
    centre = np.clip(logs.astype(np.float64), -FARTHEST, FARTHEST)
    price, low, high = (TYPICAL * np.exp(centre + step) for step in (0.0, -spread, spread))
    return Valuation.from_columns(price=price, low=low, high=high)


class HousePrices(OnnxModel):
    explained = "price"

    def load(self, weights: Path) -> None:
        super().load(weights)
        self._spread = float(json.loads((weights / "interval.json").read_text())["spread"])

    def predict(self, model_input: list[House]) -> list[Valuation]:
        return valuations(self.run(features(model_input))["variable"][:, 0], self._spread)


publish(HousePrices())

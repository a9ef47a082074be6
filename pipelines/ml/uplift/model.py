"""Which e-mail, if any, brings this customer to the shop who would not have come without?

Data: Hillstrom's experiment of 2008: 64,000 customers who had bought within a year were drawn at
random to get an e-mail with men's wares, one with women's, or none; 15 % came within two weeks.
Task: the effect of each e-mail on the probability of a visit. It is known of nobody, since nobody
was both sent one and not; but of any group it is, since chance alone made the arms.
Model: the simplest meta-learner within one standard error of the best cross-validated Qini
coefficient, its parts one ONNX graph.
Limits: one shop, two weeks, 2008. A visit is no sale: 0.9 % bought, too few to learn from. Nobody
known is left unmailed: of the two e-mails the better is worth sending to every one of them.
"""

import json
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import OnnxModel, Record, publish

AREAS = ("rural", "suburban", "urban")
CHANNELS = ("multichannel", "phone", "web")


class Shopper(Record):
    """A customer who bought within the last twelve months."""

    recency: int = Field(ge=1, le=12, description="Months since the last purchase")
    history: float = Field(
        ge=1, le=100_000, description="Dollars spent in the past year: 29.99 to 3,346 in the data"
    )
    mens: bool = Field(description="Bought men's wares in the past year")
    womens: bool = Field(description="Bought women's wares in the past year")
    area: str = Field(pattern="^(rural|suburban|urban)$")
    newcomer: bool = Field(description="A customer for less than a year")
    channel: str = Field(
        pattern="^(multichannel|phone|web)$", description="Of the past year's purchases"
    )

    @model_validator(mode="after")
    def _bought_something(self) -> Self:
        if not (self.mens or self.womens):
            raise ValueError("one of mens and womens must be true: all customers known bought some")
        return self


class Campaign(Record):
    """What each e-mail is expected to do, as probabilities of a visit within two weeks."""

    visit_without: float = Field(ge=0, le=1, description="With no e-mail")
    uplift_mens: float = Field(ge=-1, le=1, description="Of the e-mail with men's wares over none")
    uplift_womens: float = Field(ge=-1, le=1, description="Of the one with women's wares")
    uplift: float = Field(ge=-1, le=1, description="Of the better of the two")
    recommendation: str = Field(
        pattern="^(mens|womens|none)$", description="None where the better brings too little"
    )


NUMBERS = (
    "recency",
    "log_history",
    "mens",
    "womens",
    "newcomer",
    *(f"area_{name}" for name in AREAS),
    *(f"channel_{name}" for name in CHANNELS),
)


def features(shoppers: list[Shopper]) -> dict[str, np.ndarray]:
    """Numbers (rows, 11) float32."""
    rows = [
        [
            each.recency,
            # To a thousandth, so that rounding alone puts nobody on another side of a threshold.
            round(float(np.log1p(each.history)), 3),
            each.mens,
            each.womens,
            each.newcomer,
            *(each.area == name for name in AREAS),
            *(each.channel == name for name in CHANNELS),
        ]
        for each in shoppers
    ]
    return {"numbers": np.array(rows, dtype=np.float32).reshape(-1, len(NUMBERS))}


def campaigns(visits: np.ndarray, least: float) -> list[Campaign]:
    """From the probabilities of a visit (rows, 3) with no, men's and women's e-mail.

    An e-mail is recommended where it brings `least` or more.
    """
    sure = np.clip(visits.astype(np.float64), 0.0, 1.0)
    without = sure[:, 0]
    mens, womens = sure[:, 1] - without, sure[:, 2] - without
    best, better = np.maximum(mens, womens), np.where(mens >= womens, "mens", "womens")
    return Campaign.of_columns(
        visit_without=without,
        uplift_mens=mens,
        uplift_womens=womens,
        uplift=best,
        recommendation=np.where(best < least, "none", better),
    )


class Uplift(OnnxModel):
    explained = "uplift"

    def load(self, weights: Path) -> None:
        super().load(weights)
        self._least = float(json.loads((weights / "least.json").read_text())["least_uplift"])

    def predict(self, model_input: list[Shopper]) -> list[Campaign]:
        return campaigns(self.run(features(model_input))["visits"], self._least)


publish(Uplift())

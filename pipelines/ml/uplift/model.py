"""Which e-mail, if any, brings this customer to the shop who would not have come without?

Data: Hillstrom's experiment of 2008: 64,000 customers who had bought within a year were randomized
to get an e-mail with men's wares, one with women's, or none; 15 % visited within two weeks.
Task: the effect of each e-mail on the probability of a visit. It is unknown for single customers,
since nobody was both mailed and not mailed. For groups it is known, since the arms are random.
Model: the simplest meta-learner within one standard error of the best cross-validated Qini
coefficient, with all its parts in one ONNX graph.
Limits: one shop, two weeks, 2008. A visit is not a sale: 0.9 % bought, too few to learn from. The
model recommends an e-mail to every customer in the data, as the better one is always worth sending.
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
        ge=1, le=100_000, description="Dollars spent in the past year, 29.99 to 3,346 in the data"
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
    """The expected effects of both e-mails on the probability of a visit within two weeks."""

    visit_without: float = Field(ge=0, le=1, description="Probability without an e-mail")
    uplift_mens: float = Field(ge=-1, le=1, description="Effect of the e-mail with men's wares")
    uplift_womens: float = Field(ge=-1, le=1, description="Effect of the one with women's wares")
    uplift: float = Field(ge=-1, le=1, description="Effect of the better e-mail")
    recommendation: str = Field(
        pattern="^(mens|womens|none)$", description="None if the effect is too small"
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
    """Return numbers (rows, 11) float32."""
    rows = [
        [
            each.recency,
            # Rounded, so that float32 and float64 agree at a tree's threshold.
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
    """Return effects and recommendations from probabilities of a visit (rows, 3).

    The columns are no, men's and women's e-mail. An e-mail is recommended if its effect is `least`
    or more.
    """
    sure = np.clip(visits.astype(np.float64), 0.0, 1.0)
    without = sure[:, 0]
    mens, womens = sure[:, 1] - without, sure[:, 2] - without
    best, better = np.maximum(mens, womens), np.where(mens >= womens, "mens", "womens")
    return Campaign.from_columns(
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

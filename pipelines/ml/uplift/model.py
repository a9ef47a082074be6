"""Which e-mail, if any, brings this customer to the shop who would not have come without?

Data: Hillstrom's experiment of 2008: 64,000 customers who had bought within a year were randomized
to get an e-mail with men's wares, one with women's, or none; 15 % visited within two weeks.
Task: the effect of each e-mail on the probability of a visit. It is unknown for single customers,
since nobody was both mailed and not mailed. For groups it is known, since the arms are random.
Model: the simplest meta-learner within one standard error of the best cross-validated Qini
coefficient, with all its parts in one ONNX graph. Its uplifts are brought to what customers who
were left out of its training showed, with a 95 % interval. An e-mail is recommended if the whole
interval of its effect is worth sending; without that evidence the answer is none.
Limits: one shop, two weeks, 2008. A visit is not a sale: 0.9 % bought, too few to learn from. The
interval is that of the mean effect on customers with the same predicted uplift, not of one person.
The intervals and the answer none were added after test customers had contradicted the plain
uplifts, which are now corrected on training customers alone.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import OnnxModel, Record, publish

AREAS = ("rural", "suburban", "urban")
CHANNELS = ("multichannel", "phone", "web")
EFFECTS = "effects.json"
# Standard errors on either side of an estimate that make a 95 % interval.
CERTAINTY = 1.96


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
    uplift_mens_low: float = Field(ge=-1, le=1, description="Lower end of its 95 % interval")
    uplift_mens_high: float = Field(ge=-1, le=1, description="Upper end")
    uplift_womens: float = Field(ge=-1, le=1, description="Effect of the one with women's wares")
    uplift_womens_low: float = Field(ge=-1, le=1, description="Lower end of its 95 % interval")
    uplift_womens_high: float = Field(ge=-1, le=1, description="Upper end")
    uplift: float = Field(ge=-1, le=1, description="Effect of the better e-mail")
    recommendation: str = Field(
        pattern="^(mens|womens|none)$",
        description="None if there is no evidence that an e-mail is worth sending",
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


@dataclass(frozen=True)
class EffectLine:
    """The effect of an e-mail by its predicted uplift: `mean` at `center`, and the slope from it.

    The last three are the variance of the mean, the covariance of both, and that of the slope.
    """

    center: float
    mean: float
    slope: float
    mean_variance: float
    covariance: float
    slope_variance: float

    def interval(self, uplift: np.ndarray) -> np.ndarray:
        """Return the effect and the ends of its 95 % interval (3, rows) for uplifts (rows,)."""
        away = uplift - self.center
        variance = self.mean_variance + 2 * self.covariance * away + self.slope_variance * away**2
        effect, half = self.mean + self.slope * away, CERTAINTY * np.sqrt(variance)
        return np.clip([effect, effect - half, effect + half], -1.0, 1.0)


@dataclass(frozen=True)
class Effects:
    """The lines of both e-mails, and the least effect for which an e-mail is worth sending."""

    mens: EffectLine
    womens: EffectLine
    least: float

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Effects":
        mens, womens = (EffectLine(**content[name]) for name in ("mens", "womens"))
        return cls(mens, womens, content["least"])


def campaigns(visits: np.ndarray, effects: Effects) -> list[Campaign]:
    """Return effects and recommendations from probabilities of a visit (rows, 3).

    The columns are no, men's and women's e-mail. The e-mail with the larger effect is recommended
    among those whose interval lies at or above the least effect worth sending.
    """
    sure = np.clip(visits.astype(np.float64), 0.0, 1.0)
    without = sure[:, 0]
    mens, womens = (
        line.interval(sure[:, place] - without)
        for place, line in ((1, effects.mens), (2, effects.womens))
    )
    worth = [np.where(each[1] >= effects.least, each[0], -np.inf) for each in (mens, womens)]
    better = np.where(worth[0] >= worth[1], "mens", "womens")
    return Campaign.from_columns(
        visit_without=without,
        uplift_mens=mens[0],
        uplift_mens_low=mens[1],
        uplift_mens_high=mens[2],
        uplift_womens=womens[0],
        uplift_womens_low=womens[1],
        uplift_womens_high=womens[2],
        uplift=np.maximum(mens[0], womens[0]),
        recommendation=np.where(np.isneginf(np.maximum(*worth)), "none", better),
    )


class Uplift(OnnxModel):
    explained = "uplift"

    def load(self, weights: Path) -> None:
        super().load(weights)
        self._effects = Effects.from_json(json.loads((weights / EFFECTS).read_text()))

    def predict(self, model_input: list[Shopper]) -> list[Campaign]:
        return campaigns(self.run(features(model_input))["visits"], self._effects)


publish(Uplift())

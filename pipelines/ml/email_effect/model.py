"""What does the e-mail bring of a customer like this one, how sure is that, and does it pay?

Data: Hillstrom's experiment of 2008: 42,693 customers drawn at random to get an e-mail with
women's wares or none; whether they came and what they spent in the two weeks after.
Task: the mean effect of the e-mail on visits and on dollars among such customers, with intervals.
Model: the mean of doubly robust scores, and its error, in each of six cells: buyers of men's wares,
of women's or of both, newcomers or not (Semenova and Chernozhukov 2021); as ONNX, a matrix product.
Limits: one shop, two weeks, 2008. An interval is of the mean effect in a customer's cell, never of
what one of them will do. Effects on dollars are small beside their noise: most of them are unsure.
"""

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import OnnxModel, Record, publish

# Two-sided, 95 %.
NORMAL = 1.959964


class Customer(Record):
    """A customer who bought within the last twelve months, and what an e-mail costs and wins.

    The effects follow from `mens`, `womens` and `newcomer` alone; `recency`, `history`, `area` and
    `channel` move only `visit_without`.
    """

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
    margin: float = Field(default=0.4, ge=0, le=1, description="Profit in a dollar of sales")
    cost: float = Field(default=0.05, ge=0, le=1000, description="Dollars that one e-mail costs")

    @model_validator(mode="after")
    def _bought_something(self) -> Self:
        if not (self.mens or self.womens):
            raise ValueError("one of mens and womens must be true: all customers known bought some")
        return self


class Effect(Record):
    """The mean effect among such customers within two weeks, with intervals of 95 %."""

    visit_without: float = Field(ge=0, le=1, description="Probability of a visit with no e-mail")
    visit_effect: float = Field(description="Added to that probability by the e-mail")
    visit_low: float
    visit_high: float
    spend_effect: float = Field(description="Dollars added by the e-mail")
    spend_low: float
    spend_high: float
    profit: float = Field(description="Margin times the dollars added, less the cost")
    pays: str = Field(
        pattern="^(yes|no|unsure)$", description="Unsure where the interval of the profit holds 0"
    )


NUMBERS = (
    "one",
    "recency",
    "log_history",
    "mens",
    "womens",
    "newcomer",
    "suburban",
    "urban",
    "phone",
    "web",
    "newcomer_mens",
    "newcomer_womens",
)
# With these each of the six cells has a number of its own: nobody bought neither kind of wares.
CELLS = ("one", "mens", "womens", "newcomer", "newcomer_mens", "newcomer_womens")


def features(customers: list[Customer]) -> dict[str, np.ndarray]:
    """Numbers (rows, 12) float32, the first of them 1."""
    rows = [
        [
            1,
            each.recency,
            np.log1p(each.history),  # half of them below 158 dollars
            each.mens,
            each.womens,
            each.newcomer,
            *(each.area == name for name in ("suburban", "urban")),
            *(each.channel == name for name in ("phone", "web")),
            each.newcomer and each.mens,
            each.newcomer and each.womens,
        ]
        for each in customers
    ]
    return {"numbers": np.array(rows, dtype=np.float32).reshape(-1, len(NUMBERS))}


def effects(customers: list[Customer], told: np.ndarray) -> list[Effect]:
    """From numbers (rows, 5): the probability of a visit with no e-mail; then for visits and for
    dollars the mean effect and its error."""
    numbers = told.astype(np.float64)
    middle, reach = numbers[:, 1::2], NORMAL * numbers[:, 2::2]
    low, high = middle - reach, middle + reach
    margin, cost = np.array([(each.margin, each.cost) for each in customers]).reshape(-1, 2).T
    worst, profit, best = (margin * end[:, 1] - cost for end in (low, middle, high))
    return Effect.of_columns(
        visit_without=numbers[:, 0].clip(0, 1),
        visit_effect=middle[:, 0],
        visit_low=low[:, 0],
        visit_high=high[:, 0],
        spend_effect=middle[:, 1],
        spend_low=low[:, 1],
        spend_high=high[:, 1],
        profit=profit,
        pays=np.where(worst > 0, "yes", np.where(best < 0, "no", "unsure")),
    )


class EmailEffect(OnnxModel):
    explained = "visit_effect"

    def predict(self, model_input: list[Customer]) -> list[Effect]:
        return effects(model_input, self.run(features(model_input))["variable"])


publish(EmailEffect())

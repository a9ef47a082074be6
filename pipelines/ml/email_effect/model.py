"""What is the effect of the e-mail on a customer like this one, how certain is it, and does it pay?

Data: Hillstrom's experiment of 2008: 42,693 customers assigned at random to an e-mail with women's
wares or to none, with their visits and spending in the two weeks after.
Task: the mean effect of the e-mail on visits and on dollars among similar customers, with
intervals.
Model: the mean of doubly robust scores, and its error, in each of six cells: buyers of men's wares,
of women's or of both, newcomers or not (Semenova and Chernozhukov 2021). As ONNX it is a matrix
product.
Limits: one shop, two weeks, 2008. An interval is for the mean effect in a customer's cell, not for
one customer. Effects on dollars are small compared with their noise: most of them are unsure. Among
buyers of women's wares alone, newcomers have the larger predicted effect, but on the test rows the
older customers do: do not prefer one of the two groups.
Evaluation: the rule by which this learner was chosen changed after test figures had been committed:
only learners with an interval may be served since then. The gate was set anew from validation rows
with the test figures known.
"""

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import OnnxModel, Record, publish

# Two-sided, 95 %.
NORMAL = 1.959964


class Customer(Record):
    """A customer who bought within the last twelve months, with the margin and cost of an e-mail.

    The effects depend on `mens`, `womens` and `newcomer` alone; `recency`, `history`, `area` and
    `channel` change only `visit_without`.
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
        pattern="^(multichannel|phone|web)$", description="Channel of the past year's purchases"
    )
    margin: float = Field(default=0.4, ge=0, le=1, description="Profit per dollar of sales")
    cost: float = Field(default=0.05, ge=0, le=1000, description="Cost of one e-mail in dollars")

    @model_validator(mode="after")
    def _bought_something(self) -> Self:
        if not (self.mens or self.womens):
            raise ValueError("one of mens and womens must be true, as for all known customers")
        return self


class Effect(Record):
    """The mean effect on similar customers within two weeks, with 95 % intervals."""

    visit_without: float = Field(ge=0, le=1, description="Probability of a visit without e-mail")
    visit_effect: float = Field(description="Increase of that probability by the e-mail")
    visit_low: float
    visit_high: float
    spend_effect: float = Field(description="Dollars added by the e-mail")
    spend_low: float
    spend_high: float
    profit: float = Field(description="Margin times the dollars added, minus the cost")
    pays: str = Field(
        pattern="^(yes|no|unsure)$", description="Unsure if the interval of the profit contains 0"
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
# These columns give each of the six cells its own value: every customer bought men's or women's
# wares.
CELLS = ("one", "mens", "womens", "newcomer", "newcomer_mens", "newcomer_womens")


def features(customers: list[Customer]) -> dict[str, np.ndarray]:
    """Return numbers (rows, 12) float32, the first of them 1."""
    rows = [
        [
            1,
            each.recency,
            np.log1p(each.history),  # half of them are below 158 dollars
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


def effects(customers: list[Customer], outputs: np.ndarray) -> list[Effect]:
    """Return predictions, given the model's outputs (rows, 5).

    They are the probability of a visit without e-mail, then the mean effect and its error, first
    for visits and then for dollars.
    """
    numbers = outputs.astype(np.float64)
    middle, reach = numbers[:, 1::2], NORMAL * numbers[:, 2::2]
    low, high = middle - reach, middle + reach
    margin, cost = np.array([(each.margin, each.cost) for each in customers]).reshape(-1, 2).T
    worst, profit, best = (margin * end[:, 1] - cost for end in (low, middle, high))
    return Effect.from_columns(
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

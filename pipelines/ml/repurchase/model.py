"""Will this customer of the online shop buy again within 90 days?

Data: every customer of a British online shop for gifts at seven moments, 90 days apart, with what
was known of them at each; 2009 to 2011.
Task: binary classification whose probabilities must be true, split by time.
Model: recency, frequency, value, returns and basket habits from the feature store, into the
simplest candidate within one standard error of the best Brier skill on moments after those it was
fitted on; as ONNX.
Limits: one shop, and two years of it: each season was seen at most twice, and a trend of the
shop itself cannot be told from its customers. Only who has bought before can be asked about.
"""

import json
import math
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import Lookup, OnnxModel, Record, publish
from slipway.contract.calibration import calibrated

CALIBRATION = "calibration.json"


class Shopper(Record):
    """A customer at the moment of the question; the feature service `repurchase` knows them all."""

    days_since_purchase: float = Field(ge=0, le=20_000)
    days_known: float = Field(ge=0, le=20_000, description="Since the first purchase")
    days_between_orders: float | None = Field(
        default=None, ge=0, le=20_000, description="On average; none after a single order"
    )
    orders: int = Field(ge=1, le=100_000)
    orders_90d: int = Field(ge=0, le=100_000, description="In the 90 days to the last activity")
    spent: float = Field(ge=0, le=1e9, description="Pounds, on all orders")
    spent_90d: float = Field(ge=0, le=1e9, description="In the 90 days to the last activity")
    average_order: float = Field(ge=0, le=1e9, description="Pounds")
    items_per_order: float = Field(ge=0, le=1e7)
    lines_per_order: float = Field(ge=0, le=1e5)
    products: int = Field(ge=1, le=100_000, description="Different ones, so far")
    returns: int = Field(ge=0, le=100_000, description="Credit notes so far")
    return_share: float = Field(ge=0, le=1, description="Of the worth of all orders")
    abroad: bool = Field(default=False, description="The last order went abroad")
    day_of_year: int = Field(ge=1, le=366, description="Of the question: the season")


class Repurchase(Record):
    """What the model holds likely."""

    buys_again: bool = Field(description="More likely than not")
    probability: float = Field(ge=0, le=1, description="Of an order within 90 days")


NUMBERS = (
    "log_days_since_purchase",
    "log_days_known",
    "log_days_between_orders",
    "overdue",
    "log_orders",
    "log_orders_90d",
    "log_spent",
    "log_spent_90d",
    "log_average_order",
    "log_items_per_order",
    "log_lines_per_order",
    "log_products",
    "log_returns",
    "return_share",
    "is_single",
    "abroad",
    "season_sine",
    "season_cosine",
)
SEASON = ("season_sine", "season_cosine")


def features(shoppers: list[Shopper]) -> dict[str, np.ndarray]:
    """Numbers (rows, 18) float32."""
    numbers = np.empty((len(shoppers), len(NUMBERS)), dtype=np.float32)
    for row, each in enumerate(shoppers):
        # Of a single order nothing is known about the gap but that it is not over yet.
        gap = each.days_known if each.days_between_orders is None else each.days_between_orders
        angle = 2 * math.pi * each.day_of_year / 365.25
        numbers[row] = (
            math.log1p(each.days_since_purchase),
            math.log1p(each.days_known),
            math.log1p(gap),
            # How far past the usual gap: near 0 is on time, log 2 is twice the usual.
            math.log1p(each.days_since_purchase) - math.log1p(gap),
            math.log(each.orders),
            math.log1p(each.orders_90d),
            math.log1p(each.spent),
            math.log1p(each.spent_90d),
            math.log1p(each.average_order),
            math.log1p(each.items_per_order),
            math.log1p(each.lines_per_order),
            math.log(each.products),
            math.log1p(each.returns),
            each.return_share,
            each.orders == 1,
            each.abroad,
            math.sin(angle),
            math.cos(angle),
        )
    return {"numbers": numbers}


def repurchases(probabilities: np.ndarray) -> list[Repurchase]:
    """From the probabilities of another order (rows,)."""
    return [Repurchase(buys_again=p >= 0.5, probability=p) for p in probabilities.tolist()]


class RepurchaseModel(OnnxModel):
    explained = "probability"
    looked_up = Lookup(entity="customer_id", service="repurchase")

    def load(self, weights: Path) -> None:
        super().load(weights)
        told = json.loads((weights / CALIBRATION).read_text())
        self._slope, self._intercept = float(told["slope"]), float(told["intercept"])

    def predict(self, model_input: list[Shopper]) -> list[Repurchase]:
        raw = self.run(features(model_input))["probabilities"][:, 1]
        return repurchases(calibrated(raw, self._slope, self._intercept))


publish(RepurchaseModel())

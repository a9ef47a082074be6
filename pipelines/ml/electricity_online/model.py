"""Will electricity cost more in the next half hour than it did on average over the past day?

Data: the market of New South Wales, 45,312 half hours from May 1996 to December 1998.
Task: binary classification of the half hour to come, from what is known before it begins.
Model: a logistic regression that learnt from each half hour once, as it came; its weights and the
running scale of its inputs as ONNX. It is what the online learner knew at the end of the stream.
Limits: prices and demand are scaled to 0 and 1 as published. Weights that learn no more grow old:
the market changed when Victoria joined it in May 1997, and may change again.
"""

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

DAY = 48


class Market(Record):
    """The market as the half hour now ends; prices and demand as published, 0 to 1."""

    half_hour: int = Field(ge=0, lt=DAY, description="Of the day, the one that ends: 0 to 47")
    weekday: int = Field(ge=0, le=6, description="Monday is 0")
    price: float = Field(ge=0, le=1, description="In New South Wales")
    price_before: float = Field(ge=0, le=1, description="Half an hour earlier")
    price_yesterday: float = Field(
        ge=0, le=1, description="23.5 hours ago: of the half hour to come, a day earlier"
    )
    price_day: float = Field(ge=0, le=1, description="Mean of the past 24 hours")
    demand: float = Field(ge=0, le=1)
    demand_before: float = Field(ge=0, le=1)
    demand_yesterday: float = Field(ge=0, le=1, description="Of the half hour to come, a day ago")
    vic_price: float = Field(ge=0, le=1, description="In Victoria")
    vic_demand: float = Field(ge=0, le=1)
    transfer: float = Field(ge=0, le=1, description="Between the two states")
    is_up: bool = Field(description="Whether this half hour's price was above the past day's")


class Outlook(Record):
    """The half hour to come."""

    up: bool = Field(description="Dearer than the mean of the past 24 hours")
    probability: float = Field(ge=0, le=1)


# Half the prices lie between 0.03 and 0.08: what lies below is told apart as well as what is above.
LEAST = 0.005


def columns(markets: list[Market]) -> dict[str, np.ndarray]:
    """What is told of them, by name (rows,). Prices count by their ratios."""
    told = {
        name: np.array([getattr(each, name) for each in markets], dtype=np.float64)
        for name in Market.model_fields
    }
    now, before, yesterday, day, victoria = (
        np.log(told[name] + LEAST)
        for name in ("price", "price_before", "price_yesterday", "price_day", "vic_price")
    )
    demand, ahead = told["demand"], told["demand_yesterday"]
    angle = 2 * np.pi * (told["half_hour"] + 1) / DAY
    found = {
        "is_up": told["is_up"],
        "above_day": now - day,
        "price_moved": now - before,
        "log_price": now,
        "yesterday_above_day": yesterday - day,
        "yesterday_moved": yesterday - now,
        "demand": demand,
        "demand_moved": demand - told["demand_before"],
        "demand_yesterday": ahead,
        "demand_ahead": ahead - demand,
        "log_vic_price": victoria,
        "vic_demand": told["vic_demand"],
        "transfer": told["transfer"],
        "is_weekend": told["weekday"] >= 5,
    }
    for turns in (1, 2, 3):
        found[f"sine_{turns}"] = np.sin(turns * angle)
        found[f"cosine_{turns}"] = np.cos(turns * angle)
    return found


NUMBERS = tuple(columns([]))


def features(markets: list[Market]) -> dict[str, np.ndarray]:
    """Numbers (rows, 20) float32, a column each of `NUMBERS`."""
    return {"numbers": np.stack([*columns(markets).values()], axis=1).astype(np.float32)}


def outlooks(probabilities: np.ndarray) -> list[Outlook]:
    """From the probabilities that the price will be up (rows,)."""
    return [Outlook(up=p >= 0.5, probability=p) for p in probabilities.tolist()]


class ElectricityOnline(OnnxModel):
    explained = "probability"

    def predict(self, model_input: list[Market]) -> list[Outlook]:
        return outlooks(self.run(features(model_input))["probabilities"][:, 1])


publish(ElectricityOnline())

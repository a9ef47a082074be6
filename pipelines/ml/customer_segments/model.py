"""Which kind of customer is this, and what should the shop do about them?

Data: customers of a British online shop for gifts with their purchases of one year, as they stood
on 12 June 2011; tested on how they stood 90 days later.
Task: clustering into named segments; what was spent in the 90 days after is never an input.
Model: k-means on the logarithms of recency, frequency and money, standardized; as ONNX. Of the
stable numbers of segments, the fewest within one standard error of the best silhouette.
Limits: one shop, many of whose customers are wholesalers. Recency, frequency and money lie on a
continuum, which the segments cut: who stands between two is told by `sureness`. A customer who
has not bought for a year is not one that it can place.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

YEAR_DAYS = 365
SEGMENTS = "segments.json"
RECOMMENDATIONS = {
    "champions": "Thank and keep: first look at new goods and a named contact; no discounts.",
    "loyal": "Raise the order: bundles, and free delivery from a little above the usual order.",
    "promising": "Bring the next order soon: write within two weeks, with what goes with the last.",
    "at_risk": "Win back now: a personal offer before the habit is lost; about one in three buys "
    "again within 90 days.",
    "hibernating": "Cheap reminders before the season only: few come back, and spend little.",
}


class Customer(Record):
    """What is known of a customer from the last year."""

    recency_days: float = Field(ge=0, le=YEAR_DAYS, description="Since the last purchase")
    orders: int = Field(ge=1, le=10_000, description="In the year")
    spent: float = Field(
        ge=0,
        le=1e9,
        description="Pounds in the year, less what was sent back; 0 where more was sent back",
    )


class Segment(Record):
    """The nearest segment, and how customers like that went on."""

    segment: str
    recommendation: str
    distance: float = Field(ge=0, description="To the segment's centre, in standard deviations")
    next_segment: str = Field(description="The second nearest")
    sureness: float = Field(
        ge=0, le=1, description="1 - distance / distance to the next; 0 on the border"
    )
    unusual: bool = Field(description="Farther out than 99 of 100 customers in training")
    share_buying: float = Field(ge=0, le=1, description="Of the segment, in the 90 days after")
    spent_after: float = Field(
        ge=0, description="Pounds a head of the segment in the 90 days after, before returns"
    )


def features(customers: list[Customer]) -> dict[str, np.ndarray]:
    """Logarithms of recency, frequency and money (rows, 3) float32.

    Of all money 47 % comes from 5 % of the customers: on the plain scale k-means would spend its
    centres on them.
    """
    plain = [(each.recency_days, each.orders, each.spent) for each in customers]
    logs = np.log1p(np.array(plain, dtype=np.float64).reshape(-1, 3))
    return {"numbers": logs.astype(np.float32)}


def name(centre: np.ndarray) -> str:
    """A segment's name by rule, from its centre (3,) in standard deviations from the average.

    More or less recent than the average customer, and worth more or less, where worth is the mean
    of frequency and money.
    """
    recent, worth = centre[0] < 0, float(centre[1] + centre[2]) / 2
    if recent:
        return "champions" if worth >= 1 else "loyal" if worth >= 0.5 else "promising"
    return "at_risk" if worth > 0 else "hibernating"


def segments(distances: np.ndarray, about: dict[str, Any]) -> list[Segment]:
    """From distances to the centres (rows, segments) and what is told of the segments."""
    order = np.argsort(distances, axis=1, kind="stable")[:, :2]
    answers = []
    for row, (first, second) in zip(distances, order, strict=True):
        own, told = float(row[first]), about["segments"][first]
        answers.append(
            Segment(
                segment=told["segment"],
                recommendation=RECOMMENDATIONS[told["kind"]],
                distance=own,
                next_segment=about["segments"][second]["segment"],
                # Two centres never fall together: k-means gives each its own customers.
                sureness=1 - own / float(row[second]),
                unusual=own > about["usual_distance"],
                share_buying=told["share_buying"],
                spent_after=told["spent_after"],
            )
        )
    return answers


class CustomerSegments(OnnxModel):
    def load(self, weights: Path) -> None:
        super().load(weights)
        self._about = json.loads((weights / SEGMENTS).read_text())

    def predict(self, model_input: list[Customer]) -> list[Segment]:
        return segments(self.run(features(model_input))["scores"], self._about)


publish(CustomerSegments())

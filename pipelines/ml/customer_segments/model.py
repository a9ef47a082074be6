"""Which kind of customer is this, and what should the shop do about them?

Data: customers of a British online gift shop with their purchases in the year before 12 June 2011;
the test uses the year before a moment 90 days later.
Task: clustering into named segments; the spending in the 90 days after is never an input.
Model: k-means on the standardized logarithms of recency, frequency and money, as ONNX. Of the
stable numbers of segments it has the fewest within one standard error of the best silhouette.
Limits: the data are from one shop with many wholesalers. Recency, frequency and money are a
continuum that the segments divide; `sureness` is low for a customer between two segments. The model
cannot place a customer who has not bought for a year. Most test customers are training customers
too, 90 days later. What the segments bought is known from one summer; in the autumn all of them buy
more, so compare a segment with the average customer. `relative_buying`, `relative_spending` and the
quintile rule's group were added when the test figures were known; the segments did not change.
Later the features came from the feature store, which leaves out returns before a customer's first
purchase; this changed the pounds of 9 training and 5 test customers.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from slipway.contract import Lookup, OnnxModel, Record, publish

from .metrics import silhouettes
from .quintiles import QuintileRule

YEAR_DAYS = 365
SEGMENTS = "segments.json"
RECOMMENDATIONS = {
    "champions": "Thank and keep: first look at new goods and a named contact; no discounts.",
    "loyal": "Raise the order: bundles, and free delivery from a little above the usual order.",
    "promising": "Bring the next order soon: write within two weeks, with what goes with the last.",
    "at_risk": "Win back now: a personal offer before the habit is lost.",
    "hibernating": "Cheap reminders before the season only: fewest come back, and spend least.",
}


class Customer(Record):
    """A customer's purchases of the last year; the feature service `customer_segments` has them."""

    days_since_purchase: float = Field(ge=0, le=YEAR_DAYS)
    orders_365d: int = Field(ge=1, le=10_000, description="Orders in the year")
    net_spent_365d: float = Field(
        ge=0,
        le=1e9,
        description="Pounds in the year minus returns; 0 if the returns were larger",
    )


class Segment(Record):
    """The nearest segment, and what its customers did in the 90 days after."""

    segment: str
    recommendation: str
    distance: float = Field(
        ge=0, description="Distance to the segment's centre, in standard deviations"
    )
    next_segment: str = Field(description="The second nearest segment")
    sureness: float = Field(
        ge=0, le=1, description="1 - distance / distance to the next segment; 0 on the border"
    )
    unusual: bool = Field(description="Whether 99 of 100 training customers are nearer to a centre")
    share_buying: float = Field(
        ge=0, le=1, description="Share of the segment that bought from 12 June to 9 September 2011"
    )
    spent_after: float = Field(
        ge=0, description="Mean pounds of the segment in these 90 days, before returns"
    )
    relative_buying: float = Field(
        ge=0, description="That share, divided by the share of all customers"
    )
    relative_spending: float = Field(
        ge=0, description="Those pounds, divided by the mean of all customers"
    )
    rule_group: int = Field(
        ge=1, description="Group of the quintile rule, 1 for the lowest score; for comparison"
    )
    rule_sureness: float = Field(
        ge=-1, le=1, description="How much nearer that group's centre is than the next one's"
    )


def features(customers: list[Customer]) -> dict[str, np.ndarray]:
    """Return the logarithms of recency, frequency and money (rows, 3) float32.

    5 % of the customers spend 47 % of all money: without logarithms k-means would spend its centres
    on them.
    """
    plain = [
        (each.days_since_purchase, each.orders_365d, each.net_spent_365d) for each in customers
    ]
    logs = np.log1p(np.array(plain, dtype=np.float64).reshape(-1, 3))
    return {"numbers": logs.astype(np.float32)}


def name(centre: np.ndarray) -> str:
    """Return the name of a segment, given its centre (3,) in standard deviations from the average.

    The rule compares its recency and its worth with the average customer's; worth is the mean of
    frequency and money.
    """
    recent, worth = centre[0] < 0, float(centre[1] + centre[2]) / 2
    if recent:
        return "champions" if worth >= 1 else "loyal" if worth >= 0.5 else "promising"
    return "at_risk" if worth > 0 else "hibernating"


def segments(numbers: np.ndarray, distances: np.ndarray, about: dict[str, Any]) -> list[Segment]:
    """Return predictions, given logarithms (rows, 3), distances to the centres and segments.json.

    The distances are (rows, segments).
    """
    rule = QuintileRule.from_json(about["rule"])
    group = rule.groups(numbers)
    rule_sureness = silhouettes(rule.points(numbers), group, rule.centres)
    order = np.argsort(distances, axis=1, kind="stable")[:, :2]
    predictions = []
    for place, (row, (first, second)) in enumerate(zip(distances, order, strict=True)):
        own, profile = float(row[first]), about["segments"][first]
        predictions.append(
            Segment(
                segment=profile["segment"],
                recommendation=RECOMMENDATIONS[profile["kind"]],
                distance=own,
                next_segment=about["segments"][second]["segment"],
                # Never a division by 0: the centres of k-means are all different.
                sureness=1 - own / float(row[second]),
                unusual=own > about["usual_distance"],
                share_buying=profile["share_buying"],
                spent_after=profile["spent_after"],
                relative_buying=profile["relative_buying"],
                relative_spending=profile["relative_spending"],
                rule_group=int(group[place]) + 1,
                rule_sureness=rule_sureness[place],
            )
        )
    return predictions


class CustomerSegments(OnnxModel):
    looked_up = Lookup(entity="customer_id", service="customer_segments")

    def load(self, weights: Path) -> None:
        super().load(weights)
        self._about = json.loads((weights / SEGMENTS).read_text())

    def predict(self, model_input: list[Customer]) -> list[Segment]:
        inputs = features(model_input)
        return segments(inputs["numbers"], self.run(inputs)["scores"], self._about)


publish(CustomerSegments())

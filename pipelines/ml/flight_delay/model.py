"""Will this flight be more than a quarter of an hour late, predicted on the morning of its day?

Data: 3,000,000 flights within the United States, January to June 2001; 20 % were late. The features
count all of them; a sample of 6 % is for the training and the test.
Task: binary classification, from the route, the weekday, and the delays of earlier days.
Model: Spark MLlib's logistic regression on flights until May, its weights as ONNX. Of its penalties
it has the strongest within one standard error of the best validation ROC AUC.
Limits: there is no hour of the day, since the data have only the actual departure, which reveals
the delay. There is no weather and no airline. The training has no summer. The data are from 2001.
The gate was set anew, from validation rows and the use, with the test figures known.
"""

import json
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import Lookup, OnnxModel, Record, publish

SPANS = ("yesterday", "week", "month")
GROUPS = ("origin", "destination", "route", "network")
AIRPORT = "^[A-Z0-9]{3}$"
# Added to the counts of a share, so that no share is 0 or 1, or extreme for few flights.
FLIGHTS, LATE = 5, 1
THRESHOLD = "threshold.json"


def share(which: str) -> float:
    """Return the field of a share of late flights."""
    text = f"Share of late flights {which}, with {FLIGHTS} flights added, {LATE} of them late"
    field: float = Field(gt=0, lt=1, description=text)
    return field


class Flight(Record):
    """A flight of today, with the delays of the days before; a month is 28 days."""

    origin: str = Field(pattern=AIRPORT, description="Airport code; for monitoring, not a feature")
    destination: str = Field(
        pattern=AIRPORT, description="Airport code; for monitoring, not a feature"
    )
    distance: int = Field(ge=1, le=10_000, description="Miles")
    weekday: int = Field(ge=0, le=6, description="Monday is 0")
    origin_flights: float = Field(
        ge=0, le=5_000, description="Flights from there per day, over the month"
    )
    destination_flights: float = Field(
        ge=0, le=5_000, description="Flights to there per day, over the month"
    )
    route_flights: float = Field(
        ge=0, le=500, description="Flights on the route per day, over the month"
    )
    origin_yesterday: float = share("from there yesterday")
    origin_week: float = share("from there in the past 7 days")
    origin_month: float = share("from there in the month")
    destination_yesterday: float = share("to there yesterday")
    destination_week: float = share("to there in the past 7 days")
    destination_month: float = share("to there in the month")
    route_yesterday: float = share("on the route yesterday")
    route_week: float = share("on the route in the past 7 days")
    route_month: float = share("on the route in the month")
    network_yesterday: float = share("anywhere yesterday")
    network_week: float = share("anywhere in the past 7 days")
    network_month: float = share("anywhere in the month")


class Delay(Record):
    """The prediction for a flight."""

    late: bool = Field(
        description="More than 15 minutes late; predicted as often as it occurred in validation"
    )
    probability: float = Field(ge=0, le=1)
    usual: float = Field(
        ge=0, le=1, description="The route's share of late flights in the month, to compare"
    )


SHARES = tuple(f"{group}_{span}" for group in GROUPS for span in SPANS)
COUNTS = ("origin_flights", "destination_flights", "route_flights")
FIELDS = (*SHARES, *COUNTS, "distance", "weekday")
NUMBERS = (*SHARES, *COUNTS, "distance", *(f"weekday_{day}" for day in range(1, 7)))


def columns(values: dict[str, np.ndarray]) -> np.ndarray:
    """Return numbers (rows, 22) float32 from the `FIELDS`, (rows,) each; shares become log odds."""
    shares = np.stack([np.asarray(values[name], dtype=np.float64) for name in SHARES], axis=1)
    counts = np.stack([np.asarray(values[name], dtype=np.float64) for name in COUNTS], axis=1)
    distance = np.asarray(values["distance"], dtype=np.float64)[:, None]
    days = np.asarray(values["weekday"])[:, None] == np.arange(1, 7)
    blocks = [np.log(shares / (1 - shares)), np.log1p(counts), np.log(distance), days]
    return np.concatenate(blocks, axis=1).astype(np.float32)


def features(flights: list[Flight]) -> dict[str, np.ndarray]:
    """Return the graph's inputs: `columns` of the records."""
    values = {name: np.array([getattr(each, name) for each in flights]) for name in FIELDS}
    return {"numbers": columns(values)}


def delays(flights: list[Flight], probabilities: np.ndarray, late_from: float) -> list[Delay]:
    """Return predictions, given probabilities of being late (rows,) and the threshold."""
    return [
        Delay(late=p >= late_from, probability=p, usual=each.route_month)
        for each, p in zip(flights, probabilities.tolist(), strict=True)
    ]


class FlightDelay(OnnxModel):
    """The served model; it has `predict_columns` for batches such as a day's timetable."""

    explained = "probability"
    looked_up = Lookup(entity="route", service="flight_delay")

    def load(self, weights: Path) -> None:
        super().load(weights)
        self._late_from = json.loads((weights / THRESHOLD).read_text())["late_from"]

    def predict(self, model_input: list[Flight]) -> list[Delay]:
        y_prob = self.run(features(model_input))["probabilities"][:, 0]
        return delays(model_input, y_prob, self._late_from)

    def predict_columns(self, columns_sent: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        y_prob = self.run({"numbers": columns(columns_sent)})["probabilities"][:, 0]
        late, usual = y_prob >= self._late_from, columns_sent["route_month"]
        return {"late": late, "probability": y_prob, "usual": usual}


publish(FlightDelay())

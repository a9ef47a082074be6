"""Will this telephone and internet customer leave, and is an offer to stay worth its cost?

Data: 7,043 customers of one company with their services and charges; 27 % left within the month.
Task: binary classification with calibrated probabilities, since they are multiplied with money.
Model: the simplest candidate on behaviour features within one standard error of the best
cross-validated Brier score, as ONNX, with a calibration of its probabilities if that helps. Gender
and age group are not features: they are sent only so that each group can be monitored.
Limits: the data are from one company and one month, without dates. The success rate of an offer is
assumed (`params.yaml`), not learnt: nobody in the data got an offer at random.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import Lookup, OnnxModel, Record, publish
from slipway.contract.calibration import calibrated


class Customer(Record):
    """A customer at the end of a month, as recorded by the billing system."""

    gender: str = Field(pattern="^(female|male)$")
    senior_citizen: bool = Field(description="65 or older")
    partner: bool
    dependents: bool
    tenure: int = Field(ge=0, le=600, description="Months since the first contract")
    phone_service: bool
    multiple_lines: bool = Field(default=False, description="Several telephone lines")
    internet_service: str = Field(pattern="^(none|dsl|fiber_optic)$")
    online_security: bool = False
    online_backup: bool = False
    device_protection: bool = False
    tech_support: bool = False
    streaming_tv: bool = False
    streaming_movies: bool = False
    contract: str = Field(pattern="^(month_to_month|one_year|two_year)$")
    paperless_billing: bool
    payment_method: str = Field(
        pattern="^(electronic_check|mailed_check|bank_transfer|credit_card)$",
        description="The last two are automatic",
    )
    monthly_charges: float = Field(ge=0, le=10_000, description="Dollars in this month")
    total_charges: float | None = Field(
        default=None,
        ge=0,
        le=1e7,
        description="Dollars since the first contract; None before the first bill",
    )


class ChurnRisk(Record):
    """The risk that a customer leaves, and its value in dollars."""

    leaves: bool = Field(description="Whether the probability is at least one half")
    probability: float = Field(ge=0, le=1, description="Probability of leaving within the month")
    revenue: float = Field(ge=0, description="Dollars over the horizon if the customer stays")
    revenue_at_stake: float = Field(ge=0, description="Probability times revenue")
    offer_gain: float = Field(description="Expected dollars from an offer, minus its cost")
    make_offer: bool = Field(description="Whether the expected gain is above zero")


SERVICES = (
    "online_security",
    "online_backup",
    "device_protection",
    "tech_support",
    "streaming_tv",
    "streaming_movies",
)
FLAGS = ("partner", "dependents", "multiple_lines", "paperless_billing", *SERVICES)


def mean_charges(customer: Customer) -> float:
    """Return dollars per month since the first contract, or of this month for a new customer."""
    if customer.total_charges is None or customer.tenure == 0:
        return customer.monthly_charges
    return round(customer.total_charges / customer.tenure, 2)


def services(customer: Customer) -> int:
    """Return the number of services, one to eight, with telephone and internet."""
    over_internet = sum(bool(getattr(customer, name)) for name in SERVICES)
    return over_internet + customer.phone_service + (customer.internet_service != "none")


# Behaviour features, with dollars in whole cents: LightGBM splits in float64, but the graph in
# float32, and values that differ only by rounding could fall on different sides of a threshold.
DERIVED: dict[str, Callable[[Customer], float]] = {
    "tenure": lambda each: each.tenure,
    "log_tenure": lambda each: np.log1p(each.tenure),
    "monthly_charges": lambda each: each.monthly_charges,
    "mean_charges": mean_charges,
    "charges_rise": lambda each: round(each.monthly_charges - mean_charges(each), 2),
    "services": services,
    "charges_per_service": lambda each: round(each.monthly_charges / max(services(each), 1), 2),
    "pays_automatically": lambda each: each.payment_method in ("bank_transfer", "credit_card"),
    "first_year": lambda each: each.tenure <= 12,
}
NUMBERS = (*FLAGS, *DERIVED)
CATEGORIES = ("internet_service", "contract", "payment_method")


def features(customers: list[Customer]) -> dict[str, np.ndarray]:
    """Return numbers (rows, 19) float32 and categories (rows, 3) text."""
    rows = [
        [*(getattr(each, name) for name in FLAGS), *(make(each) for make in DERIVED.values())]
        for each in customers
    ]
    categories = [[getattr(each, name) for name in CATEGORIES] for each in customers]
    return {
        "numbers": np.array(rows, dtype=np.float32).reshape(-1, len(NUMBERS)),
        "categories": np.array(categories, dtype=object).reshape(-1, len(CATEGORIES)),
    }


@dataclass(frozen=True)
class Calibration:
    """A map from the graph's probabilities to calibrated ones."""

    kind: str
    """`none`, `sigmoid` (Platt 1999) or `isotonic` (Zadrozny and Elkan 2002)."""
    inputs: tuple[float, ...] = ()
    """Sigmoid: slope and intercept on the log odds. Isotonic: the knots in rising order."""
    outputs: tuple[float, ...] = ()
    """Isotonic: the probabilities at the knots."""

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities (rows,), each between 0 and 1.

        Raises:
            ValueError: the kind is not one of the three.
        """
        raw = np.asarray(probabilities, dtype=np.float64)
        if self.kind == "none":
            return raw
        if self.kind == "sigmoid":
            return calibrated(raw, *self.inputs)
        if self.kind == "isotonic":
            return np.interp(raw, self.inputs, self.outputs)
        raise ValueError(f"calibration must be none, sigmoid or isotonic, got {self.kind!r}")


@dataclass(frozen=True)
class Offer:
    """The assumptions behind the dollars."""

    horizon_months: float
    """How long a customer who is kept goes on paying."""
    cost: float
    """Dollars per customer who gets an offer."""
    success_rate: float
    """The share of customers who would leave but stay because of the offer."""

    def revenue(self, monthly_charges: np.ndarray) -> np.ndarray:
        return self.horizon_months * monthly_charges

    def gain(self, probabilities: np.ndarray, monthly_charges: np.ndarray) -> np.ndarray:
        """Return the expected dollars from an offer, minus its cost (rows,)."""
        kept = self.success_rate * probabilities
        return np.asarray(kept * self.revenue(monthly_charges) - self.cost)


def risks(customers: list[Customer], probabilities: np.ndarray, offer: Offer) -> list[ChurnRisk]:
    """Return predictions, given calibrated probabilities of leaving (rows,)."""
    monthly = np.array([each.monthly_charges for each in customers], dtype=np.float64)
    revenue, gain = offer.revenue(monthly), offer.gain(probabilities, monthly)
    return ChurnRisk.from_columns(
        leaves=probabilities >= 0.5,
        probability=probabilities,
        revenue=revenue,
        revenue_at_stake=probabilities * revenue,
        offer_gain=gain,
        make_offer=gain > 0,
    )


class Churn(OnnxModel):
    explained = "probability"
    protected = ("gender", "senior_citizen")
    looked_up = Lookup(entity="telco_customer_id", service="churn")

    def load(self, weights: Path) -> None:
        super().load(weights)
        self._calibration = Calibration(**json.loads((weights / "calibration.json").read_text()))
        self._offer = Offer(**json.loads((weights / "offer.json").read_text()))

    def predict(self, model_input: list[Customer]) -> list[ChurnRisk]:
        raw = self.run(features(model_input))["probabilities"][:, 1]
        return risks(model_input, self._calibration(raw), self._offer)


publish(Churn())

"""Would this passenger have survived the Titanic?

Data: 891 passengers, of whom 38 % survived.
Task: binary classification; both kinds of error count the same.
Model: the simplest candidate within one standard error of the best cross-validated accuracy, over
numbers and one-hot categories.
Limits: one ship in 1912. A worked example of the method, not evidence about people today. 53 of the
179 test passengers share surname and fare with a training passenger, whose fate hints at theirs.
The model is more accurate for them than for the rest; a new passenger is like the rest.
"""

import re

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

# Rarer titles add nothing to sex and age: 23 of 891 passengers have the other ten.
TITLES = {
    "Mr": "Mr",
    "Mrs": "Mrs",
    "Mme": "Mrs",
    "Miss": "Miss",
    "Ms": "Miss",
    "Mlle": "Miss",
    "Master": "Master",
}
UNKNOWN = "unknown"


class Passenger(Record):
    """A passenger as recorded in the list of 1912."""

    name: str = Field(
        min_length=1,
        max_length=200,
        description="Like `Cumings, Mrs. John Bradley`: the title comes first, or after the comma",
    )
    sex: str = Field(pattern="^(female|male)$")
    passenger_class: int = Field(ge=1, le=3, description="1 is the most expensive")
    age: float | None = Field(default=None, ge=0, le=110, description="Years")
    siblings_spouses: int = Field(ge=0, le=20, description="Siblings and spouses aboard")
    parents_children: int = Field(ge=0, le=20, description="Parents and children aboard")
    fare: float = Field(ge=0, le=1000, description="Pounds of 1912, for the whole ticket")
    embarked: str | None = Field(
        default=None, pattern="^[CQS]$", description="Cherbourg, Queenstown or Southampton"
    )
    cabin: str | None = Field(
        default=None, max_length=50, description="Such as C85; unknown for 77 %"
    )


class Survival(Record):
    """The prediction for one passenger."""

    survived: bool
    probability: float = Field(ge=0, le=1, description="Probability of survival")


NUMBERS = (
    "age",
    "log_fare",
    "siblings_spouses",
    "parents_children",
    "family_size",
    "is_alone",
    "is_child",
    "has_cabin",
)
CATEGORIES = ("sex", "passenger_class", "embarked", "title", "deck")


def title(name: str) -> str:
    """Return `Mrs` for `Cumings, Mrs. John Bradley`, and `Rare` for a rare title or none."""
    match = re.match(r"(?:[^,]*,)?\s*(?:the )?(\w+)", name)
    return TITLES.get(match[1].capitalize(), "Rare") if match else "Rare"


def deck(cabin: str | None) -> str:
    """Return `C` for `C85`, and `unknown` where no cabin is given."""
    letters = (cabin or "").strip()
    return letters[0].upper() if letters else UNKNOWN


def features(passengers: list[Passenger]) -> dict[str, np.ndarray]:
    """Return numbers (rows, 8) float32, NaN where unknown, and categories (rows, 5) of text."""
    numbers = np.empty((len(passengers), len(NUMBERS)), dtype=np.float32)
    categories = np.empty((len(passengers), len(CATEGORIES)), dtype=object)
    for row, each in enumerate(passengers):
        family = each.siblings_spouses + each.parents_children + 1
        age = np.nan if each.age is None else each.age
        numbers[row] = (
            age,
            np.log1p(each.fare),  # fares are heavy-tailed: 0 to 512
            each.siblings_spouses,
            each.parents_children,
            family,
            family == 1,
            age < 13,
            deck(each.cabin) != UNKNOWN,
        )
        categories[row] = (
            each.sex,
            str(each.passenger_class),
            each.embarked or "S",  # 72 % embarked in Southampton; 2 are unknown
            title(each.name),
            deck(each.cabin),
        )
    return {"numbers": numbers, "categories": categories}


def survivals(probabilities: np.ndarray) -> list[Survival]:
    """Return predictions from probabilities of survival (rows,)."""
    return [Survival(survived=p >= 0.5, probability=p) for p in probabilities.tolist()]


class Titanic(OnnxModel):
    explained = "probability"
    protected = ("sex", "passenger_class")

    def predict(self, model_input: list[Passenger]) -> list[Survival]:
        return survivals(self.run(features(model_input))["probabilities"][:, 1])


publish(Titanic())

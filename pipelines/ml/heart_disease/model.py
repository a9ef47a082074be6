"""Would angiography find a narrowed vessel in this patient's heart?

Data: 918 patients sent to angiography at four hospitals, 1981 to 1987; 55 % had a vessel narrowed
by half or more.
Task: binary classification, recall first: a missed disease weighs more than a needless test.
Model: findings into the simplest candidate whose Brier score at hospitals that it had not seen is
within one standard error of the best, as ONNX; referred from the threshold that reached the wanted
recall on validation data.
Limits: patients whom a doctor had already sent on, forty years ago, four in five of them men. The
hospital is asked for to be watched, not used. A worked example of the method, no medical device.
"""

import json
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish


class Patient(Record):
    """Findings before angiography; what was not measured is left out."""

    age: int = Field(ge=18, le=110, description="Years")
    sex: str = Field(pattern="^(female|male)$")
    chest_pain: str = Field(
        pattern="^(typical|atypical|other|none)$",
        description="Angina, typical or atypical; other: not of the heart; none: no pain",
    )
    blood_pressure: float | None = Field(
        default=None, ge=50, le=250, description="At rest, mm Hg, systolic"
    )
    cholesterol: float | None = Field(default=None, ge=50, le=700, description="mg/dl")
    high_sugar: bool | None = Field(default=None, description="Fasting, above 120 mg/dl")
    resting_ecg: str | None = Field(default=None, pattern="^(normal|st_abnormal|hypertrophy)$")
    top_heart_rate: float | None = Field(
        default=None, ge=40, le=230, description="Reached in the exercise test, a minute"
    )
    exercise_angina: bool | None = Field(default=None, description="Pain in the exercise test")
    st_depression: float | None = Field(
        default=None, ge=-5, le=10, description="By exercise, against rest, mm"
    )
    st_slope: str | None = Field(
        default=None, pattern="^(up|flat|down)$", description="Of the ST segment at the peak"
    )
    vessels: int | None = Field(
        default=None, ge=0, le=3, description="Major ones coloured by fluoroscopy"
    )
    thallium: str | None = Field(
        default=None, pattern="^(normal|fixed|reversible)$", description="Defects in the scan"
    )
    hospital: str | None = Field(
        default=None,
        pattern="^(cleveland|hungary|switzerland|long_beach)$",
        description="Watched by group, never a feature",
    )


class HeartRisk(Record):
    """What the model holds likely."""

    refer: bool = Field(description="To angiography: the probability reaches the threshold")
    probability: float = Field(ge=0, le=1, description="Of a narrowed vessel")
    threshold: float = Field(ge=0, le=1, description="Set by the wanted recall, not by a half")
    unmeasured: int = Field(ge=0, description="Findings left out, filled with typical values")


# The record's numbers and flags, in its order.
PLAIN = tuple(
    name
    for name, field in Patient.model_fields.items()
    if field.annotation not in (str, str | None)
)
# A grade keeps its order; what has none becomes a flag a value, not a number where not measured.
SLOPES: dict[str | None, int] = {"up": 0, "flat": 1, "down": 2}
FLAGS = {
    "sex": ("male",),
    "chest_pain": ("typical", "atypical", "none"),
    "resting_ecg": ("st_abnormal", "hypertrophy"),
    "thallium": ("fixed", "reversible"),
}
NUMBERS = (*PLAIN, "st_slope", *(f"{name}_{value}" for name in FLAGS for value in FLAGS[name]))
MEASURED = tuple(name for name in Patient.model_fields if name != "hospital")


def numbers(patient: Patient) -> list[float | None]:
    """The columns `NUMBERS`, None where not measured."""
    told = [*(getattr(patient, name) for name in PLAIN), SLOPES.get(patient.st_slope)]
    for name, values in FLAGS.items():
        value = getattr(patient, name)
        told += [None if value is None else value == each for each in values]
    return told


def features(patients: list[Patient]) -> dict[str, np.ndarray]:
    """Numbers (rows, 17) float32."""
    rows = [numbers(each) for each in patients]
    return {"numbers": np.array(rows, dtype=np.float32).reshape(-1, len(NUMBERS))}


def risks(patients: list[Patient], probabilities: np.ndarray, threshold: float) -> list[HeartRisk]:
    """From the probabilities of disease (rows,)."""
    return [
        HeartRisk(
            refer=p >= threshold,
            probability=p,
            threshold=threshold,
            unmeasured=sum(getattr(each, name) is None for name in MEASURED),
        )
        for each, p in zip(patients, probabilities.tolist(), strict=True)
    ]


class HeartDisease(OnnxModel):
    explained = "probability"
    protected = ("sex", "hospital")

    def load(self, weights: Path) -> None:
        super().load(weights)
        self._threshold = float(json.loads((weights / "threshold.json").read_text())["threshold"])

    def predict(self, model_input: list[Patient]) -> list[HeartRisk]:
        raw = self.run(features(model_input))["probabilities"][:, 1]
        return risks(model_input, raw, self._threshold)


publish(HeartDisease())

"""Would angiography find a narrowed vessel in this patient's heart?

Data: 918 patients sent to angiography at four hospitals, 1981 to 1987; 55 % had a vessel narrowed
by half or more.
Task: binary classification, recall first: a missed disease costs more than a needless test.
Model: the simplest candidate whose Brier score at unseen hospitals is within one standard error of
the best, as ONNX. The referral threshold is the highest that reached the target recall on
validation data.
Limits: patients whom a doctor had already referred, forty years ago, four in five of them men. The
hospital is recorded for monitoring and is not a feature. A worked example of the method, not a
medical device.
"""

import json
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish


class Patient(Record):
    """Findings before angiography; leave out what was not measured."""

    age: int = Field(ge=18, le=110, description="Years")
    sex: str = Field(pattern="^(female|male)$")
    chest_pain: str = Field(
        pattern="^(typical|atypical|other|none)$",
        description="Typical or atypical angina; other: pain of other origin; none: no pain",
    )
    blood_pressure: float | None = Field(
        default=None, ge=50, le=250, description="At rest, mm Hg, systolic"
    )
    cholesterol: float | None = Field(default=None, ge=50, le=700, description="mg/dl")
    high_sugar: bool | None = Field(default=None, description="Fasting, above 120 mg/dl")
    resting_ecg: str | None = Field(default=None, pattern="^(normal|st_abnormal|hypertrophy)$")
    top_heart_rate: float | None = Field(
        default=None, ge=40, le=230, description="Beats per minute reached in the exercise test"
    )
    exercise_angina: bool | None = Field(default=None, description="Pain in the exercise test")
    st_depression: float | None = Field(
        default=None, ge=-5, le=10, description="In exercise relative to rest, mm"
    )
    st_slope: str | None = Field(
        default=None, pattern="^(up|flat|down)$", description="Of the ST segment at peak exercise"
    )
    vessels: int | None = Field(
        default=None, ge=0, le=3, description="Major vessels coloured by fluoroscopy"
    )
    thallium: str | None = Field(
        default=None, pattern="^(normal|fixed|reversible)$", description="Defects in the scan"
    )
    hospital: str | None = Field(
        default=None,
        pattern="^(cleveland|hungary|switzerland|long_beach)$",
        description="Used for monitoring by group, never as a feature",
    )


class HeartRisk(Record):
    """The prediction for one patient, and whether to refer them to angiography."""

    refer: bool = Field(description="Refer to angiography: the probability reaches the threshold")
    probability: float = Field(ge=0, le=1, description="Probability of a narrowed vessel")
    threshold: float = Field(ge=0, le=1, description="Set by the target recall, not one half")
    unmeasured: int = Field(ge=0, description="Findings left out, filled with typical values")


# The record's numbers and flags, in its order.
PLAIN = tuple(
    name
    for name, field in Patient.model_fields.items()
    if field.annotation not in (str, str | None)
)
# Grades keep their order; other categories become one flag per value, NaN where not measured.
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
    """Return the values of the columns `NUMBERS`, None where not measured."""
    row = [*(getattr(patient, name) for name in PLAIN), SLOPES.get(patient.st_slope)]
    for name, values in FLAGS.items():
        value = getattr(patient, name)
        row += [None if value is None else value == each for each in values]
    return row


def features(patients: list[Patient]) -> dict[str, np.ndarray]:
    """Return numbers (rows, 17) float32, NaN where not measured."""
    rows = [numbers(each) for each in patients]
    return {"numbers": np.array(rows, dtype=np.float32).reshape(-1, len(NUMBERS))}


def risks(patients: list[Patient], probabilities: np.ndarray, threshold: float) -> list[HeartRisk]:
    """Return predictions from probabilities of disease (rows,)."""
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

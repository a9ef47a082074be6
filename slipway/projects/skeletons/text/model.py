"""What is this news agency's report about?

Data: 7,674 reports of Reuters from 1987 that have one of eight topics.
Task: classification into eight topics, which are of very different sizes.
Model: the mean of learned directions of words, or of pairs of neighbors, as ONNX.
Limits: a starting point; English reports of 1987, without capital letters and stop words.
"""

from pathlib import Path

from pydantic import Field

from slipway.contract import OnnxModel, Record, publish
from slipway.kits.classes import ClassRecord
from slipway.kits.text.vocabulary import Vocabulary

LABELS = ("acq", "crude", "earn", "grain", "interest", "money-fx", "ship", "trade")
LENGTH = 100


class Report(Record):
    """The text of a report."""

    text: str = Field(min_length=1, max_length=20_000, description="English")


class Topic(ClassRecord, labels=LABELS):
    """The most probable topic."""


class Skeleton(OnnxModel):
    def load(self, weights: Path) -> None:
        super().load(weights)
        self._vocabulary = Vocabulary.read(weights)

    def predict(self, model_input: list[Report]) -> list[Topic]:
        tokens = self._vocabulary.tokens([each.text for each in model_input], LENGTH)
        return Topic.from_probabilities(self.run({"tokens": tokens})["probabilities"])


publish(Skeleton())

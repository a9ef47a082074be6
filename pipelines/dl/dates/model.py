"""Which date does this text name?

Data: days and months from 1900 to 2099, written in sixteen formats by the project's own seeded
generator, with typing errors; texts that name no date are generated, too, or come from articles of
Wikipedia (WikiText-2). The dates are synthetic: no real letter or form was read.
Task: write the date in ISO 8601, symbol by symbol, or nothing if the text names no date.
Model: an encoder of two LSTMs that reads characters and an LSTM with attention that writes, as two
ONNX graphs, with beam search between them; the simplest recipe within one standard error of the
best share of exact dates on rows held out of training.
Limits: English, years from 1900 to 2099, one date in a text of at most 56 characters. Between
slashes the month comes first, unless it cannot be a month; between dots and dashes the day comes
first; a year of two digits lies between 1970 and 2069. A weekday in the text is not checked.
"""

import json
from calendar import monthrange
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

from .rules import read_by_rules
from .search import beam_search
from .symbols import LONGEST, from_symbols, to_characters

# Alternatives that are less probable are not shown.
LEAST = 0.001
ISO = r"^(\d{4}-\d{2}(-\d{2})?)?$"


class WrittenDate(Record):
    """A text that may name a date."""

    text: str = Field(
        min_length=1, max_length=LONGEST, description="English, such as: the 5th of March, 2021"
    )
    beams: int = Field(
        default=4, ge=1, le=10, description="Hypotheses kept at each symbol; 1 is greedy search"
    )


class Alternative(Record):
    """A date that the text might name."""

    date: str = Field(pattern=ISO, description="ISO 8601; empty for no date")
    probability: float = Field(ge=0, le=1)


class CalendarDate(Record):
    """The date that a text names."""

    date: str = Field(
        pattern=ISO, description="ISO 8601, year and month alone if the text has no day; or empty"
    )
    probability: float = Field(ge=0, le=1, description="Probability of `date`")
    confident: bool = Field(
        description="Whether the probability reaches the level that is right "
        "in 99.5 % of validation rows"
    )
    alternatives: list[Alternative] = Field(
        description="All dates that the search kept, the most probable first"
    )
    by_rules: str = Field(pattern=ISO, description="What ten regular expressions read")


def exists(date: str) -> bool:
    """Return whether a text of digits and dashes is a day or a month of the calendar."""
    parts = date.split("-")
    if [len(each) for each in parts] not in ([4, 2], [4, 2, 2]):
        return False
    year, month, day = (int(each) for each in (*parts, "1")[:3])
    return year > 0 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


def alternatives(symbols: np.ndarray, scores: np.ndarray) -> list[Alternative]:
    """Return the dates of one text's hypotheses (beams, steps), the most probable first.

    Hypotheses that are no day of the calendar, such as 2021-02-30, count as no date, and their
    probabilities are added up. Dates that are hardly probable are left out.
    """
    found: dict[str, float] = {}
    for row, probability in zip(symbols.tolist(), np.exp(scores).tolist(), strict=True):
        written = from_symbols(row)
        date = written if exists(written) else ""
        if probability > 0:
            found[date] = found.get(date, 0.0) + probability
    ranked = sorted(found.items(), key=lambda each: -each[1])
    likely = [each for each in ranked if each[1] >= LEAST] or ranked[:1]
    return [Alternative(date=date, probability=min(share, 1.0)) for date, share in likely]


class Dates(OnnxModel):
    def load(self, weights: Path) -> None:
        super().load(weights)
        self._threshold = float(json.loads((weights / "threshold.json").read_text()))

    def predict(self, model_input: list[WrittenDate]) -> list[CalendarDate]:
        predictions: dict[int, CalendarDate] = {}
        for beams in sorted({each.beams for each in model_input}):
            places = [row for row, each in enumerate(model_input) if each.beams == beams]
            texts = [model_input[row].text for row in places]
            found = beam_search(self.run, to_characters(texts), beams)
            for row, text, symbols, scores in zip(
                places, texts, found.symbols, found.scores, strict=True
            ):
                predictions[row] = self._prediction(text, alternatives(symbols, scores))
        return [predictions[row] for row in range(len(model_input))]

    def _prediction(self, text: str, found: list[Alternative]) -> CalendarDate:
        return CalendarDate(
            date=found[0].date,
            probability=found[0].probability,
            confident=found[0].probability >= self._threshold,
            alternatives=found,
            by_rules=read_by_rules(text),
        )

    def monitoring_features(
        self, records: list[WrittenDate], predictions: list[CalendarDate]
    ) -> dict[str, np.ndarray]:
        """Return lengths, shares of digits, and whether a date was found, (rows,) each."""
        texts = [each.text for each in records]
        digits = [sum(map(str.isdigit, text)) / len(text) for text in texts]
        return {
            "characters": np.array([len(text) for text in texts], dtype=np.float64),
            "share_of_digits": np.array(digits),
            "date_found": np.array([float(bool(each.date)) for each in predictions]),
        }


publish(Dates())

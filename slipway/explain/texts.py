"""Shapley values of the words of a text, for records that hold nothing but texts.

An absent word is taken out of the text; the spaces and signs between words stay. Long texts are
divided into spans of several successive words.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial

import numpy as np
from pydantic import Field

from slipway.contract.model import Model
from slipway.contract.record import Record
from slipway.contract.streaming import StreamingModel
from slipway.contract.text_fields import text_fields
from slipway.explain.explanation import NotExplainable
from slipway.explain.parts import Budget, Evaluations, divide, least_rows
from slipway.explain.scores import has_score
from slipway.explain.shapley import without_cached

# More parts take more rows for the same error, and nobody reads more bars.
MOST_SPANS = 50
BATCH = 100
WORD = re.compile(r"\w+(?:['’.@-]\w+)*")


class Span(Record):
    """One word, or several successive ones, and what it adds."""

    field: str
    start: int = Field(ge=0, description="Position in the field's text, in characters")
    end: int = Field(ge=1)
    text: str
    value: float = Field(description="What it adds to the base")
    standard_error: float


class TextExplanation(Record):
    """One number of one prediction, divided among the words of the record's texts.

    `base` and the values of all spans add up to `value`, but for `gap`, which is rounding.
    """

    explained: str = Field(description="The number that is divided, such as the predicted class")
    unit: str = Field(description="The unit of all numbers here, such as probability")
    base: float = Field(description="The number for the texts without any word")
    value: float = Field(description="The number for the texts")
    spans: list[Span] = Field(description="In the order of the text")
    gap: float = Field(description="Base plus all spans minus value")
    evaluations: int = Field(ge=1, description="Texts that the model read")
    calls: int = Field(ge=1, description="Calls of the model; each reads several texts")
    budget_seconds: float = Field(description="The time allowed, from the model's latency")


@dataclass(frozen=True)
class Place:
    """The characters `start` to `end` of a field."""

    field: str
    start: int
    end: int


def explains_texts(model: Model) -> bool:
    """Return whether `explain_text` can explain predictions of the model."""
    if isinstance(model, StreamingModel) or not has_score(model):
        return False
    return bool(text_fields(model.input_type()))


def split_words(record: Record, fields: tuple[str, ...]) -> list[list[Place]]:
    """Return the spans of the texts, each as the places of its words, in the order of the text.

    Spans do not cross fields, so there may be one more than `MOST_SPANS` for each field.
    """
    words = {
        name: [Place(name, *found.span()) for found in WORD.finditer(getattr(record, name))]
        for name in fields
    }
    size = max(1, -(-sum(map(len, words.values())) // MOST_SPANS))
    return [
        each[start : start + size] for each in words.values() for start in range(0, len(each), size)
    ]


def explain_text(
    model: Model, record: Record, budget: Budget
) -> Generator[None, None, TextExplanation]:
    """Explain the prediction for one record by its words, yielding after each call of the model.

    Raises:
        NotExplainable: there is no word, no number to divide, or the model is too slow.
    """
    fields = text_fields(type(record))
    spans = split_words(record, fields)
    if not spans:
        raise NotExplainable("the text has no word")
    evaluations = Evaluations(model, budget, BATCH)
    make = partial(_mixtures, without_cached(record), spans)
    [bare] = make(np.zeros((1, len(spans)), dtype=bool))
    score, full, empty = yield from evaluations.ends(record, bare)
    least = least_rows(len(spans))
    if not evaluations.affords(least):
        seconds = least * evaluations.row_seconds
        raise NotExplainable(
            f"{least} predictions would take about {seconds:.0f} s, and {budget.seconds:.0f} s "
            "are allowed: send a shorter text"
        )
    shares = yield from divide(len(spans), make, evaluations, score, empty=empty, full=full)
    errors = np.sqrt(shares.variances)
    return TextExplanation(
        explained=score.explained,
        unit=score.unit,
        base=empty,
        value=full,
        spans=[
            _span(record, places, float(value), float(error))
            for places, value, error in zip(spans, shares.values, errors, strict=True)
        ],
        gap=empty + float(shares.values.sum()) - full,
        evaluations=evaluations.rows,
        calls=evaluations.calls,
        budget_seconds=budget.seconds,
    )


def _mixtures(record: Record, spans: list[list[Place]], coalitions: np.ndarray) -> list[Record]:
    """Return the record without the words of the spans that are not in each coalition."""
    records = []
    for flags in coalitions:
        absent = [
            place for span, flag in zip(spans, flags, strict=True) if not flag for place in span
        ]
        fields = dict.fromkeys(each.field for each in absent)
        texts = {name: _without(getattr(record, name), absent, name) for name in fields}
        records.append(record.model_copy(update=texts))
    return records


def _without(text: str, absent: list[Place], name: str) -> str:
    kept, last = [], 0
    for each in absent:
        if each.field == name:
            kept.append(text[last : each.start])
            last = each.end
    return "".join([*kept, text[last:]])


def _span(record: Record, places: list[Place], value: float, error: float) -> Span:
    first, end = places[0], places[-1].end
    return Span(
        field=first.field,
        start=first.start,
        end=end,
        text=getattr(record, first.field)[first.start : end],
        value=value,
        standard_error=error,
    )

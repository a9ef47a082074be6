"""Explanations of pictures by their cells and of texts by their words, as the dashboard shows them.

They are those of the model server: the same sampler, the same blurred cells and absent words.
"""

from collections import defaultdict
from collections.abc import Generator
from html import escape
from typing import Any, TypeVar

import numpy as np

from services.explain import words
from slipway.contract import Model, Record
from slipway.explain.heat_map import LOWERS, RAISES, draw_heat_map
from slipway.explain.parts import Budget
from slipway.explain.pictures import PictureExplanation, explain_picture
from slipway.explain.texts import Span, TextExplanation, explain_text
from slipway.media import decode_image

# The time limit of the model server.
SECONDS = 8.0
# Rows for each of many texts: fewer than for a single one, since their mean counts.
MANY_ROWS = 400
# A word that is seen in fewer texts says nothing about texts in general.
LEAST_TEXTS = 2
Found = TypeVar("Found")


def picture_explanation(model: Model, record: Record) -> PictureExplanation:
    """Return the explanation of the prediction for a record by its picture.

    Raises:
        NotExplainable: there is no picture, or the model is too slow for its size.
    """
    return _finish(explain_picture(model, record, Budget(SECONDS)))


def text_explanation(model: Model, record: Record, *, rows: int | None = None) -> TextExplanation:
    """Return the explanation of the prediction for a record by its words.

    Raises:
        NotExplainable: there is no word, or the model is too slow.
    """
    budget = Budget(SECONDS, rows) if rows else Budget(SECONDS)
    return _finish(explain_text(model, record, budget))


def _finish(steps: Generator[None, None, Found]) -> Found:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Found = end.value
            return result


def heat_map(record: Record, found: PictureExplanation) -> np.ndarray:
    """Return the record's picture with its cells colored."""
    return draw_heat_map(decode_image(getattr(record, found.field)), found)


def mean_cells(explanations: list[PictureExplanation]) -> np.ndarray:
    """Return the mean absolute value of each cell, of the explanations with the finest grid."""
    shapes = [np.array(each.cells).shape for each in explanations]
    finest = max(shapes)
    cells = [np.abs(each.cells) for each in explanations if np.array(each.cells).shape == finest]
    return np.asarray(np.mean(cells, axis=0))


def cell_sentences(found: PictureExplanation, *, count: int) -> list[str]:
    """Return what the cells with the largest values do, the largest first."""
    cells = np.array(found.cells)
    order = np.argsort(-np.abs(cells), axis=None, kind="stable")[:count]
    places = [tuple(map(int, np.unravel_index(each, cells.shape))) for each in order]
    return [
        f"The cell {_place(row, column, cells.shape)} "
        f"{words.effect(cells[row, column], found.unit, share=is_share(found))}."
        for row, column in places
        if cells[row, column]
    ]


def _place(row: int, column: int, shape: tuple[int, ...]) -> str:
    return f"in row {row + 1} of {shape[0]}, column {column + 1} of {shape[1]},"


def is_share(found: PictureExplanation | TextExplanation) -> bool:
    """Return whether the number is a probability, which is shown in percent."""
    return found.unit == "probability"


def colored_text(record: Record, found: TextExplanation) -> str:
    """Return the texts as HTML, the words with the color of what they do."""
    largest = max(abs(each.value) for each in found.spans) or 1.0
    parts = []
    for field in dict.fromkeys(each.field for each in found.spans):
        text, place = getattr(record, field), 0
        parts.append(f"<p><b>{escape(field)}</b><br>")
        for span in (each for each in found.spans if each.field == field):
            parts.append(_plain(text[place : span.start]))
            parts.append(_colored(span, largest))
            place = span.end
        parts.append(f"{_plain(text[place:])}</p>")
    return "".join(parts)


def _colored(span: Span, largest: float) -> str:
    red, green, blue = RAISES if span.value >= 0 else LOWERS
    opacity = 0.65 * abs(span.value) / largest
    color = f"background-color: rgba({red}, {green}, {blue}, {opacity:.3f})"
    return f'<span style="{color}" title="{span.value:+.4f}">{_plain(span.text)}</span>'


def _plain(text: str) -> str:
    return escape(text).replace("\n", "<br>")


def word_means(explanations: list[TextExplanation], *, count: int) -> list[tuple[str, float, int]]:
    """Return word, mean value and number of texts, of single words in several texts.

    The largest means come first.
    """
    by_word: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for place, each in enumerate(explanations):
        for span in each.spans:
            if " " not in span.text:
                by_word[span.text.lower()][place] += span.value
    found = [
        (word, float(np.mean(list(values.values()))), len(values))
        for word, values in by_word.items()
        if len(values) >= LEAST_TEXTS
    ]
    return sorted(found, key=lambda each: -abs(each[1]))[:count]


def without_media(example: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a record in JSON types, with long texts cut."""
    return {
        name: f"{value[:40]}... ({len(value):,} characters)"
        if isinstance(value, str) and len(value) > 400
        else value
        for name, value in example.items()
    }

"""Characters of texts and symbols of dates as numbers."""

from collections.abc import Sequence

import numpy as np

# 0 is padding and 1 every other character; the known ones come after.
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789 .,/-'"
PADDING, UNKNOWN = 0, 1
LONGEST = 56
# 0 is the end of a date and the last number its start; only the decoder's input has the start.
SYMBOLS = "0123456789-"
END, START = 0, len(SYMBOLS) + 1
# Ten symbols and the end.
STEPS = 11

_PLACES = {each: place for place, each in enumerate(CHARACTERS, start=UNKNOWN + 1)}


def to_characters(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the numbers of characters (rows, longest) and the texts' lengths (rows,), int64.

    Capital letters count as small ones, and every white space as a space.
    """
    rows = [
        [_PLACES.get(" " if each.isspace() else each.lower(), UNKNOWN) for each in text]
        for text in texts
    ]
    characters = np.full((len(rows), max(map(len, rows))), PADDING, dtype=np.int64)
    for row, found in zip(characters, rows, strict=True):
        row[: len(found)] = found
    return {"characters": characters, "lengths": np.array([len(row) for row in rows])}


def to_symbols(dates: Sequence[str]) -> np.ndarray:
    """Return the numbers of symbols (rows, steps), int64; after a date come ends."""
    symbols = np.full((len(dates), STEPS), END, dtype=np.int64)
    for row, date in zip(symbols, dates, strict=True):
        row[: len(date)] = [SYMBOLS.index(each) + 1 for each in date]
    return symbols


def from_symbols(symbols: Sequence[int]) -> str:
    """Return the date that symbols write, up to the first end."""
    date = ""
    for each in symbols:
        if each == END:
            break
        date += SYMBOLS[each - 1]
    return date

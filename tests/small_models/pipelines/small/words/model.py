"""How does this word go on?

Data: 90 words made up for the tests, of three or four syllables.
Task: continuation of a text, letter by letter.
Model: the share of each letter after each other one, as an ONNX graph that runs once a letter.
Limits: made up; it knows no language.
"""

import math
import time
from collections.abc import Iterator
from string import ascii_lowercase

import numpy as np
from pydantic import Field

from slipway.contract import Record, StreamingModel, publish


class Beginning(Record):
    """The beginning of a word, and how much of it to write."""

    text: str = Field(min_length=1, max_length=20, pattern="^[a-z]+$")
    letters: int = Field(default=4, ge=0, le=100, description="Letters to write")
    pause: float = Field(default=0, ge=0, le=60, description="Seconds before each letter")


class Letter(Record):
    """The next letter."""

    letter: str
    probability: float = Field(ge=0, le=1)


class Word(Record):
    """The word, as far as it was written."""

    text: str
    log_probability: float = Field(description="Of the written letters")


def one_hot(letter: str) -> np.ndarray:
    """Return the letter as (1, 26) float32."""
    row = np.zeros((1, len(ascii_lowercase)), dtype=np.float32)
    row[0, ascii_lowercase.index(letter)] = 1
    return row


def next_letter(probabilities: np.ndarray) -> Letter:
    """Return the likeliest letter by the probabilities (26,)."""
    place = int(probabilities.argmax())
    return Letter(letter=ascii_lowercase[place], probability=float(probabilities[place]))


def word(beginning: Beginning, letters: list[Letter]) -> Word:
    """Return the beginning with the letters behind it."""
    return Word(
        text=beginning.text + "".join(each.letter for each in letters),
        log_probability=sum(math.log(each.probability) for each in letters),
    )


class Words(StreamingModel):
    def stream(self, record: Beginning) -> Iterator[Letter]:
        last = record.text[-1]
        for _ in range(record.letters):
            time.sleep(record.pause)
            letter = next_letter(self.run({"letter": one_hot(last)})["probabilities"][0])
            yield letter
            last = letter.letter

    def join(self, record: Beginning, chunks: list[Letter]) -> Word:
        return word(record, chunks)


publish(Words())

"""One text read by greedy search, with what the networks computed on the way, for the report."""

from dataclasses import dataclass

import numpy as np

from .model import Dates
from .symbols import END, START, STEPS, from_symbols, to_characters


@dataclass(frozen=True)
class Reading:
    """The result of reading one text."""

    text: str
    date: str
    attention: np.ndarray
    """Weights (symbols, characters): the symbols are those of the date and the end."""
    states: np.ndarray
    """States of the encoder (characters, units)."""
    start: np.ndarray
    """First state of the decoder (units,)."""


def read_text(model: Dates, text: str) -> Reading:
    """Read a text symbol by symbol."""
    inputs = to_characters([text])
    encoded = model.run(inputs, "encoder")
    feeds = {"hidden": encoded["hidden"], "memory": encoded["memory"]}
    fixed = {"states": encoded["states"], "lengths": inputs["lengths"]}
    symbols = [START]
    weights: list[np.ndarray] = []
    while len(weights) < STEPS and symbols[-1] != END:
        step = model.run({"symbols": np.array(symbols[-1:]), **feeds, **fixed}, "decoder")
        feeds = {"hidden": step["next_hidden"], "memory": step["next_memory"]}
        symbols.append(int(step["scores"].argmax()))
        weights.append(step["attention"][0])
    date = from_symbols(symbols[1:])
    return Reading(text, date, np.stack(weights), encoded["states"][0], encoded["hidden"][0])

"""Beam search over the decoder's symbols, in NumPy, for many texts at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .symbols import END, START, STEPS

Arrays = dict[str, np.ndarray]
# Runs the graph `encoder` or `decoder`: inputs by name to outputs by name.
Run = Callable[[Arrays, str], Arrays]


@dataclass(frozen=True)
class Hypotheses:
    """The symbols that a search found for each text, the most probable first."""

    symbols: np.ndarray
    """Numbers of symbols (texts, beams, steps)."""
    scores: np.ndarray
    """Log-probabilities (texts, beams); minus infinity where a search has fewer hypotheses."""


def beam_search(run: Run, inputs: Arrays, beams: int) -> Hypotheses:
    """Return the `beams` likeliest hypotheses that were kept at every step.

    At each step every hypothesis is continued by every symbol, and the best continuations are kept.
    With one beam this is greedy search. A hypothesis that has ended keeps its score.
    """
    encoded = run(inputs, "encoder")
    texts = len(inputs["lengths"])
    states, lengths = (
        np.repeat(each, beams, axis=0) for each in (encoded["states"], inputs["lengths"])
    )
    hidden, memory = (np.repeat(encoded[name], beams, axis=0) for name in ("hidden", "memory"))
    symbols = np.full((texts, beams, STEPS), END, dtype=np.int64)
    # At first all beams of a text are the same, so only one of them counts.
    scores = np.full((texts, beams), -np.inf)
    scores[:, 0] = 0
    ended = np.zeros((texts, beams), dtype=bool)
    last = np.full((texts, beams), START, dtype=np.int64)
    rows = np.arange(texts)[:, None]
    for place in range(STEPS):
        feeds = {"symbols": last.ravel(), "hidden": hidden, "memory": memory}
        step = run({**feeds, "states": states, "lengths": lengths}, "decoder")
        following = step["scores"].astype(np.float64).reshape(texts, beams, -1)
        following[ended] = -np.inf
        following[ended, END] = 0
        total = (scores[:, :, None] + following).reshape(texts, -1)
        best = np.argsort(-total, axis=1, kind="stable")[:, :beams]
        parents, last = np.divmod(best, following.shape[2])
        scores = np.take_along_axis(total, best, axis=1)
        symbols, ended = symbols[rows, parents], ended[rows, parents] | (last == END)
        symbols[:, :, place] = last
        flat = (rows * beams + parents).ravel()
        hidden, memory = step["next_hidden"][flat], step["next_memory"][flat]
        if ended.all():
            break
    return Hypotheses(symbols, scores)

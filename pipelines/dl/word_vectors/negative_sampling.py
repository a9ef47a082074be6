"""Skip-gram and CBOW with negative sampling: the updates of the paper, written by hand.

Mikolov, Sutskever, Chen, Corrado and Dean, Distributed representations of words and phrases and
their compositionality (2013). One thread reads the corpus in order, so equal runs give equal bytes.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numba import njit

from slipway.deep.progress import Progress

from .corpus import END, Corpus

# Sums in another order, which lets the compiler use vector instructions; the order is fixed by the
# processor that slipway/arithmetic.py names.
FAST = {"reassoc", "contract", "nsz"}
TABLE = 1 << 18
MULTIPLIER, INCREMENT = np.uint64(6364136223846793005), np.uint64(1442695040888963407)


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate."""

    cbow: bool
    epochs: int
    width: int
    window: int
    negatives: int = 5
    learning_rate: float = 0.025
    """At the first token; it falls to nearly 0 in a straight line until the last."""
    sample: float = 1e-4
    """Words more frequent than this share of the corpus are skipped at random."""


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def step(hidden, outputs, words, rate, back):  # type: ignore[no-untyped-def]
    """Tell the first of `words` from the others: one step of gradient ascent for one example.

    The objective is the sum of log sigmoid(hidden . outputs[first]) and of log sigmoid(-hidden .
    outputs[other]) for each other word. Changes `outputs`, and adds `rate` times the gradient of
    `hidden` to `back`.
    """
    width = hidden.shape[0]
    for place in range(words.shape[0]):
        word = words[place]
        score = np.float32(0)
        for axis in range(width):
            score += hidden[axis] * outputs[word, axis]
        label = 1.0 if place == 0 else 0.0
        slope = np.float32(rate * (label - 1 / (1 + math.exp(-score))))
        for axis in range(width):
            back[axis] += slope * outputs[word, axis]
        for axis in range(width):
            outputs[word, axis] += slope * hidden[axis]


@njit(nogil=True)
def drawn(state):  # type: ignore[no-untyped-def]
    """Advance the random number generator in `state`; return 31 random bits."""
    state[0] = state[0] * MULTIPLIER + INCREMENT
    return np.int64(state[0] >> np.uint64(33))


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def run_epoch(  # type: ignore[no-untyped-def]
    tokens, kept, table, inputs, outputs, cbow, window, negatives, rates, seed
):
    """Read the tokens once and change `inputs` and `outputs`; return the number of examples.

    `kept` is the chance (words,) in 2**31 that an occurrence counts, `table` holds words as often
    as they are drawn as negatives, and `rates` are the learning rates at the beginning and the end.
    The examples of one window share their negatives, which then stay in the processor's cache (Ji
    and others 2016): three times the speed.
    """
    state = np.full(1, seed, dtype=np.uint64)
    width = inputs.shape[1]
    text = np.empty(len(tokens), dtype=np.int32)
    words = np.empty(negatives + 1, dtype=np.int32)
    hidden, back = np.empty(width, dtype=np.float32), np.empty(width, dtype=np.float32)
    examples, start = 0, 0
    while start < len(tokens):
        length, place = 0, start
        while place < len(tokens) and tokens[place] != END:
            if drawn(state) < kept[tokens[place]]:
                text[length] = tokens[place]
                length += 1
            place += 1
        rate = rates[0] + (rates[1] - rates[0]) * start / len(tokens)
        start = place + 1
        for centre in range(length):
            reach = 1 + drawn(state) % window
            first, last = max(0, centre - reach), min(length, centre + reach + 1)
            if last - first < 2:
                continue
            words[0] = text[centre]
            for each in range(1, negatives + 1):
                words[each] = words[0]
                while words[each] == words[0]:
                    words[each] = table[drawn(state) % len(table)]
            if cbow:
                hidden[:] = 0
                back[:] = 0
                for other in range(first, last):
                    if other != centre:
                        for axis in range(width):
                            hidden[axis] += inputs[text[other], axis]
                for axis in range(width):
                    hidden[axis] /= np.float32(last - first - 1)
                step(hidden, outputs, words, rate, back)
                examples += 1
            for other in range(first, last):
                if other == centre:
                    continue
                if not cbow:
                    back[:] = 0
                    step(inputs[text[other]], outputs, words, rate, back)
                    examples += 1
                for axis in range(width):
                    inputs[text[other], axis] += back[axis]
    return examples


@dataclass
class Training:
    """The state of one training; its file lets a killed one continue after its last epoch."""

    corpus: Corpus
    recipe: Recipe
    seed: int
    file: Path
    key: str
    """The digest of what the training depends on; a file with another key is not read."""
    curve: list[float] = field(default_factory=list)

    def run(self, progress: Progress, validate: Callable[[np.ndarray], float]) -> np.ndarray:
        """Return the vectors (words, width), float32; `curve` gets their validation by epoch."""
        recipe, chosen = self.recipe, (self.corpus.counts / self.corpus.counts.sum())
        inputs, outputs = self._resumed() or self._drawn()
        progress.skip(len(self.curve))
        kept = 2.0**31 * (np.sqrt(recipe.sample / chosen) + recipe.sample / chosen)
        shares = np.cumsum(self.corpus.counts**0.75)
        table = np.searchsorted(shares, (np.arange(TABLE) + 0.5) / TABLE * shares[-1])
        for epoch in range(len(self.curve), recipe.epochs):
            parts = np.array([epoch, epoch + 1]) / recipe.epochs
            run_epoch(
                self.corpus.tokens,
                kept.astype(np.int64),
                table.astype(np.int32),
                inputs,
                outputs,
                recipe.cbow,
                recipe.window,
                recipe.negatives,
                recipe.learning_rate * np.maximum(1 - parts, 1e-4),
                np.uint64(1000 * self.seed + epoch),
            )
            self.curve.append(validate(inputs))
            self._save(inputs, outputs)
            progress.epoch(epoch + 1, recipe.epochs, {"accuracy": self.curve[-1]})
        return inputs

    def _drawn(self) -> tuple[np.ndarray, np.ndarray]:
        shape = len(self.corpus.words), self.recipe.width
        inputs = np.random.default_rng(self.seed).random(shape, dtype=np.float32) - np.float32(0.5)
        return inputs / np.float32(self.recipe.width), np.zeros(shape, dtype=np.float32)

    def _resumed(self) -> tuple[np.ndarray, np.ndarray] | None:
        if not self.file.is_file():
            return None
        with np.load(self.file) as found:
            if str(found["key"]) != self.key:
                return None
            self.curve = found["curve"].tolist()
            return found["inputs"], found["outputs"]

    def _save(self, inputs: np.ndarray, outputs: np.ndarray) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        new = self.file.with_suffix(".new.npz")
        np.savez(new, key=self.key, curve=self.curve, inputs=inputs, outputs=outputs)
        os.replace(new, self.file)

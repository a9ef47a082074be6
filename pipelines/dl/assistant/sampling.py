"""Choose the next token from a network's scores."""

import numpy as np


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Return the log-probabilities (..., tokens) of scores (..., tokens)."""
    shifted = scores.astype(np.float64) - scores.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def next_token(
    scores: np.ndarray, temperature: float, top_p: float, generator: np.random.Generator
) -> int:
    """Return a token by its scores (tokens,): the likeliest at temperature 0, else a drawn one.

    A temperature below 1 makes likely tokens likelier. Drawn is from the fewest tokens whose
    probabilities add up to `top_p` (nucleus sampling, Holtzman and others 2020).
    """
    if temperature == 0:
        return int(scores.argmax())
    probabilities = np.exp(log_softmax(scores / temperature))
    order = np.argsort(-probabilities, kind="stable")
    totals = np.cumsum(probabilities[order])
    kept = totals[: int(np.searchsorted(totals, top_p)) + 1]
    place = np.searchsorted(kept, generator.random() * kept[-1], side="right")
    return int(order[min(place, len(kept) - 1)])

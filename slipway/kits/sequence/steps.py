"""Steps of sequences as the input of a network."""

from collections.abc import Sequence

import numpy as np


def step_batch(
    sequences: Sequence[Sequence[Sequence[float]]], length: int
) -> dict[str, np.ndarray]:
    """Return steps (rows, length, numbers) float32 and their count (rows,) float32.

    Each sequence is a list of steps, and a step a list of numbers. The last `length` steps of a
    longer sequence count; a shorter one is filled with zeros at the end.
    """
    width = len(sequences[0][0])
    steps = np.zeros((len(sequences), length, width), dtype=np.float32)
    counts = np.zeros(len(sequences), dtype=np.float32)
    for row, sequence in enumerate(sequences):
        last = sequence[-length:]
        steps[row, : len(last)] = last
        counts[row] = len(last)
    return {"steps": steps, "counts": counts}

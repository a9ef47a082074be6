"""Parity: how far the exported model's predictions lie from the training framework's."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from slipway.contract import Record

# Enough to meet rare categories; a full pass would double the time of `fit`.
ROWS = 1000


def parity(native: Sequence[Record], exported: Sequence[Record]) -> dict[str, float]:
    """Compare the exported model's predictions with the training framework's, row by row.

    `parity_error`: a power of ten that no difference between two numbers reaches, relative above 1.
    Its exact value hangs on the processor, by which ONNX Runtime chooses its kernels.
    `parity_agreement`: the share of other values (labels, texts, flags) that are equal.

    Raises:
        ValueError: the two have a different number of rows, or none.
    """
    if len(native) != len(exported) or not native:
        raise ValueError(f"parity needs as many answers, got {len(native)} and {len(exported)}")
    error, same, compared = 0.0, 0, 0
    for left, right in zip(native, exported, strict=True):
        for one, other in zip(_leaves(left.model_dump()), _leaves(right.model_dump()), strict=True):
            if isinstance(one, float) and isinstance(other, float):
                error = max(error, abs(one - other) / max(1.0, abs(one)))
            else:
                compared += 1
                same += one == other
    bound = power_of_ten_above(error)
    return {"parity_error": bound, "parity_agreement": same / compared if compared else 1.0}


def power_of_ten_above(error: float) -> float:
    """Return the least power of ten above `error`, and 1e-12 for what is smaller or nothing.

    Raises:
        ValueError: `error` is not finite.
    """
    if not math.isfinite(error):
        raise ValueError(f"parity: the largest difference is {error}")
    exponent = -12
    while float(f"1e{exponent}") <= error:
        exponent += 1
    return float(f"1e{exponent}")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key in value:
            yield from _leaves(value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value

"""Parity: the difference between the exported model's predictions and the framework's."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from slipway.contract import Record

# Enough rows to include rare categories; a full pass would double the time of `fit`.
ROWS = 1000


def parity(framework: Sequence[Record], exported: Sequence[Record]) -> dict[str, float]:
    """Compare the exported model's predictions with the training framework's, row by row.

    `parity_error`: the least power of ten above every difference between two numbers; differences
    are relative for numbers above 1. The exact difference depends on the processor, by which ONNX
    Runtime chooses its kernels.
    `parity_agreement`: the share of all other values (labels, texts, flags) that are equal.

    Raises:
        ValueError: the two have different numbers of rows, or no rows.
    """
    if len(framework) != len(exported) or not framework:
        raise ValueError(
            "parity needs two equally long lists of predictions, "
            f"got {len(framework)} and {len(exported)}"
        )
    error, same, compared = 0.0, 0, 0
    for left, right in zip(framework, exported, strict=True):
        for one, other in zip(_leaves(left.model_dump()), _leaves(right.model_dump()), strict=True):
            if isinstance(one, float) and isinstance(other, float):
                error = max(error, abs(one - other) / max(1.0, abs(one)))
            else:
                compared += 1
                same += one == other
    bound = power_of_ten_above(error)
    return {"parity_error": bound, "parity_agreement": same / compared if compared else 1.0}


def power_of_ten_above(error: float) -> float:
    """Return the least power of ten above `error`, at least 1e-12.

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

"""Parity: how far the exported model's answers lie from the training framework's."""

from collections.abc import Iterator, Sequence
from typing import Any

from slipway.contract import Record

# Enough to meet rare categories; a full pass would double the time of `fit`.
ROWS = 1000


def parity(native: Sequence[Record], exported: Sequence[Record]) -> dict[str, float]:
    """`parity_error`: the largest difference between two numbers, relative above 1.

    `parity_agreement`: the share of other values (labels, texts, flags) that are equal.

    Raises:
        ValueError: the two answered a different number of rows, or none.
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
    return {"parity_error": error, "parity_agreement": same / compared if compared else 1.0}


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key in value:
            yield from _leaves(value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value

"""Parity: the difference between the exported model's predictions and the framework's."""

import math
from collections.abc import Sequence

from slipway.contract import Record
from slipway.quality.comparison import Compare
from slipway.quality.differences import compare_values


class ParityMeter:
    """Compares predictions batch by batch, so that no more than one batch is in memory."""

    def __init__(self, compare: Compare = compare_values) -> None:
        self._compare = compare
        self._error, self._same, self._compared = 0.0, 0.0, 0

    def add(self, framework: Sequence[Record], exported: Sequence[Record]) -> None:
        """Compare the exported model's predictions with the training framework's, row by row.

        Raises:
            ValueError: the two have different numbers of rows, or no rows.
        """
        if len(framework) != len(exported) or not framework:
            raise ValueError(
                "parity needs two equally long lists of predictions, "
                f"got {len(framework)} and {len(exported)}"
            )
        for left, right in zip(framework, exported, strict=True):
            for each in self._compare(left.model_dump(), right.model_dump()):
                if each.error is not None:
                    self._error = max(self._error, each.error)
                else:
                    self._compared += 1
                    self._same += each.share

    def metrics(self) -> dict[str, float]:
        """Return the parity of all rows so far.

        `parity_error`: the least power of ten above every difference between two numbers;
        differences are relative for numbers above 1. The exact difference depends on the processor,
        by which ONNX Runtime chooses its kernels.
        `parity_agreement`: the share of all other values (labels, texts, flags) that are equal. A
        value without a counterpart, as in a longer list, is not.
        """
        share = self._same / self._compared if self._compared else 1.0
        return {"parity_error": power_of_ten_above(self._error), "parity_agreement": share}


def parity(
    framework: Sequence[Record], exported: Sequence[Record], compare: Compare = compare_values
) -> dict[str, float]:
    """Return the parity of two lists of predictions, as `ParityMeter` measures it.

    Raises:
        ValueError: the two have different numbers of rows, or no rows.
    """
    meter = ParityMeter(compare)
    meter.add(framework, exported)
    return meter.metrics()


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

"""Quantize an exported graph to 8 bits, and run it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


class Calibration:
    """Yields rows from which the quantizer takes the range of every activation."""

    def __init__(self, images: np.ndarray) -> None:
        self._left = iter(np.array_split(images, max(1, len(images) // 100)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        part = next(self._left, None)
        return None if part is None else {"images": part}


def int8_copy(file: Path, images: np.ndarray) -> Path:
    """Write a copy of the graph with 8-bit weights and activations, and return its path.

    `images` (rows, 1, 28, 28) show which values occur. Weights keep 7 bits, so that sums of
    products do not overflow on processors without 8-bit dot products.
    """
    from onnxruntime import quantization

    reader: Any = type("Reader", (Calibration, quantization.CalibrationDataReader), {})(images)
    small = file.with_name("int8.onnx")
    quantization.quantize_static(
        file,
        small,
        reader,
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        reduce_range=True,
    )
    return small


def probabilities(file: Path, images: np.ndarray) -> np.ndarray:
    """Return the outputs (rows, 10) of a graph for brightness (rows, 1, 28, 28)."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    parts = np.array_split(images, max(1, len(images) // 1000))
    return np.concatenate([np.asarray(session.run(None, {"images": part})[0]) for part in parts])

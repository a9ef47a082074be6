"""An ONNX Runtime session as all of these servers open it: one thread, on CPU."""

import os

import numpy as np
import onnxruntime


def open_session() -> onnxruntime.InferenceSession:
    """Open the file that $BENCHMARK_MODEL names."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        os.environ["BENCHMARK_MODEL"], options, providers=["CPUExecutionProvider"]
    )


def malignancy(session: onnxruntime.InferenceSession, numbers: np.ndarray) -> np.ndarray:
    """Return the probabilities (rows,) of numbers (rows, 30) float32."""
    found: np.ndarray = session.run(["probabilities"], {"numbers": numbers})[0]
    return found[:, 1]

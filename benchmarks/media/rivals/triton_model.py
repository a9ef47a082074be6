"""The network behind Triton's Python backend; with dynamic batching, several requests a call."""

import base64
import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton  # type: ignore[import-not-found]

sys.path.append(os.environ["BENCHMARK_PILLOW"])
import PIL.Image


def decode(text: bytes) -> np.ndarray:
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(text)))
    return np.asarray(picture.convert("RGB"))


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        file = Path(args["model_repository"], args["model_version"], "model.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        texts = [triton.get_input_tensor_by_name(each, "image").as_numpy() for each in requests]
        pixels = np.stack([decode(text) for each in texts for text in each.ravel()])
        found = self.session.run(["probabilities"], {"pixels": pixels})[0]
        responses, start = [], 0
        for each in texts:
            part = found[start : start + len(each)]
            start += len(each)
            outputs = [
                triton.Tensor("kind", part.argmax(axis=1)[:, None]),
                triton.Tensor("probability", part.max(axis=1)[:, None]),
            ]
            responses.append(triton.InferenceResponse(output_tensors=outputs))
        return responses

"""The session behind Triton's Python backend: waiting requests run as one batch."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton  # type: ignore[import-not-found]


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
        blocks = [triton.get_input_tensor_by_name(each, "numbers").as_numpy() for each in requests]
        numbers = np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
        found = self.session.run(["probabilities"], {"numbers": numbers})[0][:, 1:]
        responses, start = [], 0
        for block in blocks:
            part = np.ascontiguousarray(found[start : start + len(block)])
            start += len(block)
            outputs = [
                triton.Tensor("malignant", part >= 0.5),
                triton.Tensor("probability", part),
            ]
            responses.append(triton.InferenceResponse(output_tensors=outputs))
        return responses

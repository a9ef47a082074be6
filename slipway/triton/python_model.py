"""The model.py of Triton's Python backend, one for all models: ONNX Runtime runs the graph beside.

It is copied into the repository as it stands and runs in Triton's own interpreter: standard
library, numpy and onnxruntime only.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton  # type: ignore[import-not-found]


class TritonPythonModel:
    """One instance of one version; Triton makes it and calls it from one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Raises RuntimeError: a GPU is asked for, and this ONNX Runtime has none."""
        config = json.loads(args["model_config"])
        folder = Path(args["model_repository"], args["model_version"])
        options = onnxruntime.SessionOptions()
        threads = config["parameters"]["intra_op_thread_count"]["string_value"]
        options.intra_op_num_threads = int(threads)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        onnxruntime.disable_telemetry_events()
        self._session = onnxruntime.InferenceSession(
            os.fspath(folder / "model.onnx"), options, providers=_providers(args)
        )
        self._batched = config["max_batch_size"] > 0
        self._texts = {
            each["name"] for each in config["input"] if each["data_type"] == "TYPE_STRING"
        }
        self._inputs = [each["name"] for each in config["input"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer what the dynamic batcher put together, as many responses as requests."""
        feeds: list[dict[str, np.ndarray] | Exception] = [self._feeds(each) for each in requests]
        good = [each for each in feeds if isinstance(each, dict)]
        answers = iter(self._together(good))
        return [
            _response(request, next(answers) if isinstance(feed, dict) else feed)
            for request, feed in zip(requests, feeds, strict=True)
        ]

    def _feeds(self, request: Any) -> dict[str, np.ndarray] | Exception:
        try:
            found = {}
            for name in self._inputs:
                array = triton.get_input_tensor_by_name(request, name).as_numpy()
                found[name] = _texts(array) if name in self._texts else array
            return found
        except UnicodeDecodeError as error:
            return ValueError(f"input {name} is not UTF-8: {error}")

    def _together(self, feeds: list[dict[str, np.ndarray]]) -> list[dict[str, Any] | Exception]:
        """One run for all; each on its own if they do not go together, or one of them fails."""
        alike = self._batched and len({_shapes(each) for each in feeds}) == 1
        if len(feeds) < 2 or not alike:
            return [self._alone(each) for each in feeds]
        merged = {name: np.concatenate([each[name] for each in feeds]) for name in self._inputs}
        whole = self._alone(merged)
        if isinstance(whole, Exception):
            return [self._alone(each) for each in feeds]
        first = self._inputs[0]
        ends = np.cumsum([len(each[first]) for each in feeds]).tolist()
        starts = [0, *ends[:-1]]
        return [
            {name: array[start:end] for name, array in whole.items()}
            for start, end in zip(starts, ends, strict=True)
        ]

    def _alone(self, feeds: dict[str, np.ndarray]) -> dict[str, Any] | Exception:
        names = [each.name for each in self._session.get_outputs()]
        try:
            return dict(zip(names, self._session.run(names, feeds), strict=True))
        except Exception as error:  # of onnxruntime, which has a class for each code
            return error


def _providers(args: dict[str, str]) -> list[Any]:
    if args["model_instance_kind"] != "GPU":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise RuntimeError(
            f"{args['model_name']}: instances.kind is KIND_GPU, and this onnxruntime has no CUDA; "
            "install onnxruntime-gpu, or build the repository with KIND_CPU"
        )
    device = {"device_id": args["model_instance_device_id"]}
    return [("CUDAExecutionProvider", device), "CPUExecutionProvider"]


def _shapes(feeds: dict[str, np.ndarray]) -> tuple[tuple[int, ...], ...]:
    """Without the row axis."""
    return tuple(array.shape[1:] for array in feeds.values())


def _texts(array: np.ndarray) -> np.ndarray:
    """Bytes, as Triton has them, to text, as ONNX Runtime wants it."""
    decoded = np.empty(array.shape, dtype=object)
    decoded.reshape(-1)[:] = [each.decode() for each in array.reshape(-1)]
    return decoded


def _response(request: Any, answer: Any) -> Any:
    if isinstance(answer, Exception):
        return triton.InferenceResponse(error=triton.TritonError(str(answer)))
    wanted = set(request.requested_output_names())
    tensors = [triton.Tensor(name, array) for name, array in answer.items() if name in wanted]
    return triton.InferenceResponse(tensors)

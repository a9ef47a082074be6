"""The model.py for Triton's Python backend: ONNX Runtime runs the model.onnx next to it.

The same file is copied into the repository for every model. It runs in Triton's own interpreter,
so it imports only the standard library, numpy and onnxruntime.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton  # type: ignore[import-not-found]


class TritonPythonModel:
    """One instance of one version; Triton creates it and calls it from one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph.

        Raises:
            RuntimeError: the config requests a GPU, and this ONNX Runtime has no CUDA.
        """
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
        """Run the requests of one dynamic batch; return one response per request."""
        feeds: list[dict[str, np.ndarray] | Exception] = [self._feeds(each) for each in requests]
        good = [each for each in feeds if isinstance(each, dict)]
        results = iter(self._run_batch(good))
        return [
            _response(request, next(results) if isinstance(feed, dict) else feed)
            for request, feed in zip(requests, feeds, strict=True)
        ]

    def _feeds(self, request: Any) -> dict[str, np.ndarray] | Exception:
        try:
            arrays = {}
            for name in self._inputs:
                array = triton.get_input_tensor_by_name(request, name).as_numpy()
                arrays[name] = _texts(array) if name in self._texts else array
            return arrays
        except UnicodeDecodeError as error:
            return ValueError(f"input {name} is not UTF-8: {error}")

    def _run_batch(self, feeds: list[dict[str, np.ndarray]]) -> list[dict[str, Any] | Exception]:
        """Run all feeds at once, or one by one if their shapes differ or the batch fails."""
        same_shapes = self._batched and len({_shapes(each) for each in feeds}) == 1
        if len(feeds) < 2 or not same_shapes:
            return [self._run_one(each) for each in feeds]
        merged = {name: np.concatenate([each[name] for each in feeds]) for name in self._inputs}
        outputs = self._run_one(merged)
        if isinstance(outputs, Exception):
            return [self._run_one(each) for each in feeds]
        first = self._inputs[0]
        ends = np.cumsum([len(each[first]) for each in feeds]).tolist()
        starts = [0, *ends[:-1]]
        return [
            {name: array[start:end] for name, array in outputs.items()}
            for start, end in zip(starts, ends, strict=True)
        ]

    def _run_one(self, feeds: dict[str, np.ndarray]) -> dict[str, Any] | Exception:
        names = [each.name for each in self._session.get_outputs()]
        try:
            return dict(zip(names, self._session.run(names, feeds), strict=True))
        except Exception as error:  # onnxruntime has an exception class for each code
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
    """Return the shapes without the row axis."""
    return tuple(array.shape[1:] for array in feeds.values())


def _texts(array: np.ndarray) -> np.ndarray:
    """Decode Triton's bytes to the str that ONNX Runtime needs."""
    decoded = np.empty(array.shape, dtype=object)
    decoded.reshape(-1)[:] = [each.decode() for each in array.reshape(-1)]
    return decoded


def _response(request: Any, outputs: Any) -> Any:
    if isinstance(outputs, Exception):
        return triton.InferenceResponse(error=triton.TritonError(str(outputs)))
    wanted = set(request.requested_output_names())
    tensors = [triton.Tensor(name, array) for name, array in outputs.items() if name in wanted]
    return triton.InferenceResponse(tensors)

"""The request and response bodies of the servers."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.model.model import FIELDS
from benchmarks.rival import RequestBody, Response

JSON = {"Content-Type": "application/json"}
TENSOR = "numbers"


def records(rows: np.ndarray) -> list[dict[str, float]]:
    return [dict(zip(FIELDS, row, strict=True)) for row in rows.tolist()]


def as_json(value: Any) -> RequestBody:
    return RequestBody(json.dumps(value, separators=(",", ":")).encode(), JSON)


def record(rows: np.ndarray) -> RequestBody:
    """Return the first row as a JSON object."""
    return as_json(records(rows)[0])


def record_list(rows: np.ndarray) -> RequestBody:
    return as_json(records(rows))


def probability_reader(*path: str) -> Callable[[Response], np.ndarray]:
    """Return a reader of one or several probabilities below the keys of `path`."""

    def read(response: Response) -> np.ndarray:
        found: Any = json.loads(response.body)
        for key in path:
            found = found[key]
        several = found if isinstance(found, list) else [found]
        return np.array([each["probability"] for each in several])

    return read


def mlflow_inputs(rows: np.ndarray) -> RequestBody:
    return as_json({"inputs": records(rows)})


def tensor_json(rows: np.ndarray) -> RequestBody:
    """Return Open Inference Protocol V2: one FP32 tensor (n, 30) as JSON."""
    tensor = {
        "name": TENSOR,
        "shape": list(rows.shape),
        "datatype": "FP32",
        "data": rows.ravel().tolist(),
    }
    return as_json({"inputs": [tensor]})


def read_tensor_json(response: Response) -> np.ndarray:
    outputs = json.loads(response.body)["outputs"]
    return np.array(next(each["data"] for each in outputs if each["name"] == "probability"))


def _binary(tensors: dict[str, np.ndarray], kind: str) -> RequestBody:
    from tritonclient.http import (  # type: ignore[import-untyped]
        InferenceServerClient,
        InferInput,
        InferRequestedOutput,
    )

    inputs = []
    for name, values in tensors.items():
        tensor = InferInput(name, list(values.shape), kind)
        tensor.set_data_from_numpy(values, binary_data=True)
        inputs.append(tensor)
    wanted = [InferRequestedOutput("probability", binary_data=True)]
    body, header = InferenceServerClient.generate_request_body(inputs, outputs=wanted)
    if header is None:
        raise ValueError("tritonclient wrote no binary tensor")
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(header),
    }
    return RequestBody(body, headers)


def tensor_binary(rows: np.ndarray) -> RequestBody:
    """Return V2 with one binary FP32 tensor (n, 30)."""
    return _binary({TENSOR: np.ascontiguousarray(rows, dtype=np.float32)}, "FP32")


def columns_binary(rows: np.ndarray) -> RequestBody:
    """Return V2 with a binary FP64 tensor (n,) per field."""
    wide = rows.astype(np.float64)
    columns = {name: np.ascontiguousarray(wide[:, place]) for place, name in enumerate(FIELDS)}
    return _binary(columns, "FP64")


def read_binary(response: Response) -> np.ndarray:
    from tritonclient.http import InferenceServerClient

    length = response.headers.get("inference-header-content-length")
    result = InferenceServerClient.parse_response_body(
        response.body, header_length=int(length) if length else None
    )
    found = result.as_numpy("probability")
    if found is None:
        raise ValueError("the response has no tensor 'probability'")
    return np.asarray(found)

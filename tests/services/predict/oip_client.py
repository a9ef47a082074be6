"""Converts records to the tensors of the Open Inference Protocol, and responses back."""

import base64
import binascii
import json
from typing import Any

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import np_to_triton_dtype

from services.predict.oip.columns import Column, columns_of
from slipway.project import Project

NAMES = {"BOOL": np.bool_, "INT64": np.int64, "FP64": np.float64, "BYTES": np.object_}


def tensors(project: Project, records: list[dict]) -> dict[str, np.ndarray]:
    """Return what a client sends for these records; a field that is null in all is left out."""
    columns = columns_of(project.model().input_type().model_json_schema())
    arrays = {}
    for column in columns:
        values = [record.get(column.name) for record in records]
        if all(value is None for value in values):
            continue
        if column.kind == "bytes":
            values = [base64.urlsafe_b64decode(value) for value in values]
        elif column.kind == "json":
            values = [json.dumps(value) for value in values]
        elif column.kind == "str":
            values = ["" if value is None else value for value in values]
        elif column.kind == "float":
            values = [np.nan if value is None else value for value in values]
        dtype = NAMES[column.datatype]
        if column.kind in ("bool", "int") and None in values:
            values, dtype = [np.nan if value is None else value for value in values], np.float64
        arrays[column.name] = np.array(values, dtype=dtype)
    return arrays


def answers(result: Any, project: Project, rows: int) -> list[dict]:
    """Return the predictions of a result as the typed endpoint gives them."""
    columns = columns_of(project.model().output_type().model_json_schema(mode="serialization"))
    values = {}
    for column in columns:
        array = result.as_numpy(column.name)
        assert array.shape == (rows,)
        values[column.name] = [_plain(each, column) for each in array.tolist()]
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _plain(value: Any, column: Column) -> Any:
    """Return the value as JSON has it: NaN stands for null in a tensor of numbers."""
    if isinstance(value, bytes):
        # JSON tensors hold media in base64 already, binary ones the bytes themselves.
        is_media = column.kind == "bytes" and not _is_base64(value)
        value = base64.b64encode(value).decode() if is_media else value.decode()
    if column.kind == "json":
        return json.loads(value)
    return None if column.nullable and value != value else value


def _is_base64(value: bytes) -> bool:
    try:
        return bool(base64.b64decode(value, validate=True))
    except binascii.Error:
        return False


def infer_over_http(
    client: triton_http.InferenceServerClient,
    project: Project,
    records: list[dict],
    *,
    binary: bool,
) -> Any:
    """Send the records with tritonclient's HTTP client, as binary tensors or as JSON."""
    inputs = []
    for name, array in tensors(project, records).items():
        if not binary and array.dtype == np.object_ and isinstance(array[0], bytes):
            encoded = [base64.urlsafe_b64encode(each).decode() for each in array]
            array = np.array(encoded, dtype=np.object_)
        tensor = triton_http.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    fields = project.model().output_type().model_fields
    outputs = [triton_http.InferRequestedOutput(name, binary_data=binary) for name in fields]
    return client.infer(project.name, inputs, outputs=outputs, request_id="mine")


def infer_over_grpc(
    client: triton_grpc.InferenceServerClient, project: Project, records: list[dict]
) -> Any:
    """Send the records with tritonclient's gRPC client."""
    inputs = []
    for name, array in tensors(project, records).items():
        tensor = triton_grpc.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return client.infer(project.name, inputs)

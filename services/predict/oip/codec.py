"""The protocol's requests and responses, in JSON and in its binary tensor extension."""

import base64
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic_core import from_json, to_json

from services.predict.oip.columns import EXACT, RECORDS, Column
from services.web.problem import Problem

# Little-endian on the wire, as on every machine that numpy is likely to meet.
DTYPES = {
    "BOOL": "?",
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
}


@dataclass
class RequestedOutput:
    """An output that the caller requested."""

    name: str
    binary: bool


@dataclass
class InferenceRequest:
    """A decoded request: one column for each tensor."""

    id: str | None
    rows: int
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    """Numbers and flags, (rows,), in the field's own datatype."""
    lists: dict[str, list[Any]] = field(default_factory=dict)
    """Texts, bytes and nested values, and numbers some of which are unknown."""
    records: list[Any] | None = None
    """One JSON record for each row, when the caller sent them so."""
    outputs: list[RequestedOutput] | None = None
    """None: all."""
    binary: bool = False
    """Send every output in binary, unless the output says otherwise."""


def refuse(tensor: str, message: str) -> Problem:
    """Return the problem to raise for a tensor that does not fit."""
    return Problem(422, "Invalid tensor", f"{tensor}: {message}")


def decode(
    body: bytes, *, json_length: int | None, columns: tuple[Column, ...], most_rows: int
) -> InferenceRequest:
    """Return the request in `body`; its first `json_length` bytes are JSON, or all of it.

    Raises:
        Problem: 400 if it is no message of this protocol, 422 if a tensor does not fit.
    """
    length = len(body) if json_length is None else json_length
    if not 0 <= length <= len(body):
        message = f"Inference-Header-Content-Length must be 0 to {len(body)}, got {length}"
        raise Problem(400, "Malformed request", message)
    try:
        head = from_json(body[:length])
    except ValueError as error:
        raise Problem(400, "Malformed JSON", str(error)) from None
    if not isinstance(head, dict) or not isinstance(head.get("inputs"), list):
        raise Problem(400, "Malformed request", "it must be an object with a list `inputs`")
    inference = InferenceRequest(id=_text(head, "id"), rows=-1)
    _read_outputs(inference, head)
    rest = memoryview(body)[length:]
    for tensor in head["inputs"]:
        name, rows, content, rest = _tensor(tensor, rest, most_rows)
        add(inference, name, rows, content, columns)
    if len(rest):
        raise Problem(400, "Malformed request", f"{len(rest)} bytes follow the last tensor")
    return complete(inference, columns)


def add(
    inference: InferenceRequest,
    name: str,
    rows: int,
    content: "TensorContent",
    columns: tuple[Column, ...],
) -> None:
    """Add one more tensor to the request.

    Raises:
        Problem: it does not fit the model or the tensors before it.
    """
    if inference.rows not in (-1, rows):
        raise refuse(name, f"has {rows} rows, the tensors before it {inference.rows}")
    inference.rows = rows
    if name in inference.arrays or name in inference.lists or inference.records is not None:
        raise refuse(name, f"is one too many: each tensor once, or {RECORDS} alone")
    column = next((each for each in columns if each.name == name), None)
    put(inference, name, column, content, columns)


def complete(inference: InferenceRequest, columns: tuple[Column, ...]) -> InferenceRequest:
    """Return the request, after checking that nothing is missing.

    Raises:
        Problem: a tensor is missing, or there is no row.
    """
    if inference.rows < 1:
        raise Problem(422, "Invalid tensor", "inputs: at least one tensor with a row is needed")
    if inference.records is None:
        for column in columns:
            sent = column.name in inference.arrays or column.name in inference.lists
            if column.required and not sent:
                raise refuse(column.name, f"is missing; it must be {column.datatype} [rows]")
    elif inference.arrays or inference.lists:
        raise refuse(RECORDS, "holds whole records; send no other tensor beside it")
    return inference


@dataclass
class TensorContent:
    """One tensor's values: an array, or a list of bytes or JSON values."""

    datatype: str
    values: Any
    binary: bool


def put(
    inference: InferenceRequest,
    name: str,
    column: Column | None,
    content: TensorContent,
    columns: tuple[Column, ...],
) -> None:
    """Add a tensor as the column that it stands for.

    Raises:
        Problem: there is no such field, or its values do not fit.
    """
    if column is None:
        if name != RECORDS:
            known = ", ".join(each.name for each in columns)
            raise refuse(name, f"is no field of this model; it has {known}")
        if content.datatype != "BYTES":
            raise refuse(name, f"must be BYTES, got {content.datatype}")
        inference.records = [_record(each) for each in content.values]
    elif column.kind in ("str", "bytes", "json"):
        if content.datatype != "BYTES":
            raise refuse(name, f"must be BYTES, got {content.datatype}")
        inference.lists[name] = [_value(column, each, content.binary) for each in content.values]
    elif isinstance(content.values, np.ndarray):
        values = content.values
        unknown = np.isnan(values) if column.nullable and values.dtype.kind == "f" else None
        if unknown is not None and unknown.any():
            known = iter(_fit(column, values[~unknown]).tolist())
            inference.lists[name] = [None if gap else next(known) for gap in unknown.tolist()]
        else:
            inference.arrays[name] = _fit(column, values)
    else:
        raise refuse(name, f"must be {column.datatype}, got {content.datatype}")


def _record(value: Any) -> Any:
    if not isinstance(value, bytes | str):
        raise refuse(RECORDS, "must hold texts, a JSON record each")
    try:
        return from_json(value)
    except ValueError as error:
        raise refuse(RECORDS, f"holds a text that is no JSON: {error}") from None


def _value(column: Column, value: Any, binary: bool) -> Any:
    """Return the value as pydantic reads it from JSON: bytes as base64."""
    if value is None or (not value and column.nullable and column.kind != "json"):
        return None
    if column.kind == "bytes":
        if binary:
            return base64.urlsafe_b64encode(value).decode()
        return value
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            raise refuse(column.name, f"is not UTF-8: {error.reason}") from None
    if column.kind == "json":
        if not isinstance(value, str):
            return value
        try:
            return from_json(value)
        except ValueError as error:
            raise refuse(column.name, f"is no JSON: {error}") from None
    return value


def _fit(column: Column, values: np.ndarray) -> np.ndarray:
    """Return the values in the column's own datatype.

    Raises:
        Problem: a value would change by that.
    """
    kind = values.dtype.kind
    if column.kind == "bool":
        if kind == "b":
            return values
        # BOOL has no value for an unknown flag, so FP64 may stand for it.
        if column.nullable and kind == "f" and np.isin(values, (0, 1)).all():
            return values.astype(bool)
        message = "must be BOOL, or FP64 of 0, 1 and NaN" if column.nullable else "must be BOOL"
        raise refuse(column.name, message)
    if kind == "b":
        raise refuse(column.name, f"must be {column.datatype}, got BOOL")
    if column.kind == "float":
        if kind in "iu" and values.dtype.itemsize == 8 and len(values):
            extreme = max(abs(int(values.min())), abs(int(values.max())))
            if extreme > EXACT:
                raise refuse(column.name, f"holds {extreme}, which FP64 does not hold exactly")
        return values.astype(np.float64, copy=False)
    if kind == "f":
        if not np.isfinite(values).all() or (values != np.trunc(values)).any():
            raise refuse(column.name, "must hold whole numbers")
        if len(values) and np.abs(values).max() > EXACT:
            raise refuse(column.name, "holds numbers too large for whole numbers in floating point")
    if kind == "u" and len(values) and int(values.max()) > np.iinfo(np.int64).max:
        raise refuse(column.name, "holds a number over 2^63 - 1")
    return values.astype(np.int64, copy=False)


def _text(head: dict[str, Any], name: str) -> str | None:
    value = head.get(name)
    if value is not None and not isinstance(value, str):
        raise Problem(400, "Malformed request", f"{name}: must be a text")
    return value


def _read_outputs(inference: InferenceRequest, head: dict[str, Any]) -> None:
    parameters = _parameters(head, "parameters")
    inference.binary = parameters.get("binary_data_output") is True
    outputs = head.get("outputs")
    if outputs is None:
        return
    if not isinstance(outputs, list):
        raise Problem(400, "Malformed request", "outputs: must be a list")
    inference.outputs = []
    for each in outputs:
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise Problem(400, "Malformed request", "outputs: each must be an object with a name")
        binary = _parameters(each, "outputs").get("binary_data", inference.binary)
        inference.outputs.append(RequestedOutput(each["name"], binary is True))


def _parameters(holder: dict[str, Any], place: str) -> dict[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise Problem(400, "Malformed request", f"{place}: parameters must be an object")
    return parameters


def _tensor(
    tensor: Any, rest: memoryview, most_rows: int
) -> tuple[str, int, TensorContent, memoryview]:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise Problem(400, "Malformed request", "inputs: each must be an object with a name")
    name, datatype = tensor["name"], tensor.get("datatype")
    if not isinstance(datatype, str) or (datatype != "BYTES" and datatype not in DTYPES):
        shown = datatype if isinstance(datatype, str) else type(datatype).__name__
        raise refuse(name, f"datatype must be one of BYTES, {', '.join(DTYPES)}, got {shown}")
    rows = rows_of(name, tensor.get("shape"), most_rows)
    size = _parameters(tensor, name).get("binary_data_size")
    if size is None:
        return name, rows, _from_json(name, datatype, rows, tensor.get("data")), rest
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest):
        raise refuse(
            name, f"binary_data_size must be 0 to {len(rest)}, the bytes that follow; got {size}"
        )
    return name, rows, from_binary(name, datatype, rows, rest[:size]), rest[size:]


def rows_of(name: str, shape: Any, most_rows: int) -> int:
    """Return the number of rows in a tensor of this shape.

    Raises:
        Problem: the shape is not [rows] or [rows, 1], or there are too many rows.
    """
    whole = isinstance(shape, list) and all(
        isinstance(each, int) and not isinstance(each, bool) for each in shape
    )
    if not whole or len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        raise refuse(name, f"shape must be [rows] or [rows, 1], got {str(shape)[:60]}")
    rows: int = shape[0]
    if not 1 <= rows <= most_rows:
        raise refuse(name, f"must have 1 to {most_rows} rows, got {rows}")
    return rows


def _from_json(name: str, datatype: str, rows: int, data: Any) -> TensorContent:
    if not isinstance(data, list):
        raise refuse(name, "has neither a list `data` nor the parameter binary_data_size")
    if len(data) == rows and all(isinstance(each, list) and len(each) == 1 for each in data):
        data = [each[0] for each in data]
    if len(data) != rows:
        raise refuse(name, f"has {len(data)} values, its shape says {rows}")
    if datatype == "BYTES":
        for each in data:
            if not (each is None or isinstance(each, str)):
                raise refuse(name, f"must hold texts, got {type(each).__name__}")
        return TensorContent(datatype, data, binary=False)
    allowed = bool if datatype == "BOOL" else (int, float) if datatype[:2] == "FP" else int
    for each in data:
        right = isinstance(each, allowed) and (datatype == "BOOL" or not isinstance(each, bool))
        if each is not None and not right:
            raise refuse(name, f"must hold {datatype}, got {str(each)[:40]!r}")
    if None in data:
        if datatype[:2] != "FP":
            raise refuse(name, f"null is no {datatype}; leave the tensor out, or send FP64")
        data = [np.nan if each is None else each for each in data]
    try:
        with np.errstate(over="ignore"):
            return TensorContent(datatype, np.array(data, dtype=DTYPES[datatype]), binary=False)
    except OverflowError:
        raise refuse(name, f"holds a number that {datatype} does not") from None


def from_binary(name: str, datatype: str, rows: int, content: memoryview) -> TensorContent:
    """Return the content of a binary tensor.

    Raises:
        Problem: it holds more or fewer values than rows.
    """
    if datatype == "BYTES":
        return TensorContent(datatype, _elements(name, rows, content), binary=True)
    dtype = np.dtype(DTYPES[datatype])
    if len(content) != rows * dtype.itemsize:
        raise refuse(
            name, f"needs {rows * dtype.itemsize} bytes for {rows} rows, got {len(content)}"
        )
    if datatype == "BOOL" and len(content) and max(content) > 1:
        raise refuse(name, "BOOL must be 0 or 1")
    return TensorContent(datatype, np.frombuffer(content, dtype=dtype), binary=True)


def _elements(name: str, rows: int, content: memoryview) -> list[bytes]:
    """Return the values of a binary BYTES tensor; four bytes before each value hold its length."""
    values: list[bytes] = []
    place = 0
    while place < len(content):
        if place + 4 > len(content):
            raise refuse(name, "ends within a length")
        (size,) = struct.unpack_from("<I", content, place)
        place += 4
        if place + size > len(content):
            raise refuse(name, f"ends within value {len(values)}, of {size} bytes")
        values.append(bytes(content[place : place + size]))
        place += size
        if len(values) > rows:
            break
    if len(values) != rows:
        raise refuse(name, f"has {len(values)} values, its shape says {rows}")
    return values


def as_json(inference: InferenceRequest) -> bytes:
    """Return the records that the tensors stand for as a JSON list; nothing validated them yet."""
    if inference.records is not None:
        return to_json(inference.records, inf_nan_mode="constants")
    columns = {name: array.tolist() for name, array in inference.arrays.items()} | inference.lists
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    return to_json([dict(zip(names, row, strict=True)) for row in rows], inf_nan_mode="constants")


def columns_of_predictions(predictions: bytes, columns: tuple[Column, ...]) -> dict[str, Any]:
    """Return the fields of a JSON list of predictions.

    Numbers and flags become arrays, the other fields lists.
    """
    records = from_json(predictions)
    fields: dict[str, Any] = {}
    for column in columns:
        values = [each.get(column.name) for each in records]
        if column.kind in ("bool", "int", "float") and None not in values:
            fields[column.name] = np.array(values, dtype=DTYPES[column.datatype])
        elif column.kind in ("bool", "int", "float"):
            # No integer or flag can say unknown: such an output is FP64.
            fields[column.name] = np.array([np.nan if v is None else float(v) for v in values])
        else:
            fields[column.name] = values
    return fields


def encode(
    outputs: dict[str, Any],
    columns: tuple[Column, ...],
    inference: InferenceRequest,
    *,
    head: dict[str, Any],
) -> tuple[bytes, int | None]:
    """Return the response's body, and the length of its JSON when binary tensors follow it.

    `head` holds the fields beside the outputs.

    Raises:
        Problem: the model has no output that was requested.
    """
    tensors, tail = [], []
    for column, binary in requested_outputs(columns, inference):
        values = outputs[column.name]
        tensor: dict[str, Any] = {
            "name": column.name,
            "datatype": datatype_of(column, values),
            "shape": [len(values)],
        }
        if binary:
            content = to_binary(column, values)
            tensor["parameters"] = {"binary_data_size": len(content)}
            tail.append(content)
        elif isinstance(values, np.ndarray):
            tensor["data"] = values.tolist()
        else:
            tensor["data"] = [_as_text(column, value) for value in values]
        tensors.append(tensor)
    text = to_json({**head, "outputs": tensors}, inf_nan_mode="null")
    return (text + b"".join(tail), len(text)) if tail else (text, None)


def requested_outputs(
    columns: tuple[Column, ...], inference: InferenceRequest
) -> list[tuple[Column, bool]]:
    """Return the outputs to send, each with whether it is sent in binary.

    Raises:
        Problem: the model has no output that was requested.
    """
    if inference.outputs is None:
        return [(column, inference.binary) for column in columns]
    by_name = {column.name: column for column in columns}
    for output in inference.outputs:
        if output.name not in by_name:
            known = ", ".join(by_name)
            raise Problem(422, "Unknown output", f"{output.name}: the outputs are {known}")
    return [(by_name[output.name], output.binary) for output in inference.outputs]


def datatype_of(column: Column, values: Any) -> str:
    """Return an output's datatype; integers and flags some of which are unknown are FP64."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        return "FP64"
    return column.datatype


def to_binary(column: Column, values: Any) -> bytes:
    """Return a tensor's bytes on the wire."""
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values, dtype=DTYPES[datatype_of(column, values)]).tobytes()
    parts = []
    for value in values:
        content = _as_bytes(column, value)
        parts += [struct.pack("<I", len(content)), content]
    return b"".join(parts)


def _as_text(column: Column, value: Any) -> Any:
    # Also nothing is JSON: a tensor of texts has no other null that a client could read.
    return to_json(value).decode() if column.kind == "json" else value


def _as_bytes(column: Column, value: Any) -> bytes:
    if column.kind == "json":
        return to_json(value)
    if value is None:
        return b""
    if column.kind == "bytes":
        return base64.urlsafe_b64decode(value)
    return str(value).encode()

"""Tensors of the Open Inference Protocol: as JSON, with raw contents, and as protobuf messages."""

import base64
import json
import struct
from dataclasses import dataclass
from random import Random
from typing import Any

from tritonclient.grpc import service_pb2 as messages

from tests.drills.fuzz import media
from tests.drills.fuzz.values import BODIES, hostile, to_text

PACKED = {"FP64": "<d", "FP32": "<f", "INT64": "<q", "INT32": "<i", "UINT8": "<B", "BOOL": "<?"}
DATATYPES = (*PACKED, "BYTES", "FP16", "UINT64", "INT8", "", "JSON")
SHAPES: tuple[list[Any], ...] = ([0], [-1], [2**63], [2**40, 2**40], [1, 1], [], [[1]], [10_001])
LENGTHS = ("0", "-1", "1e3", "999999999999", "9" * 30, "")


@dataclass(frozen=True)
class Tensor:
    """One input of a model, with a valid value."""

    name: str
    datatype: str
    value: Any


def of_model(inputs: list[dict[str, Any]], record: dict[str, Any]) -> list[Tensor]:
    """Return the inputs of a model's metadata, with the values of a record."""
    found = []
    for each in inputs:
        value = record.get(each["name"])
        if value is None:
            continue
        text = isinstance(value, (dict, list))
        found.append(Tensor(each["name"], each["datatype"], json.dumps(value) if text else value))
    return found


def _fields(tensors: list[Tensor], rows: int) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "datatype": each.datatype, "shape": [rows], "data": [each.value] * rows}
        for each in tensors
    ]


def as_json(tensors: list[Tensor], draw: Random, *, valid: bool) -> tuple[str, bytes]:
    """Return how the body was made, and the body."""
    rows = draw.choice((1, 1, 2, 100))
    value = {"inputs": _fields(tensors, rows)}
    if valid:
        return "valid", to_text(value).encode()
    kind = draw.choice(("shape", "datatype", "data", "name", "outputs", *BODIES))
    one = draw.choice(value["inputs"])
    if kind == "shape":
        one["shape"] = draw.choice(SHAPES)
    elif kind == "datatype":
        one["datatype"] = draw.choice(DATATYPES)
    elif kind == "data":
        one["data"] = draw.choice(([hostile(draw)] * rows, hostile(draw), [[one["data"]]], []))
    elif kind == "name":
        one["name"] = hostile(draw)
    elif kind == "outputs":
        value["outputs"] = [{"name": hostile(draw)}]
    else:
        return kind, BODIES[kind](value, draw)
    return kind, to_text(value).encode("utf-8", "surrogatepass")


def _content(tensor: Tensor, rows: int) -> bytes:
    if tensor.datatype in PACKED:
        return struct.pack(PACKED[tensor.datatype], tensor.value) * rows
    text = tensor.value if isinstance(tensor.value, str) else json.dumps(tensor.value)
    try:
        content = base64.b64decode(text, validate=True) if len(text) > 40 else text.encode()
    except ValueError:
        content = text.encode()
    return (struct.pack("<I", len(content)) + content) * rows


def _hostile_content(tensor: Tensor, rows: int, draw: Random) -> bytes:
    content = _content(tensor, rows)
    length = struct.pack("<I", draw.choice((0, 1, 2**31, 2**32 - 1)))
    special = struct.pack("<d", draw.choice((float("nan"), float("inf"), 1e308, 5e-324)))
    choices = [b"", b"\0" * len(content), content[:-1], content + b"\0", length, length + content]
    if tensor.datatype == "FP64":
        choices.append(special * rows)
    if tensor.datatype == "BYTES":
        some = draw.choice((media.some(draw), b"\xff\xfe\0", b"\0" * 100))
        choices.append((struct.pack("<I", len(some)) + some) * rows)
    return draw.choice(choices)


def as_binary(tensors: list[Tensor], draw: Random, *, valid: bool) -> tuple[str, bytes, str]:
    """Return how the body was made, the body, and the header with the length of its JSON."""
    rows = draw.choice((1, 2, 50))
    contents = [_content(each, rows) for each in tensors]
    kind = "valid" if valid else draw.choice(("content", "datatype", "shape", "size", "length"))
    fields = _fields(tensors, rows)
    place = draw.randrange(len(fields))
    if kind == "content":
        contents[place] = _hostile_content(tensors[place], rows, draw)
    elif kind == "datatype":
        # Bytes of NUL as UINT8 once ended in the prediction log as they were.
        fields[place]["datatype"] = draw.choice(DATATYPES)
        contents[place] = b"\0" * rows
    elif kind == "shape":
        fields[place]["shape"] = draw.choice(SHAPES)
    for each, content in zip(fields, contents, strict=True):
        del each["data"]
        each["parameters"] = {"binary_data_size": len(content)}
    if kind == "size":
        fields[place]["parameters"] = {"binary_data_size": hostile(draw)}
    head = to_text({"inputs": fields}).encode("utf-8", "surrogatepass")
    length = draw.choice(LENGTHS) if kind == "length" else str(len(head))
    return kind, head + b"".join(contents), length


def as_message(name: str, tensors: list[Tensor], draw: Random, *, valid: bool) -> tuple[str, bytes]:
    """Return how the message was made, and a ModelInferRequest."""
    rows = draw.choice((1, 2, 50))
    request = messages.ModelInferRequest(model_name=name)
    kinds = ("content", "datatype", "shape", "fewer contents", "flipped", "cut", "random")
    kind = "valid" if valid else draw.choice(kinds)
    for place, each in enumerate(tensors):
        changed = place == 0
        datatype = draw.choice(DATATYPES) if kind == "datatype" and changed else each.datatype
        shape = draw.choice(([0], [-1], [2**62], [1, 1], [])) if kind == "shape" else [rows]
        request.inputs.add(name=each.name, datatype=datatype, shape=shape)
        content = _content(each, rows)
        if kind == "content" and changed:
            content = _hostile_content(each, rows, draw)
        if kind != "fewer contents" or not changed:
            request.raw_input_contents.append(content)
    message = bytearray(request.SerializeToString())
    if kind == "flipped":
        for _ in range(draw.choice((1, 2, 8))):
            message[draw.randrange(len(message))] = draw.randrange(256)
    elif kind == "cut":
        del message[draw.randrange(len(message)) :]
    elif kind == "random":
        message[:] = draw.randbytes(draw.choice((1, 10, 1000)))
    return kind, bytes(message)

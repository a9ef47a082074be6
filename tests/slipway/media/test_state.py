"""Files that are not decoded, and state that the caller keeps."""

import json
from typing import Annotated

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from slipway.contract import Record
from slipway.media import Blob, State, decode_state, encode_state


class Counter(Record):
    """The count of a model so far."""

    frames: int = Field(ge=0)


class Frame(Record):
    """One frame with what was known before it."""

    state: Annotated[bytes | None, State(content=Counter)] = None


@pytest.mark.parametrize(
    ("media_type", "data"),
    [
        ("application/pdf", b"%PDF-1.7\n"),
        ("application/pdf", b"\n" * 1000 + b"%PDF-1.4\n"),
        ("model/gltf-binary", b"glTF\2\0\0\0"),
        ("application/zip", b"PK\3\4"),
        ("application/octet-stream", b"\0"),
    ],
)
def test_a_file_is_accepted_by_its_first_bytes(media_type: str, data: bytes) -> None:
    field = TypeAdapter(Annotated[bytes, Blob(media_type=media_type)])
    assert field.validate_python(data) == data
    if media_type != "application/octet-stream":
        with pytest.raises(ValidationError, match=f"is not {media_type}"):
            field.validate_python(b"\0" * 2000 + data)


def test_a_file_is_limited_in_size() -> None:
    with pytest.raises(ValidationError, match="must be at most 5 bytes, got 9"):
        TypeAdapter(Annotated[bytes, Blob(max_bytes=5)]).validate_python(b"%PDF-1.7\n")


def test_state_goes_out_and_comes_back() -> None:
    sent = Frame(state=encode_state(Counter(frames=3)))
    returned = Frame.model_validate_json(sent.model_dump_json())
    assert returned.state is not None
    assert decode_state(returned.state, Counter) == Counter(frames=3)
    assert Frame().state is None


@pytest.mark.parametrize(
    "state", [b"{}", b'{"frames": -1}', b'{"frames": 1, "more": 2}', b"\x80\4.", b"null", b"\xff"]
)
def test_state_that_the_model_cannot_have_returned_is_refused(state: bytes) -> None:
    with pytest.raises(ValidationError, match="is not a state of type Counter"):
        Frame(state=state)
    with pytest.raises(ValueError, match="is not a state of type Counter"):
        decode_state(state, Counter)


def test_state_is_limited_in_size_and_need_not_be_a_record() -> None:
    field = TypeAdapter(Annotated[bytes, State(max_bytes=10)])
    assert field.validate_python(bytes(10)) == bytes(10)
    with pytest.raises(ValidationError, match="must be at most 10 bytes, got 11"):
        field.validate_python(bytes(11))
    kinds = [TypeAdapter(Annotated[bytes, each]).json_schema() for each in (State(), Blob())]
    assert [each["contentMediaType"] for each in kinds] == [
        "application/octet-stream",
        "application/pdf",
    ]
    assert json.dumps(kinds)

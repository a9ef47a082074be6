"""Media fields of records: base64, JSON, schema and markers."""

import base64
import json
import subprocess
import sys
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from slipway.contract import Record
from slipway.media import Audio, Blob, Box, Image, Mask, Point, State, Track, Video, media_fields
from tests.slipway.media.media_samples import picture_file

# Bytes that the two alphabets of base64 write differently.
PNG = picture_file("PNG") + b"\xfb\xff\xfe"
STANDARD = base64.b64encode(PNG).decode()


class Smear(Record):
    """A record with every spelling of a media field."""

    image: Annotated[bytes, Image(max_side=64)] = Field(description="One field of view")
    others: Annotated[list[bytes], Image()] = Field(default=[], max_length=2)
    before: Annotated[bytes | None, Image()] = None
    min_score: float = Field(default=0.3, ge=0, le=1)


class Cells(Record):
    """A prediction that is drawn over the picture."""

    overlay: Annotated[bytes, Image()]
    boxes: list[Box]
    mask: Mask | None = None
    tracks: list[Track] = Field(default=[])
    nucleus: Point | None = None


def from_json(**values: Any) -> Smear:
    return Smear.model_validate_json(json.dumps(values))


def message(**values: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        from_json(**values)
    return str(caught.value.errors()[0]["msg"])


@pytest.mark.parametrize(
    "text",
    [
        STANDARD,
        base64.urlsafe_b64encode(PNG).decode(),
        STANDARD.rstrip("="),
        f"data:image/png;base64,{STANDARD}",
        f"DATA:text/html;charset=utf-8;base64,{STANDARD}",
    ],
)
def test_both_alphabets_and_data_uris_are_read(text: str) -> None:
    assert "+" in STANDARD or "/" in STANDARD
    assert from_json(image=text).image == PNG


def test_the_standard_alphabet_is_written_everywhere() -> None:
    record = Smear(image=PNG, others=[PNG, PNG], before=PNG)
    expected = {"image": STANDARD, "others": [STANDARD] * 2, "before": STANDARD, "min_score": 0.3}
    assert json.loads(record.model_dump_json()) == expected
    assert record.model_dump(mode="json") == expected
    lines = TypeAdapter(list[Smear]).serializer.to_json([record])
    assert json.loads(lines) == [expected]
    assert Smear.model_validate_json(record.model_dump_json()) == record


def test_python_code_passes_bytes() -> None:
    record = Smear(image=PNG)
    assert record.model_dump()["image"] == PNG
    assert Smear.model_validate(record.model_dump(), strict=True) == record
    with pytest.raises(ValidationError, match="valid bytes"):
        Smear.model_validate({"image": STANDARD})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        (STANDARD[:40] + "\n" + STANDARD[40:], "white space"),
        (STANDARD + " ", "white space"),
        ("data:image/png," + STANDARD, "without ;base64,"),
        ("data:" + "x" * 10_000, "without ;base64,"),
        ("é" * 8, "not base64"),
        ("AAAAA", "not base64"),
        ("AA==AA==", "not base64"),
        ("A" * 4_000_000, "is not a PNG, JPEG or WEBP picture"),
        ("A" * 40_000_000, "must be at most 10,000,000 bytes, got 30,000,000"),
    ],
)
def test_other_texts_are_refused_with_the_reason(text: str, expected: str) -> None:
    found = message(image=text)
    assert expected in found
    assert len(found) < 200


def test_the_size_is_limited_before_and_after_base64() -> None:
    class Small(Record):
        image: Annotated[bytes, Image(max_bytes=len(PNG) - 1)]

    for load in (
        lambda: Small(image=PNG),
        lambda: Small.model_validate_json(json.dumps({"image": STANDARD})),
    ):
        with pytest.raises(ValidationError, match="must be at most"):
            load()


def test_each_element_of_a_list_is_checked_and_the_list_is_bounded() -> None:
    with pytest.raises(ValidationError) as caught:
        Smear(image=PNG, others=[PNG, b"text"])
    assert caught.value.errors()[0]["loc"] == ("others", 1)
    with pytest.raises(ValidationError, match="at most 2 items"):
        Smear(image=PNG, others=[PNG] * 3)


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_the_schema_says_what_a_page_and_a_client_need(mode: Any) -> None:
    schema = Smear.model_json_schema(mode=mode)
    image = schema["properties"]["image"]
    assert image["type"] == "string"
    assert image["contentEncoding"] == "base64"
    assert image["contentMediaType"] == "image/png"
    assert image["description"] == "One field of view"
    assert image["x-slipway"] == {
        "kind": "image",
        "media_types": ["image/png", "image/jpeg", "image/webp"],
        "formats": ["PNG", "JPEG", "WEBP"],
        "max_bytes": 10_000_000,
        "max_side": 64,
        "min_side": 1,
        "capture": False,
        "draw": False,
    }
    assert schema["properties"]["others"]["items"]["x-slipway"]["max_side"] == 4096
    optional = schema["properties"]["before"]["anyOf"]
    assert [each["type"] for each in optional] == ["string", "null"]
    assert optional[0]["x-slipway"]["kind"] == "image"


def test_what_is_drawn_over_a_picture_is_marked_by_its_kind() -> None:
    definitions = Cells.model_json_schema(mode="serialization")["$defs"]
    kinds = {name: each["x-slipway"] for name, each in definitions.items()}
    assert kinds == {name: {"kind": name.lower()} for name in ("Box", "Mask", "Point", "Track")}


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        (Audio(max_seconds=5, sample_rate=16_000, capture=True), {"max_seconds": 5}),
        (Video(max_frames=30, max_pixels=100), {"max_frames": 30, "max_pixels": 100}),
        (Blob(media_type="model/gltf-binary"), {"media_types": ["model/gltf-binary"]}),
        (State(max_bytes=100), {"max_bytes": 100}),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_each_kind_has_its_limits_in_the_schema(marker: Any, expected: dict[str, Any]) -> None:
    hint = TypeAdapter(Annotated[bytes, marker]).json_schema()["x-slipway"]
    assert hint["kind"] == marker.kind
    assert {"capture", "draw", "formats", "media_types", "max_bytes"} <= hint.keys()
    assert expected.items() <= hint.items()


def test_the_media_fields_of_a_record_are_found_with_their_markers() -> None:
    assert list(media_fields(Smear)) == ["image", "others", "before"]
    assert media_fields(Smear)["image"] == Image(max_side=64)
    assert list(media_fields(Cells)) == ["overlay"]


def test_markers_mark_bytes_only() -> None:
    for wrong in (str, list[str], int | None):
        with pytest.raises(TypeError, match="Image marks bytes"):
            TypeAdapter(Annotated[wrong, Image()])
    with pytest.raises(ValueError, match="formats must be of"):
        Image(formats=("SVG",))


def test_only_packages_of_every_server_are_imported() -> None:
    """PyAV, OpenCV and the packages of training are not on every server."""
    code = "import sys, slipway.media; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    loaded = set(printed.decode().split())
    assert {"PIL", "numpy", "slipway.media.frames"} <= loaded
    assert not loaded & {"av", "cv2", "mlflow", "onnxruntime", "scipy", "torch"}

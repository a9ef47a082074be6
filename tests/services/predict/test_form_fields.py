"""Texts and files of a form, and what the input schema makes of them."""

from typing import Annotated

import pytest
from pydantic import Field

from services.predict.form_fields import FormFields, media_schemas
from services.web.problem import Problem
from slipway.contract import Record
from slipway.media import Image, Point, State


class Scene(Record):
    photo: Annotated[bytes, Image()]
    more: Annotated[list[bytes], Image()] = Field(default_factory=list)
    mask: Annotated[bytes | None, Image(formats=("PNG",))] = None
    click: Point | None = None
    clicks: list[Point] = Field(default_factory=list)
    words: list[str] = Field(default_factory=list)
    score: float | None = None
    text: str = ""


FIELDS = FormFields(Scene.model_json_schema())


@pytest.mark.parametrize(
    ("values", "record"),
    [
        ({"score": ["0.5"], "text": ["a"]}, {"score": "0.5", "text": "a"}),
        ({"score": [""], "text": ["", "b"]}, {"text": "b"}),
        ({"photo": [b"\x00\xff"]}, {"photo": "AP8="}),
        ({"more": [b"\x00", b"\x01"]}, {"more": ["AA==", "AQ=="]}),
        ({"more": [b"\x00"]}, {"more": ["AA=="]}),
        ({"click": ['{"x": 1, "y": 2}']}, {"click": {"x": 1, "y": 2}}),
        ({"clicks": ['[{"x": 1, "y": 2}]']}, {"clicks": [{"x": 1, "y": 2}]}),
        ({"clicks": ['{"x": 1}', '{"x": 2}']}, {"clicks": [{"x": 1}, {"x": 2}]}),
        ({"words": ["a"]}, {"words": ["a"]}),
        ({"words": ["a", "b"]}, {"words": ["a", "b"]}),
        ({"words": [' ["a", "b"]']}, {"words": ["a", "b"]}),
        # A text that merely looks like JSON stays a text.
        ({"text": ["{not json"]}, {"text": "{not json"}),
        # More values than the field takes: validation names the field.
        ({"text": ["a", "b"]}, {"text": ["a", "b"]}),
        ({"unknown": ["[1"]}, {"unknown": "[1"}),
    ],
)
def test_values_become_the_record_that_they_stand_for(values: dict, record: dict) -> None:
    assert FIELDS.record(values) == record


def test_a_damaged_nested_field_is_named() -> None:
    with pytest.raises(Problem) as refused:
        FIELDS.record({"click": ['{"x": 1']})
    assert refused.value.status == 422
    assert refused.value.errors[0]["field"] == "click"


class Turn(Record):
    text: str
    state: Annotated[bytes | None, State()] = None


class Pair(Record):
    left: Annotated[bytes, Image()]
    right: Annotated[bytes, Image()]


class Plain(Record):
    image: bytes


@pytest.mark.parametrize(
    ("record", "field"), [(Scene, "photo"), (Turn, "state"), (Pair, None), (Plain, "image")]
)
def test_a_raw_body_is_the_single_field_that_it_can_be(
    record: type[Record], field: str | None
) -> None:
    assert FormFields(record.model_json_schema()).media == field


def test_media_fields_are_known_by_their_media_type() -> None:
    found = media_schemas(Scene.model_json_schema(mode="serialization"))
    assert list(found) == ["photo", "more", "mask"]
    assert found["mask"]["x-slipway"]["media_types"] == ["image/png"]
    assert not media_schemas(Plain.model_json_schema())

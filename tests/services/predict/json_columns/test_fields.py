"""A record type is read as columns only if every rule of it holds for columns as well."""

from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    computed_field,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)

from services.predict.json_columns.fields import fields_of
from slipway.contract import Record
from tests.services.predict.json_columns.record_types import FIELDS, record_type


class Inner(Record):
    number: float


class Colour(Enum):
    RED = "red"


class Checked(Record):
    number: float

    @field_validator("number")
    @classmethod
    def _even(cls, value: float) -> float:
        return value


class CheckedWhole(Record):
    number: float

    @model_validator(mode="after")
    def _whole(self) -> "CheckedWhole":
        return self


class Computed(Record):
    number: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> float:
        return 2 * self.number


class Serialized(Record):
    number: float

    @model_serializer
    def _as_text(self) -> str:
        return "number"


class Prepared(Record):
    number: float

    def model_post_init(self, context: Any) -> None:
        pass


class Strict(Record):
    model_config = ConfigDict(strict=True)
    number: float


class Open(Record):
    model_config = ConfigDict(extra="ignore")
    number: float


class Infinite(Record):
    model_config = ConfigDict(allow_inf_nan=True)
    number: float


class OwnInit(Record):
    number: float

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


def test_plain_fields_fit() -> None:
    fields = fields_of(record_type(sorted(FIELDS)))
    assert [each.name for each in fields] == sorted(FIELDS)
    assert {each.kind for each in fields} == {"bool", "float", "int", "literal", "str"}


@pytest.mark.parametrize(
    "kind",
    [Checked, CheckedWhole, Computed, Serialized, Prepared, Strict, Open, Infinite, OwnInit],
)
def test_records_with_rules_of_their_own_do_not(kind: type[Record]) -> None:
    assert fields_of(kind) == ()


@pytest.mark.parametrize(
    "annotation",
    [
        bytes,
        list[float],
        Inner,
        Colour,
        Any,
        float | str,
        Literal["a", 1],
        Literal[True],
        Annotated[float, Field(multiple_of=0.5)],
        Annotated[float, Field(ge=2**60)],
        Annotated[float, Field(allow_inf_nan=True)],
        Annotated[float, Field(strict=True)],
        Annotated[float, Field(alias="other")],
        Annotated[float, Field(exclude=True)],
        Annotated[float, AfterValidator(abs)],
        Annotated[float, PlainSerializer(str)],
        Annotated[str, Field(strict=True)],
    ],
)
def test_other_fields_do_not(annotation: Any) -> None:
    assert fields_of(create_model("Row", __base__=Record, field=(annotation, ...))) == ()


@pytest.mark.parametrize("name", ['"', "back\\slash", "new\nline", "\0"])
def test_names_that_json_escapes_do_not(name: str) -> None:
    kind = create_model("Row", __base__=Record, **{name: (float, ...)})  # type: ignore[call-overload]
    assert fields_of(kind) == ()


def test_a_record_without_fields_does_not() -> None:
    assert fields_of(Record) == ()

"""Record types for the tests of columns, and models that return what they got."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, create_model

from slipway.contract import Model, Record

Columns = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]

# Fields that may be columns: their type, and JSON texts that are valid for it.
FIELDS: dict[str, tuple[Any, list[str]]] = {
    "number": (float, ["0.5", "-0.0", "-0", "3", "1e5", "1E-7", "123456789012345678901"]),
    "share": (Annotated[float, Field(ge=0, le=1)], ["0", "1", "0.25", "1e-300", "5e-324"]),
    "inner": (Annotated[float, Field(gt=-1, lt=2.5)], ["0", "-0.999", "2.4999999999999996"]),
    "whole": (int, ["0", "-7", "3.0", "9007199254740991", "2E2"]),
    "day": (Annotated[int, Field(ge=0, lt=7)], ["0", "6", "-0", "5.0"]),
    "above": (Annotated[int, Field(gt=0, le=2**40)], ["1", "1099511627776"]),
    "flag": (bool, ["true", "false"]),
    "text": (str, ['""', '"a"', '"\\u00e9"', '"\\ud83d\\ude00"', '"a,\\"b\\"{["', '"%b"']),
    "code": (Annotated[str, Field(pattern="^[A-Z]{2}$")], ['"AB"', '"\\u0041Z"', '"ZZ"']),
    "short": (Annotated[str, Field(min_length=1, max_length=3)], ['"a"', '"\\ud83d\\ude00bc"']),
    "choice": (Literal["red", "green"], ['"red"', '"green"', '"\\u0072ed"']),
    "grade": (Literal[1, 2, 3], ["1", "3"]),
    "maybe": (Annotated[float, Field(ge=0)] | None, ["1.5", "0"]),
    "usual": (Annotated[int, Field(default=3, le=9)], ["4", "-1"]),
    "odd %s name": (float, ["1.25"]),
}
# JSON texts that some field refuses, or reads in another way than a plain value.
HOSTILE = [
    *("null", "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" + "0" * 400, "-1", "8", "2.5"),
    *("true", "false", '"1.5"', '"true"', '"nan"', '""', '"AB\\n"', '"abcd"', '"blue"', '" AB"'),
    *(
        "9223372036854775807",
        "9223372036854775808",
        "9007199254740993.0",
        "1e19",
        "0.1",
        "1.0",
        "01",
        "1.",
        "+1",
        "0x10",
    ),
    *("[]", "[1]", '{"a": 1}', "[[[]]]", '"\\ud800"', '"\\udfff\\ud800"', "1e-400", "'a'", "tru"),
]


def record_type(names: list[str]) -> type[Record]:
    """Return a type of records with these of the `FIELDS`."""
    fields: dict[str, Any] = {name: (FIELDS[name][0], ...) for name in names}
    if "usual" in fields:
        fields["usual"] = FIELDS["usual"][0]
    return create_model("Row", __base__=Record, **fields)


def echo(record: type[Record], columns: Columns = dict, output: Any = None) -> Model:
    """Return a model that predicts its records.

    `columns` makes the predicted columns from the columns of the records, `output` is the type of
    the predictions if it is another.
    """

    class Echo(Model):
        def predict(self, model_input: list[Any]) -> list[Any]:
            return [(output or record)(**each.model_dump()) for each in model_input]

        def predict_columns(self, sent: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return columns(sent)

    Echo.predict.__annotations__ = {
        "model_input": list[record],  # type: ignore[valid-type]
        "return": list[output or record],  # type: ignore[misc]
    }
    return Echo()

"""The number of a prediction that an explanation divides, also where no field is declared for it.

A record without some of its parts must be asked the same question as the whole record. A picture
classifier's most probable class may change when parts of the picture are absent, so the number is
the score of the class that it predicts for the whole picture, whichever class is the most probable
for the others.
"""

import math
import typing
from collections.abc import Callable
from dataclasses import dataclass

from slipway.contract.model import Model
from slipway.contract.record import Record
from slipway.explain.explanation import NotExplainable


@dataclass(frozen=True)
class Score:
    """A number that can be read from each prediction of one model."""

    explained: str
    """Its name, for people: `probability`, `Ankle boot`, `sum of the scores of boxes`."""
    unit: str
    read: Callable[[Record], float]


def find_score(model: Model, prediction: Record) -> Score:
    """Return the number to explain, given the prediction for the whole record.

    It is the field that the model declares as `explained`; else the score of the predicted class,
    where the prediction has a label and the scores of all labels; else the sum of the scores of the
    objects found. The sum, because it is additive: each object's parts get that object's score,
    whatever else is found. With the best score, the second of two equal objects would count as
    nothing, since without it the best one stays.

    Raises:
        NotExplainable: the prediction has none of these.
    """
    kind = type(model)
    if kind.explained is not None:
        return _declared(kind.explained, model.output_type())
    if found := _class_fields(model.output_type()):
        return _class_score(prediction, *found)
    if objects := _objects_field(model.output_type()):
        return Score(f"sum of the scores of {objects}", "score", _sum_of_scores(objects))
    raise NotExplainable(_reason(model))


def has_score(model: Model) -> bool:
    """Return whether predictions of the model have a number that `find_score` finds."""
    output = model.output_type()
    if type(model).explained is not None:
        return type(model).explained in output.model_fields
    return bool(_class_fields(output) or _objects_field(output))


def _reason(model: Model) -> str:
    return (
        f"{type(model).__name__} predicts no number to explain: declare a field of its prediction "
        "as `explained`, or predict a label with the scores of all labels, or objects with scores"
    )


def _declared(field: str, output: type[Record]) -> Score:
    if field not in output.model_fields:
        raise NotExplainable(
            f"the explained field {field!r} is missing: {output.__name__} has only "
            f"{', '.join(output.model_fields)}"
        )
    return Score(field, field.replace("_", " "), lambda prediction: getattr(prediction, field))


def _class_fields(output: type[Record]) -> tuple[list[str], str] | None:
    """Return the fields of text, one of which names a class, and the field with every score."""
    texts = [name for name, field in output.model_fields.items() if field.annotation is str]
    tables = [
        name for name, field in output.model_fields.items() if field.annotation == dict[str, float]
    ]
    return (texts, tables[0]) if texts and tables else None


def _class_score(prediction: Record, texts: list[str], table: str) -> Score:
    scores = getattr(prediction, table)
    label = next((getattr(prediction, name) for name in texts), None)
    label = next(
        (getattr(prediction, name) for name in texts if getattr(prediction, name) in scores), label
    )
    if label not in scores:
        raise NotExplainable(f"the prediction has no score of {label!r} among its {table}")
    unit = "probability" if table.startswith("prob") else "score"
    return Score(str(label), unit, lambda other: getattr(other, table).get(label, 0.0))


def _objects_field(output: type[Record]) -> str | None:
    """Return the first list of records that have a score, or a box with one."""
    for name, field in output.model_fields.items():
        inner = typing.get_args(field.annotation)
        if typing.get_origin(field.annotation) is list and _is_scored(inner[0]):
            return name
    return None


def _is_scored(kind: object) -> bool:
    if not (isinstance(kind, type) and issubclass(kind, Record)):
        return False
    if "score" in kind.model_fields:
        return kind.model_fields["score"].annotation is float
    return "box" in kind.model_fields and _is_scored(kind.model_fields["box"].annotation)


def _sum_of_scores(field: str) -> Callable[[Record], float]:
    def read(prediction: Record) -> float:
        objects = getattr(prediction, field)
        return math.fsum(getattr(each, "box", each).score for each in objects)

    return read

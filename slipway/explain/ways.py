"""Chooses what an explanation of a model divides its number among."""

from enum import StrEnum

from slipway.contract.model import Model
from slipway.explain.pictures import explains_pictures, picture_field
from slipway.explain.texts import explains_texts


class Way(StrEnum):
    """The parts of a record among which a number is divided."""

    PICTURE = "picture"
    """The cells of its picture."""
    WORDS = "words"
    """The words of its texts."""
    FIELDS = "fields"
    """Its fields, compared with reference rows."""


def choose_way(model: Model) -> Way | None:
    """Return the parts that explain the model's predictions; None if nothing can.

    A record with a picture is explained by it, one of nothing but texts by their words. Among
    fields a number is divided only if the model declares it as `explained`.
    """
    if picture_field(model.input_type()):
        return Way.PICTURE if explains_pictures(model) else None
    if explains_texts(model):
        return Way.WORDS
    return Way.FIELDS if type(model).explained is not None else None

"""Explains predictions, in the model's own process or thread.

An explanation takes many calls of the model. It goes in steps of one call each, so that requests
for predictions can run between them.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from pydantic_core import to_json

from services.predict.backend import VersionFiles
from services.predict.engine import Engine
from services.web.problem import Problem
from slipway.contract import Model, Record
from slipway.contract.shipped import Shipped
from slipway.explain import Explanation, NotExplainable, Shapley
from slipway.explain.heat_map import draw_heat_map
from slipway.explain.parts import Budget, TookTooLong
from slipway.explain.pictures import PictureExplanation, explain_picture
from slipway.explain.texts import TextExplanation, explain_text
from slipway.explain.ways import Way, choose_way
from slipway.media import decode_image, encode_png

# By fields an explanation takes about 0.15 s of the model's thread, by parts some seconds.
MAX_RECORDS = {Way.FIELDS: 10, Way.PICTURE: 1, Way.WORDS: 1}
PNG = "image/png"

AnyExplanation = Explanation | PictureExplanation | TextExplanation


@dataclass(frozen=True)
class ExplainRequest:
    """The records to explain."""

    body: bytes
    """A JSON record or list of records."""
    seconds: float
    """The time that one explanation by parts may take."""
    as_picture: bool = False
    """Return the heat map of a picture instead of JSON."""


@dataclass(frozen=True)
class Explained:
    """A JSON list of explanations, one for each record; or a heat map, with its facts."""

    content: bytes
    facts: dict[str, str] = field(default_factory=dict)


def way_of(model: Model, shipped: Shipped) -> Way | None:
    """Return what explanations of a version divide a number among; None if it has none."""
    way = choose_way(model)
    return None if way is Way.FIELDS and not shipped.reference else way


def not_explainable(name: str) -> Problem:
    """Return the problem for a caller who wants an explanation of a model that has none."""
    message = (
        f"{name} predicts no number to explain: it declares none of a prediction's fields as "
        "`explained`, and its predictions for pictures hold neither a label with the scores of all "
        "labels nor objects with scores"
    )
    return Problem(422, "Not explainable", message)


def explain_records(
    engine: Engine, source: VersionFiles, request: ExplainRequest
) -> Iterator[Explained | None]:
    """Yield None after each call of the model, and last the explanations.

    Raises:
        Problem: the body is refused, holds too many records, or the model cannot be explained.
        Exception: whatever the model raises.
    """
    way = way_of(engine.model, source.shipped)
    if way is None:
        raise not_explainable(source.name)
    records = engine.parse(request.body)
    if len(records) > MAX_RECORDS[way]:
        message = f"at most {MAX_RECORDS[way]} records are explained at once, got {len(records)}"
        raise Problem(422, "Too many records", message)
    explanations = []
    try:
        for record in records:
            explanations.append((yield from _explain(engine, source, way, record, request.seconds)))
    except NotExplainable as fault:
        raise Problem(422, "Not explainable", str(fault)) from None
    except TookTooLong as fault:
        raise Problem(504, "Model too slow", str(fault)) from None
    if request.as_picture:
        yield _heat_map(records[0], explanations[0])
        return
    parts = b",".join(each.model_dump_json().encode() for each in explanations)
    yield Explained(b"[" + parts + b"]")


def _explain(
    engine: Engine, source: VersionFiles, way: Way, record: Record, seconds: float
) -> Generator[None, None, AnyExplanation]:
    if way is Way.PICTURE:
        return (yield from explain_picture(engine.model, record, Budget(seconds)))
    if way is Way.WORDS:
        return (yield from explain_text(engine.model, record, Budget(seconds)))
    explanation = _shapley(engine, source).explain(record)
    yield
    return explanation


def _heat_map(record: Record, explanation: AnyExplanation) -> Explained:
    if not isinstance(explanation, PictureExplanation):
        raise Problem(406, "Not acceptable", "only explanations of pictures are pictures")
    picture = decode_image(getattr(record, explanation.field))
    facts = {
        "explained": explanation.explained,
        "base": f"{explanation.base:.6g}",
        "value": f"{explanation.value:.6g}",
        "evaluations": str(explanation.evaluations),
    }
    return Explained(encode_png(draw_heat_map(picture, explanation)), facts)


def _shapley(engine: Engine, source: VersionFiles) -> Shapley:
    """Return the engine's explainer, which predicts the reference rows only once."""
    if engine.shapley is None:
        reference = [engine.parse(to_json(row))[0] for row in source.shipped.reference]
        engine.shapley = Shapley.within_seconds(engine.model, reference)
    return engine.shapley

"""Explains predictions, in the model's own process or thread."""

from pydantic_core import to_json

from services.predict.backend import Source
from services.predict.engine import Engine
from services.web.problem import Problem
from slipway.explain import NotExplainable, Shapley

# Each explanation takes about 0.15 s of the model's thread.
MAX_RECORDS = 10


def explain_records(engine: Engine, source: Source, body: bytes) -> bytes:
    """Return a JSON list of explanations, one for each record of the body.

    Raises:
        Problem: the body is refused, holds too many records, or the model cannot be explained.
        Exception: whatever the model raises.
    """
    records = engine.parse(body)
    if len(records) > MAX_RECORDS:
        message = f"at most {MAX_RECORDS} records are explained at once, got {len(records)}"
        raise Problem(422, "Too many records", message)
    try:
        shapley = _shapley(engine, source)
        explanations = [shapley.explain(record) for record in records]
    except NotExplainable as fault:
        raise Problem(422, "Not explainable", str(fault)) from None
    return b"[" + b",".join(each.model_dump_json().encode() for each in explanations) + b"]"


def _shapley(engine: Engine, source: Source) -> Shapley:
    """Return the engine's explainer, which predicts the reference rows only once."""
    if engine.shapley is None:
        reference = [engine.parse(to_json(row))[0] for row in source.shipped.reference]
        engine.shapley = Shapley(engine.model, reference)
    return engine.shapley

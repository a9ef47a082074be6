"""Explanations of answers, by the model's own process or thread."""

from pydantic_core import to_json

from services.predict.backend import Source
from services.predict.engine import Engine
from services.web.problem import Problem
from slipway.explain import NotExplainable, Shapley

# Each takes some 0.15 s of the model's thread.
MOST = 10


def explained(engine: Engine, source: Source, body: bytes) -> bytes:
    """A JSON list of explanations, one for each record of the body.

    Raises:
        Problem: the body is refused, holds too many records, or the model cannot be explained.
        Exception: whatever the model raises.
    """
    records = engine.records(body)
    if len(records) > MOST:
        told = f"at most {MOST} records are explained at once, got {len(records)}"
        raise Problem(422, "Too many records", told)
    try:
        shapley = _shapley(engine, source)
        found = [shapley.explain(record) for record in records]
    except NotExplainable as fault:
        raise Problem(422, "Not explainable", str(fault)) from None
    return b"[" + b",".join(each.model_dump_json().encode() for each in found) + b"]"


def _shapley(engine: Engine, source: Source) -> Shapley:
    """Kept with the engine: the answers to the reference rows are worked out once."""
    if engine.shapley is None:
        reference = [engine.records(to_json(row))[0] for row in source.shipped.reference]
        engine.shapley = Shapley(engine.model, reference)
    return engine.shapley

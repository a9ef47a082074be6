"""Runs a streaming model: one record in, its chunks as JSON out, and at last the response."""

import contextlib
from collections.abc import Generator, Iterator
from time import perf_counter
from typing import Any

from pydantic import TypeAdapter

from services.predict.engine import Engine, ModelResponse
from services.web.problem import Problem


def stream_prediction(engine: Engine, body: bytes) -> Generator[bytes | ModelResponse, None, None]:
    """Yield the chunks of the prediction for a JSON record, and last the response.

    Closing the generator closes the model's own.

    Raises:
        Problem: the body is refused, or holds several records.
        Exception: whatever the model raises.
    """
    start = perf_counter()
    records = engine.parse(body)
    if len(records) != 1:
        message = f"a stream is the response to one record, got {len(records)}"
        raise Problem(422, "Invalid input", message)
    record, validated = records[0], perf_counter()
    model: Any = engine.model
    serialize = TypeAdapter(model.chunk_type()).serializer.to_json
    chunks: list[Any] = []
    with _closed_at_end(model.stream(record)) as stream:
        for chunk in stream:
            chunks.append(chunk)
            yield serialize(chunk)
    prediction = model.join(record, chunks)
    seconds = perf_counter() - validated
    yield engine.respond(body, records, [prediction], validated - start, seconds)


@contextlib.contextmanager
def _closed_at_end(stream: Iterator[Any]) -> Iterator[Iterator[Any]]:
    """Close the iterator at the end of the block, if it can be closed as generators can."""
    try:
        yield stream
    finally:
        close = getattr(stream, "close", None)
        if close:
            close()

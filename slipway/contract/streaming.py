"""Models that make a prediction piece by piece, such as a text token by token."""

import typing
from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from slipway.contract.model import OnnxModel, record_in
from slipway.contract.record import Record

# What a function with `yield` may declare to return.
STREAMS = (Generator, Iterable, Iterator)


class StreamingModel(OnnxModel):
    """A model that yields the chunks of a prediction as it makes them.

    A subclass writes `stream` and `join` with explicit type hints. They are the contract: the
    record and the chunk are those of `stream`, and the prediction is what `join` returns.
    """

    @abstractmethod
    def stream(self, record: Any) -> Iterator[Any]:
        """Yield the chunks of the prediction for one record, each as soon as it is made.

        The generator is closed when the caller goes away.
        """

    @abstractmethod
    def join(self, record: Any, chunks: list[Any]) -> Any:
        """Return the prediction that the chunks of one record make together."""

    def predict(self, model_input: list[Any]) -> list[Any]:
        """Return for each record the prediction that its chunks make together."""
        return [self.join(record, list(self.stream(record))) for record in model_input]

    @classmethod
    def chunk_type(cls) -> type[Record]:
        """Return the type of the chunks, from `stream`'s type hints."""
        hint = typing.get_type_hints(cls.stream).get("return")
        inner = typing.get_args(hint)[:1]
        chunk = inner[0] if typing.get_origin(hint) in STREAMS and inner else None
        return record_in(chunk, f"{cls.__name__}.stream: return must be Iterator[a Record]", hint)

    @classmethod
    def _record_types(cls) -> tuple[type[Record], type[Record]]:
        cls.chunk_type()
        record = typing.get_type_hints(cls.stream).get("record")
        joined = typing.get_type_hints(cls.join).get("return")
        return (
            record_in(record, f"{cls.__name__}.stream: record must be a Record", record),
            record_in(joined, f"{cls.__name__}.join: return must be a Record", joined),
        )

"""Labelled rows: what a client would send, beside what really happened."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from slipway.contract import Record

TRUTH = "truth"
Sent = TypeVar("Sent", bound=Record)
Truth = TypeVar("Truth")


@dataclass(frozen=True)
class Examples(Generic[Sent, Truth]):
    """`records[i]` came out as `truths[i]`."""

    records: list[Sent]
    truths: list[Truth]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[tuple[Sent, Truth]]:
        return iter(zip(self.records, self.truths, strict=True))

    def head(self, rows: int) -> "Examples[Sent, Truth]":
        return Examples(self.records[:rows], self.truths[:rows])


def write(rows: Iterable[tuple[Record, Any]], file: Path, *, limit: int | None = None) -> int:
    """Write (record, truth) pairs as Parquet; returns how many.

    Raises:
        ValueError: there are none, or a record has a field called `truth`.
    """
    columns: list[dict[str, Any]] = []
    for record, truth in islice(rows, limit):
        fields = record.model_dump()
        if TRUTH in fields:
            raise ValueError(f"{type(record).__name__} must not have a field called {TRUTH!r}")
        columns.append({**fields, TRUTH: truth})
    if not columns:
        raise ValueError(f"{file.stem}: no rows")
    pq.write_table(pa.Table.from_pylist(columns), file, compression="zstd")
    return len(columns)


def read(file: Path, record: type[Sent]) -> Examples[Sent, Any]:
    """Read them back, every record validated."""
    rows = pq.read_table(file).to_pylist()
    truths = [row.pop(TRUTH) for row in rows]
    return Examples([record.model_validate(row) for row in rows], truths)

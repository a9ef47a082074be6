"""Labelled rows: records that a client would send, with their labels."""

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
Label = TypeVar("Label")


@dataclass(frozen=True)
class LabelledRows(Generic[Sent, Label]):
    """Records with labels: `labels[i]` is the ground truth for `records[i]`."""

    records: list[Sent]
    labels: list[Label]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[tuple[Sent, Label]]:
        return iter(zip(self.records, self.labels, strict=True))

    def head(self, rows: int) -> "LabelledRows[Sent, Label]":
        """Return the first `rows` rows."""
        return LabelledRows(self.records[:rows], self.labels[:rows])


def write(rows: Iterable[tuple[Record, Any]], file: Path, *, limit: int | None = None) -> int:
    """Write (record, label) pairs, at most `limit` of them, as Parquet; return how many.

    Raises:
        ValueError: there are no rows, or a record has a field called `truth`.
    """
    columns: list[dict[str, Any]] = []
    for record, label in islice(rows, limit):
        fields = record.model_dump()
        if TRUTH in fields:
            raise ValueError(f"{type(record).__name__} must not have a field called {TRUTH!r}")
        columns.append({**fields, TRUTH: label})
    if not columns:
        raise ValueError(f"{file.stem}: no rows")
    pq.write_table(pa.Table.from_pylist(columns), file, compression="zstd")
    return len(columns)


def read(file: Path, record: type[Sent]) -> LabelledRows[Sent, Any]:
    """Read the rows that `write` wrote; every record is validated."""
    rows = pq.read_table(file).to_pylist()
    labels = [row.pop(TRUTH) for row in rows]
    return LabelledRows([record.model_validate(row) for row in rows], labels)

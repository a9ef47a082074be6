"""Labelled rows: records that a client would send, with their labels."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from slipway.contract import Record

TRUTH = "truth"
# In the file's metadata: the type of labels that are records.
KIND = "slipway.label"
# Rows that are read at a time.
BATCH = 1000
_ANY: TypeAdapter[Any] = TypeAdapter(Any)
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

    Labels that are records, or lists of records, are stored as JSON.

    Raises:
        ValueError: there are no rows, a record has a field called `truth`, or labels that are
            records are of several types, or of one that the record's module lacks.
    """
    columns: list[dict[str, Any]] = []
    labels: list[Any] = []
    for record, label in islice(rows, limit):
        fields = record.model_dump()
        if TRUTH in fields:
            raise ValueError(f"{type(record).__name__} must not have a field called {TRUTH!r}")
        columns.append({**fields, TRUTH: label})
        labels.append(label)
    if not columns:
        raise ValueError(f"{file.stem}: no rows")
    kind = label_name(labels, type(record))
    if kind:
        for row in columns:
            row[TRUTH] = _ANY.dump_json(row[TRUTH]).decode()
    table = pa.Table.from_pylist(columns)
    if kind:
        table = table.replace_schema_metadata({KIND: kind})
    pq.write_table(table, file, compression="zstd")
    return len(columns)


def read(file: Path, record: type[Sent]) -> LabelledRows[Sent, Any]:
    """Read the rows that `write` wrote; every record is validated."""
    stored = pq.ParquetFile(file)
    kind = (stored.schema_arrow.metadata or {}).get(KIND.encode(), b"").decode()
    check = label_reader(kind, record).validate_json if kind else None
    records, labels = [], []
    for batch in stored.iter_batches(batch_size=BATCH):
        for row in batch.to_pylist():
            label = row.pop(TRUTH)
            labels.append(check(label) if check else label)
            records.append(record.model_validate(row))
    return LabelledRows(records, labels)


def label_name(labels: Iterable[Any], record: type[Record]) -> str:
    """Return the type of labels that are records, such as `Boxes` or `list[Box]`; else "".

    Raises:
        ValueError: they are of several types, or of one that the record's module does not have.
    """
    members = [
        (each if isinstance(each, list) else [each], isinstance(each, list)) for each in labels
    ]
    types = {type(item) for items, _ in members for item in items}
    if not any(issubclass(each, Record) for each in types):
        return ""
    lists = {is_list for _, is_list in members}
    if len(types) > 1 or len(lists) > 1:
        names = ", ".join(sorted(each.__name__ for each in types))
        raise ValueError(f"labels must be records of one type or lists of them, got {names}")
    (kind,) = types
    if getattr(sys.modules[record.__module__], kind.__name__, None) is not kind:
        raise ValueError(
            f"labels are of type {kind.__name__}: define it in the module of {record.__name__}, or "
            "import it there, so that every stage can read them"
        )
    return f"list[{kind.__name__}]" if lists == {True} else kind.__name__


def label_reader(name: str, record: type[Record]) -> TypeAdapter[Any]:
    """Return what validates labels of the type that `label_name` returned."""
    kind = getattr(sys.modules[record.__module__], name.removeprefix("list[").removesuffix("]"))
    many: Any = list[kind]  # type: ignore[valid-type]
    return TypeAdapter(many if name.startswith("list[") else kind)

"""What a scoring leaves: parts with answers, joined into one table at the end.

Columns: those kept, the fields of the answer, and `error`, which is null when all went well.
"""

import base64
import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import from_json, to_json

from slipway.contract.record import Record
from slipway.files import settle
from slipway.scoring.tables import JSON_TYPE, BadTable, Format, Refused, Table, format_of, members

ERROR = "error"
GROUP_BYTES = 8 * 2**20
_SCALARS = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
}
_LARGEST = 2**63 - 1


class Answers:
    """The columns of the answers to a table."""

    def __init__(self, table: Table, output: type[Record]) -> None:
        fields = [_field(name, each.annotation) for name, each in output.model_fields.items()]
        kept = table.kept()
        taken = {field.name for field in [*fields, pa.field(ERROR, pa.string())]}
        clashes = [field.name for field in kept if field.name in taken]
        if clashes or ERROR in output.model_fields:
            names = ", ".join(clashes or [ERROR])
            raise BadTable(f"keep: also a column of the answers, rename it: {names}")
        self._fields = fields
        self._texts = [field for field in fields if _is_json(field)]
        self.schema = pa.schema([*kept, *fields, pa.field(ERROR, pa.string())])

    def batch(self, kept: list[Any], answers: list[Record | Refused]) -> Any:
        """An Arrow batch; a refused row has null answers."""
        cells: dict[str, list[Any]] = {field.name: [] for field in self._fields}
        errors = []
        for answer in answers:
            row = answer if isinstance(answer, Refused) else self._row(answer)
            refused = isinstance(row, Refused)
            errors.append(row.reason if isinstance(row, Refused) else None)
            for name, column in cells.items():
                column.append(None if refused else row[name])  # type: ignore[index]
        columns = [pa.array(cells[field.name], field.type) for field in self._fields]
        return pa.record_batch([*kept, *columns, pa.array(errors, pa.string())], self.schema)

    def _row(self, answer: Record) -> dict[str, Any] | Refused:
        row = {field.name: getattr(answer, field.name) for field in self._fields}
        for name, value in row.items():
            if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
                return Refused(f"answer: {name} needs more than 64 bits")
        if self._texts:
            names = {field.name for field in self._texts}
            for name, value in answer.model_dump(mode="json", include=names).items():
                row[name] = None if value is None else to_json(value).decode()
        return row


class PartWriter:
    """One part, there whole or not at all."""

    def __init__(self, file: Path, schema: Any) -> None:
        self._file, self._new = file, file.with_name(f"{file.name}.new")
        self._writer = pq.ParquetWriter(self._new, schema, compression="zstd")
        self._waiting: list[Any] = []
        self._bytes = self._bad = 0

    def add(self, batch: Any) -> int:
        """Says how many of the rows are bad."""
        bad = batch.num_rows - batch[ERROR].null_count
        self._bad += bad
        self._waiting.append(batch)
        self._bytes += batch.nbytes
        # A row group is what joining holds in memory.
        if self._bytes >= GROUP_BYTES:
            self._flush()
        return int(bad)

    def finish(self) -> None:
        self._flush()
        self._writer.add_key_value_metadata({"bad": str(self._bad)})
        self._writer.close()
        settle(self._new, self._file)

    def abandon(self) -> None:
        self._writer.close()
        self._new.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting))
        self._waiting, self._bytes = [], 0


def counted(part: Path) -> tuple[int, int]:
    """Rows of a part, and how many of them are bad.

    Raises:
        pyarrow.ArrowInvalid: it is no whole part.
    """
    about = pq.read_metadata(part)
    return about.num_rows, int(about.metadata[b"bad"])


def join(parts: Iterable[Path], target: Path, schema: Any) -> None:
    """One table, in the format of its suffix, a row group at a time."""
    new = target.with_name(f"{target.name}.new")
    kinds: dict[Format, type[_Target]] = {
        "csv": _CsvTarget,
        "parquet": _ParquetTarget,
        "jsonl": _JsonLinesTarget,
    }
    try:
        writer = kinds[format_of(target)](new, schema)
        try:
            for part in parts:
                with pq.ParquetFile(part, pre_buffer=False) as parquet:
                    for group in range(parquet.num_row_groups):
                        writer.add(parquet.read_row_group(group))
        finally:
            writer.close()
        settle(new, target)
    finally:
        new.unlink(missing_ok=True)


class _Target(ABC):
    def __init__(self, file: Path, schema: Any) -> None:
        self.file, self.schema = file, schema

    @abstractmethod
    def add(self, table: Any) -> None: ...

    @abstractmethod
    def close(self) -> None: ...


class _ParquetTarget(_Target):
    def __init__(self, file: Path, schema: Any) -> None:
        super().__init__(file, schema)
        self._schema = pa.schema([pa.field(each.name, each.type) for each in schema])
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")

    def add(self, table: Any) -> None:
        columns = [
            pa.array([_text(value) for value in _values(table[field.name], field)], pa.string())
            if _is_json(field)
            else table[field.name]
            for field in self.schema
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


class _CsvTarget(_Target):
    def __init__(self, file: Path, schema: Any) -> None:
        super().__init__(file, schema)
        self._stream = file.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream, lineterminator="\n")
        # The other leaves a carriage return bare, and readers take that for the end of a row.
        self._quoting = csv.writer(self._stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        self._writer.writerow(schema.names)

    def add(self, table: Any) -> None:
        columns = [
            ["" if text is None else text for text in map(_text, _values(table[each.name], each))]
            for each in self.schema
        ]
        for row in zip(*columns, strict=True):
            bare = any("\r" in cell for cell in row if isinstance(cell, str))
            (self._quoting if bare else self._writer).writerow(row)

    def close(self) -> None:
        self._stream.close()


class _JsonLinesTarget(_Target):
    def __init__(self, file: Path, schema: Any) -> None:
        super().__init__(file, schema)
        self._stream = file.open("wb")

    def add(self, table: Any) -> None:
        names = self.schema.names
        columns = [_values(table[each.name], each) for each in self.schema]
        for row in zip(*columns, strict=True):
            self._stream.write(to_json(dict(zip(names, row, strict=True))) + b"\n")

    def close(self) -> None:
        self._stream.close()


def _field(name: str, annotation: Any) -> Any:
    """Its Arrow field: of a scalar type, or JSON."""
    found = {_SCALARS.get(each) for each in members(annotation) if each is not type(None)}
    kind = found.pop() if len(found) == 1 else None
    return JSON_TYPE.with_name(name) if kind is None else pa.field(name, kind)


def _is_json(field: Any) -> bool:
    return field.metadata is not None and field.metadata.get(b"slipway") == b"json"


def _values(column: Any, field: Any) -> list[Any]:
    """As JSON has them: bytes as base64, moments and decimals as text."""
    kind = field.type
    if _is_json(field):
        return [None if text is None else from_json(text) for text in column.to_pylist()]
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return list(column.cast(pa.string()).to_pylist())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        # The alphabet that the server's answers have.
        return [
            None if value is None else base64.urlsafe_b64encode(value).decode()
            for value in column.to_pylist()
        ]
    return list(column.to_pylist())


def _text(value: Any) -> str | None:
    """As CSV has it: a text is itself, everything else JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)
    return to_json(value).decode()

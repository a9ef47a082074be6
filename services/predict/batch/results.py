"""Writes the results of batch scoring: parts, joined into one table at the end.

Columns: the kept ones, the fields of the model's output, and `error`, which is null on success.
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

from services.predict.batch.tables import (
    JSON_TYPE,
    BadTable,
    Format,
    RowError,
    Table,
    format_of,
    members,
)
from slipway.contract.record import Record
from slipway.files import settle

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


class ResultSchema:
    """The columns of the results for a table."""

    def __init__(self, table: Table, output: type[Record]) -> None:
        fields = [_field(name, each.annotation) for name, each in output.model_fields.items()]
        kept = table.kept()
        taken = {field.name for field in [*fields, pa.field(ERROR, pa.string())]}
        clashes = [field.name for field in kept if field.name in taken]
        if clashes or ERROR in output.model_fields:
            names = ", ".join(clashes or [ERROR])
            raise BadTable(f"keep: also a column of the results, rename it: {names}")
        self._fields = fields
        self._json_fields = [field for field in fields if _is_json(field)]
        self.schema = pa.schema([*kept, *fields, pa.field(ERROR, pa.string())])

    def batch(self, kept: list[Any], predictions: list[Record | RowError]) -> Any:
        """Return an Arrow batch; in a row with an error, the output fields are null."""
        cells: dict[str, list[Any]] = {field.name: [] for field in self._fields}
        errors = []
        for prediction in predictions:
            row = prediction if isinstance(prediction, RowError) else self._row(prediction)
            failed = isinstance(row, RowError)
            errors.append(row.reason if isinstance(row, RowError) else None)
            for name, column in cells.items():
                column.append(None if failed else row[name])  # type: ignore[index]
        columns = [pa.array(cells[field.name], field.type) for field in self._fields]
        return pa.record_batch([*kept, *columns, pa.array(errors, pa.string())], self.schema)

    def _row(self, prediction: Record) -> dict[str, Any] | RowError:
        row = {field.name: getattr(prediction, field.name) for field in self._fields}
        for name, value in row.items():
            if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
                return RowError(f"output: {name} needs more than 64 bits")
        if self._json_fields:
            names = {field.name for field in self._json_fields}
            for name, value in prediction.model_dump(mode="json", include=names).items():
                row[name] = None if value is None else to_json(value).decode()
        return row


class PartWriter:
    """Writes one part; the file appears only when it is complete."""

    def __init__(self, file: Path, schema: Any) -> None:
        self._file, self._new = file, file.with_name(f"{file.name}.new")
        self._writer = pq.ParquetWriter(self._new, schema, compression="zstd")
        self._waiting: list[Any] = []
        self._bytes = self._bad = 0

    def add(self, batch: Any) -> int:
        """Add a batch; return how many of its rows have an error."""
        bad = batch.num_rows - batch[ERROR].null_count
        self._bad += bad
        self._waiting.append(batch)
        self._bytes += batch.nbytes
        # Joining holds one row group in memory.
        if self._bytes >= GROUP_BYTES:
            self._flush()
        return int(bad)

    def finish(self) -> None:
        """Complete the part and move it into place."""
        self._flush()
        self._writer.add_key_value_metadata({"bad": str(self._bad)})
        self._writer.close()
        settle(self._new, self._file)

    def abandon(self) -> None:
        """Close the part and delete it."""
        self._writer.close()
        self._new.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting))
        self._waiting, self._bytes = [], 0


def count_rows(part: Path) -> tuple[int, int]:
    """Return the number of rows of a part, and how many of them have an error.

    Raises:
        pyarrow.ArrowInvalid: the file is not a complete part.
    """
    metadata = pq.read_metadata(part)
    return metadata.num_rows, int(metadata.metadata[b"bad"])


def join_parts(parts: Iterable[Path], target: Path, schema: Any) -> None:
    """Write the parts to one table, in the format of its suffix, one row group at a time."""
    new = target.with_name(f"{target.name}.new")
    writers: dict[Format, type[_Target]] = {
        "csv": _CsvTarget,
        "parquet": _ParquetTarget,
        "jsonl": _JsonLinesTarget,
    }
    try:
        writer = writers[format_of(target)](new, schema)
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
        # The plain writer does not quote a carriage return, which readers take for a row's end.
        self._quoting = csv.writer(self._stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        self._writer.writerow(schema.names)

    def add(self, table: Any) -> None:
        columns = [
            ["" if text is None else text for text in map(_text, _values(table[each.name], each))]
            for each in self.schema
        ]
        for row in zip(*columns, strict=True):
            has_return = any("\r" in cell for cell in row if isinstance(cell, str))
            (self._quoting if has_return else self._writer).writerow(row)

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
    """Return the Arrow field of an output field: a scalar type, or JSON."""
    types = {_SCALARS.get(each) for each in members(annotation) if each is not type(None)}
    kind = types.pop() if len(types) == 1 else None
    return JSON_TYPE.with_name(name) if kind is None else pa.field(name, kind)


def _is_json(field: Any) -> bool:
    return field.metadata is not None and field.metadata.get(b"slipway") == b"json"


def _values(column: Any, field: Any) -> list[Any]:
    """Return the values as JSON holds them: bytes as base64, times and decimals as text."""
    kind = field.type
    if _is_json(field):
        return [None if text is None else from_json(text) for text in column.to_pylist()]
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return list(column.cast(pa.string()).to_pylist())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        # The same alphabet as in the server's responses.
        return [
            None if value is None else base64.urlsafe_b64encode(value).decode()
            for value in column.to_pylist()
        ]
    return list(column.to_pylist())


def _text(value: Any) -> str | None:
    """Return the value as a CSV cell: a string unchanged, everything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)
    return to_json(value).decode()

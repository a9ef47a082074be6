"""Reads CSV, Parquet and JSON Lines tables of any size in batches.

An empty CSV cell and a null in any format mean "unknown": the record is built without that field.
"""

import csv
import io
import math
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from slipway.contract.record import Record

Format = Literal["csv", "parquet", "jsonl"]
FORMATS: tuple[Format, ...] = typing.get_args(Format)
# Limits of a batch in memory, in rows and bytes; a single row may be larger.
BATCH_ROWS, BATCH_BYTES = 1000, 8 * 2**20
# Without a limit, an unclosed quote would read the rest of the file as one cell.
LONGEST_LINE = 32 * 2**20
LONGEST_REASON = 1000
# A column that holds JSON text until it is converted to the target format.
JSON_TYPE = pa.field("", pa.string(), metadata={"slipway": "json"})


class BadTable(ValueError):
    """Raised when the file cannot be scored at all, or not past the position in the message."""


@dataclass(frozen=True)
class RowError:
    """A row without a prediction, and the reason."""

    reason: str


@dataclass(frozen=True)
class Batch:
    """Consecutive rows, all of one part."""

    first: int
    """The number of the first row, from 0."""
    records: list[Record | RowError]
    kept: list[Any]
    """One Arrow array (rows,) per kept column."""
    position: int
    """Bytes of the file read so far."""


def format_of(file: Path) -> Format:
    """Return the format that the file's suffix names.

    Raises:
        BadTable: the suffix names no known format.
    """
    for each in FORMATS:
        if file.suffix == f".{each}":
            return each
    suffixes = ", ".join(f".{each}" for each in FORMATS)
    raise BadTable(f"{file.name}: its name must end in one of {suffixes}")


def open_table(file: Path, *, record: type[Record], keep: Sequence[str] = ()) -> "Table":
    """Open the table and check its columns; only its head is read.

    Raises:
        BadTable: the columns do not match the record, or a column to keep is missing.
        FileNotFoundError: the file does not exist.
    """
    readers: dict[Format, type[Table]] = {
        "csv": CsvTable,
        "parquet": ParquetTable,
        "jsonl": JsonLinesTable,
    }
    return readers[format_of(file)](file, record=record, keep=keep)


def reason(error: ValidationError) -> str:
    """Return the validation errors as one line of `field: message`."""
    messages = []
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(map(str, each["loc"])) or "row"
        messages.append(f"{place}: {each['msg'].removeprefix('Value error, ')}")
    return "; ".join(messages)[:LONGEST_REASON]


class Table(ABC):
    """Rows to score. The columns in `keep` are copied to the results."""

    def __init__(self, file: Path, *, record: type[Record], keep: Sequence[str]) -> None:
        self.file, self.record, self.keep = file, record, list(keep)
        self.bytes = file.stat().st_size
        fields = record.model_fields
        # Required fields that accept None: for these a null is passed to the record.
        self._nullable = {
            name
            for name, field in fields.items()
            if field.is_required() and type(None) in typing.get_args(field.annotation)
        }
        self._check(self._columns())

    @abstractmethod
    def batches(self, *, start: int, every: int) -> Iterator[Batch]:
        """Yield the rows from `start` on; no batch crosses a multiple of `every` rows.

        Raises:
            BadTable: the file is damaged from some position on.
        """

    @abstractmethod
    def kept(self) -> list[Any]:
        """Return the Arrow fields of the columns to keep."""

    @abstractmethod
    def _columns(self) -> list[str]: ...

    def _check(self, columns: list[str]) -> None:
        fields = self.record.model_fields
        doubled = sorted({name for name in columns if columns.count(name) > 1})
        if doubled:
            self._fail(f"duplicate columns: {', '.join(doubled)}")
        if len(set(self.keep)) < len(self.keep):
            self._fail("keep: a column is named twice")
        absent = [name for name in self.keep if name not in columns]
        if absent:
            self._fail(f"keep: no such columns: {', '.join(absent)}")
        unknown = [name for name in columns if name not in fields and name not in self.keep]
        if unknown:
            self._fail(
                f"columns that are not inputs of the model: {', '.join(map(repr, unknown))}; "
                f"name them in keep, or remove them. The inputs are {', '.join(fields)}"
            )
        self._check_missing(columns)

    def _check_missing(self, columns: list[str]) -> None:
        fields = self.record.model_fields
        missing = [
            name for name, each in fields.items() if each.is_required() and name not in columns
        ]
        if missing:
            self._fail(f"columns that the model needs are missing: {', '.join(missing)}")

    def _fail(self, reason: str) -> typing.NoReturn:
        raise BadTable(f"{self.file.name}: {reason}")

    def _fields(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the cells that become fields of the record."""
        fields = self.record.model_fields
        return {
            name: value
            for name, value in row.items()
            if (name in fields or name not in self.keep)
            and (value is not None or name in self._nullable)
        }

    def _from_json(self, row: dict[str, Any]) -> Record | RowError:
        """Build a record; strings become numbers and base64 becomes bytes, as in a request."""
        try:
            return self.record.model_validate_json(to_json(self._fields(row)))
        except ValidationError as error:
            return RowError(reason(error))


@dataclass(frozen=True)
class _Row:
    record: Record | RowError
    kept: list[str | None]
    bytes: int
    position: int


class _TextTable(Table):
    def batches(self, *, start: int, every: int) -> Iterator[Batch]:
        lines: list[_Row] = []
        first, size = start, 0
        for line in self._lines(start):
            lines.append(line)
            size += line.bytes
            end = first + len(lines)
            if len(lines) >= BATCH_ROWS or size >= BATCH_BYTES or end % every == 0:
                yield self._batch(first, lines)
                lines, first, size = [], end, 0
        if lines:
            yield self._batch(first, lines)

    def _batch(self, first: int, lines: list[_Row]) -> Batch:
        kept = [
            pa.array([line.kept[place] for line in lines], pa.string())
            for place in range(len(self.keep))
        ]
        return Batch(first, [line.record for line in lines], kept, lines[-1].position)

    @abstractmethod
    def _lines(self, start: int) -> Iterator[_Row]: ...


class CsvTable(_TextTable):
    """A CSV file: UTF-8 with or without a byte order mark, a header, commas, RFC 4180 quotes.

    `bytes` fields hold base64; lists, objects and other nested values hold JSON.
    """

    def __init__(self, file: Path, *, record: type[Record], keep: Sequence[str]) -> None:
        self._nested = {
            name for name, field in record.model_fields.items() if _is_nested(field.annotation)
        }
        super().__init__(file, record=record, keep=keep)

    def kept(self) -> list[Any]:
        return [pa.field(name, pa.string()) for name in self.keep]

    def _columns(self) -> list[str]:
        for cells, _ in self._rows():
            return cells
        self._fail("is empty; its first line must name the columns")

    def _lines(self, start: int) -> Iterator[_Row]:
        rows = self._rows()
        columns, _ = next(rows)
        places = [columns.index(name) for name in self.keep]
        for number, (cells, position) in enumerate(rows):
            if number < start:
                continue
            kept: list[str | None] = [
                cells[place] or None if place < len(cells) else None for place in places
            ]
            record = self._record(columns, cells)
            yield _Row(record, kept, sum(map(len, cells)), position)

    def _record(self, columns: list[str], cells: list[str]) -> Record | RowError:
        if len(cells) != len(columns):
            return RowError(f"row: must have {len(columns)} cells as the header, got {len(cells)}")
        row: dict[str, Any] = {
            name: cell or None for name, cell in zip(columns, cells, strict=True)
        }
        for name in self._nested & row.keys():
            if row[name] is not None:
                try:
                    row[name] = from_json(row[name], allow_inf_nan=False)
                except ValueError as error:
                    return RowError(f"{name}: must be JSON: {error}")
        return self._from_json(row)

    def _rows(self) -> Iterator[tuple[list[str], int]]:
        """Yield the cells of each row and the bytes read so far; empty lines are skipped."""
        csv.field_size_limit(LONGEST_LINE)
        with (
            self.file.open("rb") as raw,
            io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as stream,
        ):
            # strict: a misplaced quote would silently swallow the rows after it.
            reader = csv.reader(self._bounded(stream), strict=True)
            try:
                for cells in reader:
                    if cells:
                        yield cells, raw.tell()
            except (csv.Error, UnicodeDecodeError) as error:
                self._fail(f"near line {reader.line_num}: {error}")

    def _bounded(self, stream: io.TextIOWrapper) -> Iterator[str]:
        while line := stream.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE and line[-1] not in "\r\n":
                self._fail(f"a line is longer than {LONGEST_LINE // 2**20} million characters")
            yield line


class JsonLinesTable(_TextTable):
    """A JSON Lines file. The first object names the columns; later ones may omit some."""

    def kept(self) -> list[Any]:
        return [JSON_TYPE.with_name(name) for name in self.keep]

    def _columns(self) -> list[str]:
        for text, _ in self._nonempty_lines():
            first = self._object(text)
            if isinstance(first, RowError):
                self._fail(f"line 1: {first.reason}")
            return list(first)
        self._fail("is empty")

    def _check_missing(self, columns: list[str]) -> None:
        """Accept the columns: a row that lacks a required field gets an error of its own."""

    def _lines(self, start: int) -> Iterator[_Row]:
        for number, (text, position) in enumerate(self._nonempty_lines()):
            if number < start:
                continue
            row = self._object(text)
            if isinstance(row, RowError):
                yield _Row(row, [None] * len(self.keep), len(text), position)
                continue
            values = [row.get(name) for name in self.keep]
            kept = [None if value is None else to_json(value).decode() for value in values]
            yield _Row(self._from_json(row), kept, len(text), position)

    def _object(self, text: bytes) -> dict[str, Any] | RowError:
        try:
            row = from_json(text, allow_inf_nan=False)
        except ValueError as error:
            return RowError(f"row: must be JSON: {error}")
        return row if isinstance(row, dict) else RowError("row: must be a JSON object")

    def _nonempty_lines(self) -> Iterator[tuple[bytes, int]]:
        """Yield each line and the bytes read so far; empty lines are skipped."""
        position = 0
        with self.file.open("rb") as stream:
            while line := stream.readline(LONGEST_LINE):
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    self._fail(f"a line is longer than {LONGEST_LINE // 2**20} MiB")
                if position == 0:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                position = stream.tell()
                if text := line.strip():
                    yield text, position


class ParquetTable(Table):
    """A Parquet file. `bytes` fields are binary columns; NaN means unknown, like null."""

    def kept(self) -> list[Any]:
        schema = self._schema()
        return [pa.field(name, _value_type(schema.field(name).type)) for name in self.keep]

    def batches(self, *, start: int, every: int) -> Iterator[Batch]:
        try:
            with self._open() as parquet:
                yield from self._slice_batches(parquet, start, every)
        except (pa.ArrowInvalid, OSError) as error:
            self._fail(f"is damaged: {error}")

    def _slice_batches(self, parquet: Any, start: int, every: int) -> Iterator[Batch]:
        total = parquet.metadata.num_rows
        sizes = [parquet.metadata.row_group(n).num_rows for n in range(parquet.num_row_groups)]
        group = row = 0
        while group < len(sizes) and row + sizes[group] <= start:
            row += sizes[group]
            group += 1
        groups = list(range(group, len(sizes)))
        for batch in parquet.iter_batches(self._rows_at_once(parquet), row_groups=groups):
            place = max(start - row, 0)
            while place < batch.num_rows:
                first = row + place
                rows = min(every - first % every, batch.num_rows - place)
                piece = batch.slice(place, rows)
                place += rows
                position = int(self.bytes * (row + place) / total)
                yield Batch(first, self._records(piece), self._kept_columns(piece), position)
            row += batch.num_rows

    def _rows_at_once(self, parquet: Any) -> int:
        metadata = parquet.metadata
        groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
        widest = max((each.total_byte_size / max(each.num_rows, 1) for each in groups), default=1)
        return max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(widest, 1))))

    def _records(self, batch: Any) -> list[Record | RowError]:
        names = [name for name in batch.schema.names if name in self.record.model_fields]
        rows = batch.select(names).to_pylist() if names else [{}] * batch.num_rows
        return [self._record(row) for row in rows]

    def _record(self, row: dict[str, Any]) -> Record | RowError:
        for name, value in row.items():
            if isinstance(value, float) and math.isnan(value):
                row[name] = None
        try:
            return self.record.model_validate(self._fields(row))
        except ValidationError as error:
            return RowError(reason(error))

    def _kept_columns(self, batch: Any) -> list[Any]:
        return [batch[field.name].cast(field.type) for field in self.kept()]

    def _columns(self) -> list[str]:
        schema = self._schema()
        for name, field in self.record.model_fields.items():
            if bytes not in members(field.annotation) or name not in schema.names:
                continue
            kind = schema.field(name).type
            if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
                self._fail(f"{name}: must be a binary column, is {kind}")
        return list(schema.names)

    def _schema(self) -> Any:
        try:
            with self._open() as parquet:
                return parquet.schema_arrow
        except pa.ArrowInvalid as error:
            self._fail(f"is not a Parquet file: {error}")

    def _open(self) -> Any:
        # Read in small pieces: a whole row group may not fit into memory.
        return pq.ParquetFile(self.file, pre_buffer=False, buffer_size=2**20)


def _value_type(kind: Any) -> Any:
    """Return the type of the values, also for a dictionary-encoded column."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself, without constraints."""
    kind = typing.get_origin(annotation)
    if kind is typing.Annotated:
        return members(typing.get_args(annotation)[0])
    if kind in (typing.Union, types.UnionType):
        return tuple(each for arg in typing.get_args(annotation) for each in members(arg))
    return (annotation,)


def _is_nested(annotation: Any) -> bool:
    for each in members(annotation):
        kind = typing.get_origin(each) or each
        if isinstance(kind, type) and issubclass(
            kind, (list, dict, tuple, set, frozenset, BaseModel)
        ):
            return True
    return False

"""Reads CSV and JSON Lines tables of any size in batches."""

import csv
import io
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic_core import from_json, to_json

from services.predict.batch.annotations import is_nested
from services.predict.batch.batch_size import BATCH_ROWS
from services.predict.batch.file_names import FileNames
from services.predict.batch.tables import JSON_TYPE, Batch, RowError, Table
from slipway.contract.record import Record

# Without a limit, an unclosed quote would read the rest of the file as one cell.
LONGEST_LINE = 32 * 2**20


@dataclass(frozen=True)
class _Row:
    record: Record | RowError
    kept: list[str | None]
    bytes: int
    position: int
    file: str | None = None


class _TextTable(Table):
    def batches(self, *, start: int, every: int) -> Iterator[Batch]:
        lines: list[_Row] = []
        first, size = start, self._size()
        for line in self._lines(start):
            lines.append(line)
            size.add(line.record, line.bytes)
            end = first + len(lines)
            if size.full or end % every == 0:
                yield self._batch(first, lines)
                lines, first = [], end
                size.clear()
        if lines:
            yield self._batch(first, lines)

    def _row(
        self, record: Record | RowError, kept: list[str | None], bytes: int, position: int
    ) -> _Row:
        names = self.names
        if names is None:
            return _Row(record, kept, bytes, position)
        row = _Row(record, kept, bytes + names.bytes, position, names.first)
        names.clear()
        return row

    def _batch(self, first: int, lines: list[_Row]) -> Batch:
        kept = [
            pa.array([line.kept[place] for line in lines], pa.string())
            for place in range(len(self.keep))
        ]
        kept = self._with_files([line.file for line in lines], kept)
        return Batch(first, [line.record for line in lines], kept, lines[-1].position)

    @abstractmethod
    def _lines(self, start: int) -> Iterator[_Row]: ...


class CsvTable(_TextTable):
    """A CSV file: UTF-8 with or without a byte order mark, a header, commas, RFC 4180 quotes.

    `bytes` fields hold base64; lists, objects and other nested values hold JSON.
    """

    def __init__(
        self,
        file: Path,
        *,
        record: type[Record],
        keep: Sequence[str],
        names: FileNames | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self._nested = {
            name for name, field in record.model_fields.items() if is_nested(field.annotation)
        }
        super().__init__(file, record=record, keep=keep, names=names, batch_rows=batch_rows)

    def _kept_fields(self) -> list[Any]:
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
            yield self._row(record, kept, sum(map(len, cells)), position)

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

    def _kept_fields(self) -> list[Any]:
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
            yield self._row(self._from_json(row), kept, len(text), position)

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

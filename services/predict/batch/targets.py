"""Writes joined results to a table in one of the formats."""

import csv
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import to_json

from services.predict.batch.columns import is_json, text_of, values_of
from services.predict.batch.formats import TableFormat


class Target(ABC):
    """A file of results that is written table by table."""

    def __init__(self, file: Path, schema: Any) -> None:
        self.file, self.schema = file, schema

    @abstractmethod
    def add(self, table: Any) -> None:
        """Write one table with the columns of the schema."""

    @abstractmethod
    def close(self) -> None:
        """Complete the file."""


class ParquetRows(Target):
    """A Parquet file; lists and objects are JSON."""

    def __init__(self, file: Path, schema: Any) -> None:
        super().__init__(file, schema)
        self._schema = pa.schema([pa.field(each.name, each.type) for each in schema])
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")

    def add(self, table: Any) -> None:
        columns = [
            pa.array([text_of(value) for value in values_of(table[field.name], field)], pa.string())
            if is_json(field)
            else table[field.name]
            for field in self.schema
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


class CsvRows(Target):
    """A CSV file; lists and objects are JSON."""

    def __init__(self, file: Path, schema: Any) -> None:
        super().__init__(file, schema)
        self._stream = file.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream, lineterminator="\n")
        # The plain writer does not quote a carriage return, which readers take for a row's end.
        self._quoting = csv.writer(self._stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        self._writer.writerow(schema.names)

    def add(self, table: Any) -> None:
        columns = [
            [
                "" if text is None else text
                for text in map(text_of, values_of(table[each.name], each))
            ]
            for each in self.schema
        ]
        for row in zip(*columns, strict=True):
            has_return = any("\r" in cell for cell in row if isinstance(cell, str))
            (self._quoting if has_return else self._writer).writerow(row)

    def close(self) -> None:
        self._stream.close()


class JsonLinesRows(Target):
    """A JSON Lines file."""

    def __init__(self, file: Path, schema: Any) -> None:
        super().__init__(file, schema)
        self._stream = file.open("wb")

    def add(self, table: Any) -> None:
        names = self.schema.names
        columns = [values_of(table[each.name], each) for each in self.schema]
        for row in zip(*columns, strict=True):
            self._stream.write(to_json(dict(zip(names, row, strict=True))) + b"\n")

    def close(self) -> None:
        self._stream.close()


TABLE_TARGETS: dict[TableFormat, type[Target]] = {
    "csv": CsvRows,
    "parquet": ParquetRows,
    "jsonl": JsonLinesRows,
}

"""Reads Parquet tables of any size in batches."""

import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from services.predict.batch.annotations import members
from services.predict.batch.batch_size import BATCH_BYTES
from services.predict.batch.file_names import NoContent
from services.predict.batch.tables import LONGEST_REASON, Batch, RowError, Table, reason
from slipway.contract.record import Record
from slipway.media.base64_text import decode_base64

_Divided = tuple[Any, list[Record | RowError], list[str | None]]


class ParquetTable(Table):
    """A Parquet file. `bytes` fields are binary columns; NaN means unknown, like null.

    Media may also be texts: base64, or the names of files.
    """

    def _kept_fields(self) -> list[Any]:
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
                for each, records, files in self._divide(piece):
                    kept = self._with_files(files, self._kept_columns(each))
                    end = row + place + len(records)
                    yield Batch(row + place, records, kept, int(self.bytes * end / total))
                    place += len(records)
            row += batch.num_rows

    def _divide(
        self, piece: Any
    ) -> Iterator[tuple[Any, list[Record | RowError], list[str | None]]]:
        """Yield batches of a bounded size, each with its records and the names of its files."""
        columns = [name for name in piece.schema.names if name in self.record.model_fields]
        rows = piece.select(columns).to_pylist() if columns else [{}] * piece.num_rows
        size, records, files = self._size(), list[Record | RowError](), list[str | None]()
        first = 0
        for number, row in enumerate(rows, start=1):
            records.append(self._record(row))
            files.append(self.names.first if self.names else None)
            # What the row itself holds is bounded by how many are read at once.
            size.add(records[-1], self.names.bytes if self.names else 0)
            if size.full or number == len(rows):
                yield piece.slice(first, len(records)), records, files
                size.clear()
                records, files, first = [], [], number

    def _rows_at_once(self, parquet: Any) -> int:
        metadata = parquet.metadata
        groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
        widest = max((each.total_byte_size / max(each.num_rows, 1) for each in groups), default=1)
        return max(1, min(self._batch_rows, int(BATCH_BYTES / max(widest, 1))))

    def _record(self, row: dict[str, Any]) -> Record | RowError:
        for name, value in row.items():
            if isinstance(value, float) and math.isnan(value):
                row[name] = None
        try:
            fields = self._fields(row)
            if self.names:
                fields = self.names.as_bytes(fields)
            return self.record.model_validate(self._decode_texts(fields))
        except NoContent as error:
            return RowError(str(error)[:LONGEST_REASON])
        except ValidationError as error:
            return RowError(reason(error))

    def _decode_texts(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the row with bytes in the place of base64."""
        for name in self._limits.keys() & fields.keys():
            value = fields[name]
            try:
                if isinstance(value, str):
                    fields[name] = decode_base64(value, self._limits[name])
                elif isinstance(value, list):
                    fields[name] = [
                        decode_base64(each, self._limits[name]) if isinstance(each, str) else each
                        for each in value
                    ]
            except ValueError as error:
                raise NoContent(f"{name}: {error}") from None
        return fields

    def _kept_columns(self, batch: Any) -> list[Any]:
        return [batch[field.name].cast(field.type) for field in self._kept_fields()]

    def _columns(self) -> list[str]:
        schema = self._schema()
        for name, field in self.record.model_fields.items():
            if bytes not in members(field.annotation) or name not in schema.names:
                continue
            kind = _value_type(schema.field(name).type)
            if (self.names or name in self._media) and pa.types.is_string(kind):
                continue
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

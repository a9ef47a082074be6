"""Writes the results of batch scoring as parts, which are joined at the end.

Columns: the kept ones, the fields of the model's output, and `error`, which is null on success.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import to_json

from services.predict.batch.columns import is_json, output_columns
from services.predict.batch.formats import BadTable
from services.predict.batch.tables import FILE, RowError, Table
from slipway.contract.record import Record
from slipway.files import settle
from slipway.media import media_fields

ERROR = "error"
GROUP_BYTES = 8 * 2**20
_LARGEST = 2**63 - 1


class ResultSchema:
    """The columns of the results for a table."""

    def __init__(self, table: Table, output: type[Record]) -> None:
        fields = output_columns(output)
        taken = {*output.model_fields, ERROR}
        kept = table.kept()
        if table.shows_file and FILE in taken:
            kept[0] = kept[0].with_name(f"source_{FILE}")
        clashes = [field.name for field in kept if field.name in taken]
        if clashes or ERROR in output.model_fields:
            names = ", ".join(clashes or [ERROR])
            raise BadTable(f"keep: also a column of the results, rename it: {names}")
        self._fields = fields
        self._json_fields = [field for field in fields if is_json(field)]
        self.media = media_fields(output)
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

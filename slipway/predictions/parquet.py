"""Compacted segments: the same records in the same order as Parquet, found by id or by time."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic_core import from_json, to_json

from slipway.fsync import fsync
from slipway.predictions import ids

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("time", pa.timestamp("ms", tz="UTC")),
        ("project", pa.string()),
        ("version", pa.string()),
        ("digest", pa.string()),
        ("variant", pa.string()),
        ("seconds", pa.float64()),
        ("trace", pa.string()),
        ("of", pa.string()),
        ("inputs", pa.large_string()),
        ("inputs_sha256", pa.string()),
        ("outputs", pa.large_string()),
        # Columns added later come last; files that were written before lack them.
        ("features", pa.large_string()),
        ("purpose", pa.string()),
    ]
)
# To read one record costs a row group, so these bound its rows and its bytes before compression.
GROUP_ROWS, GROUP_BYTES = 10_000, 8 * 2**20
BATCH_ROWS = 500
_JSON = ("inputs", "outputs", "features")
# Left out of a record when null; null `inputs` are kept.
_OPTIONAL = ("of", "inputs_sha256", "features", "purpose")


def write(file: Path, records: Iterable[tuple[dict[str, Any], int]]) -> int:
    """Write records, each with its number of bytes as JSON, and return how many.

    They are on disk when this returns.
    """
    count = 0
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        size = 0
        for record, length in records:
            rows.append(record)
            size += length
            if len(rows) >= GROUP_ROWS or size >= GROUP_BYTES:
                writer.write_table(_table(rows))
                count, rows, size = count + len(rows), [], 0
        if rows:
            writer.write_table(_table(rows))
            count += len(rows)
    fsync(file)
    return count


def find(file: Path, id: str) -> dict[str, Any] | None:
    """Return the record with that id; None if there is none.

    Raises:
        FileNotFoundError: the file is not there.
    """
    with pq.ParquetFile(file) as parquet:
        for group in range(parquet.num_row_groups):
            first, last = _range(parquet, group, "id")
            if not first <= id <= last:
                continue
            # Ids are read first: inputs and outputs are nearly all of a group's bytes.
            row = pc.index(parquet.read_row_group(group, ["id"])["id"], id).as_py()
            if row >= 0:
                return _record(parquet.read_row_group(group).slice(row, 1).to_pylist()[0])
    return None


def records(
    file: Path, *, since: float | None, until: float | None, project: str | None
) -> Iterator[dict[str, Any]]:
    """Yield the records of a project from `since` to before `until`, Unix seconds.

    Raises:
        FileNotFoundError: the file is not there.
    """
    with pq.ParquetFile(file) as parquet:
        groups = [
            group
            for group in range(parquet.num_row_groups)
            if _overlaps(parquet, group, since, until, project)
        ]
        for batch in parquet.iter_batches(BATCH_ROWS, row_groups=groups):
            if project is not None:
                batch = batch.filter(pc.equal(batch["project"], project))
            for row in batch.to_pylist():
                at = row["time"].timestamp()
                if (since is None or at >= since) and (until is None or at < until):
                    yield _record(row)


def after(file: Path, offset: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the offsets and records behind `offset` in their segment; -1 is before the first.

    Raises:
        FileNotFoundError: the file is not there.
    """
    with pq.ParquetFile(file) as parquet:
        for group in range(parquet.num_row_groups):
            # Ids are read first: inputs and outputs are nearly all of a group's bytes.
            known = parquet.read_row_group(group, ["id"])["id"]
            first = bisect_right(_Offsets(known), offset)
            if first == len(known):
                continue
            for batch in parquet.read_row_group(group).slice(first).to_batches(BATCH_ROWS):
                for row in batch.to_pylist():
                    record = _record(row)
                    yield ids.offset(record["id"]), record


class _Offsets(Sequence[int]):
    """The offsets of a column of ids; only the few that a search reads are decoded."""

    def __init__(self, column: Any) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, row: Any) -> Any:
        return ids.offset(self._column[row].as_py())


def bounds(file: Path) -> tuple[int, float, float]:
    """Return the number of records and the Unix times of the first and the last."""
    with pq.ParquetFile(file) as parquet:
        ranges = [_range(parquet, group, "time") for group in range(parquet.num_row_groups)]
        if not ranges:
            return 0, 0.0, 0.0
        first = min(each[0] for each in ranges).timestamp()
        last = max(each[1] for each in ranges).timestamp()
        return parquet.metadata.num_rows, first, last


def _range(parquet: Any, group: int, column: str) -> tuple[Any, Any]:
    about = parquet.metadata.row_group(group)
    statistics = about.column(SCHEMA.get_field_index(column)).statistics
    return statistics.min, statistics.max


def _overlaps(
    parquet: Any, group: int, since: float | None, until: float | None, project: str | None
) -> bool:
    first, last = (each.timestamp() for each in _range(parquet, group, "time"))
    if (since is not None and last < since) or (until is not None and first >= until):
        return False
    lowest, highest = _range(parquet, group, "project")
    return project is None or lowest <= project <= highest


def _table(records: list[dict[str, Any]]) -> Any:
    columns = []
    for field in SCHEMA:
        values: list[Any] = [record.get(field.name) for record in records]
        if field.name == "time":
            values = [datetime.fromisoformat(value) for value in values]
        elif field.name in _JSON:
            values = [_text(value, field.name) for value in values]
        columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _record(row: dict[str, Any]) -> dict[str, Any]:
    at = row["time"].astimezone(UTC).replace(tzinfo=None)
    record = {**row, "time": at.isoformat(timespec="milliseconds") + "Z"}
    for name in _JSON:
        if record.get(name) is not None:
            record[name] = from_json(row[name])
    for name in _OPTIONAL:
        if record.get(name) is None:
            record.pop(name, None)
    return record


def _text(value: Any, name: str) -> str | None:
    return None if value is None and name in _OPTIONAL else to_json(value).decode()

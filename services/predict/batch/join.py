"""Joins the parts of batch scoring to the target."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq

from services.predict.batch.formats import TableFormat, target_format
from services.predict.batch.result_archive import ResultArchive
from services.predict.batch.results import ResultSchema
from services.predict.batch.targets import TABLE_TARGETS, Target
from slipway.files import settle


def join_parts(
    parts: Iterable[Path], target: Path, results: ResultSchema, rows: TableFormat = "jsonl"
) -> None:
    """Write the parts in the format of the target's suffix, one row group at a time.

    `rows` is the format of the table in an archive.
    """
    new = target.with_name(f"{target.name}.new")
    try:
        writer = _open(new, target, results, rows)
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


def _open(new: Path, target: Path, results: ResultSchema, rows: TableFormat) -> Target:
    kind = target_format(target)
    if kind == "zip":
        return ResultArchive(new, results.schema, results.media, rows)
    return TABLE_TARGETS[kind](new, results.schema)

"""Offline tables, built from their data sets once for the same data and code."""

import hashlib
import json
import os
import shutil
from pathlib import Path

from filelock import FileLock

from slipway import home
from slipway.datasets import Dataset, fetch
from slipway.features import places, tables
from slipway.features.tables import TIME, OfflineTable

SOURCE_KEY = b"slipway.made_of"


def build(name: str, *, dataset: Dataset | None = None) -> Path:
    """Build the table `name` from the current data and code, and return its file.

    An up-to-date table is not built again. The cache keeps tables by data and code.

    Raises:
        KeyError: there is no such table.
        slipway.datasets.DatasetUnavailable: its data set is unavailable.
        ValueError: the rows are not in the order that `slipway.features.tables` requires.
    """
    table = tables.find(name)
    data = dataset or fetch(table.dataset)
    key = source_of(table, data)
    file = places.table(name)
    if built_from(file) == key:
        return file
    cached = home.cache() / "features" / hashlib.sha256(key.encode()).hexdigest()[:16] / file.name
    cached.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(cached.parent / ".lock"):
        if built_from(cached) != key:
            _write(table, data, key, cached)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.parent / ".lock"):
        partial = file.with_name(f"{file.name}.part")
        shutil.copyfile(cached, partial)
        os.replace(partial, file)
    return file


def source_of(table: OfflineTable, dataset: Dataset) -> str:
    """Return JSON with the SHA-256 of the data set's files and of the table's code."""
    files = {name: file.sha256 for name, file in dataset.entry.files.items()}
    source = {"dataset": table.dataset, "files": files, "code": table.fingerprint}
    return json.dumps(source, sort_keys=True)


def built_from(file: Path) -> str | None:
    """Return the source that the table `file` was built from; None if it is missing or partial."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        source = (pq.read_schema(file).metadata or {}).get(SOURCE_KEY)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    return source.decode() if source else None


def _write(table: OfflineTable, dataset: Dataset, key: str, file: Path) -> None:
    import pyarrow.parquet as pq

    partial = file.with_name(f"{file.name}.part")
    schema = table.schema.with_metadata({SOURCE_KEY: key})
    seen: set[object] = set()
    with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for batch in table.rows(dataset):
            keys = batch.column(table.key).unique().to_pylist()
            _check_order(table, batch, seen.intersection(keys))
            seen.update(keys)
            writer.write_table(batch.cast(table.schema).replace_schema_metadata(schema.metadata))
    os.replace(partial, file)


def _check_order(table: OfflineTable, batch: object, repeated: set[object]) -> None:
    if repeated:
        key = min(repeated, key=str)
        raise ValueError(f"{table.name}: {table.key} {key} occurs in two batches")
    ordered = batch.select([table.key, TIME])  # type: ignore[attr-defined]
    if not ordered.equals(ordered.sort_by([(table.key, "ascending"), (TIME, "ascending")])):
        raise ValueError(f"{table.name}: rows must be sorted by {table.key} and {TIME}")

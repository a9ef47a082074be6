"""Offline tables, built from their data sets: each once for the same data and code, anywhere."""

import hashlib
import json
import os
import shutil
from pathlib import Path

from filelock import FileLock

from slipway import home
from slipway.datasets import Dataset, fetch
from slipway.features import places, tables
from slipway.features.tables import TIME, Table

MADE_OF = b"slipway.made_of"


def build(name: str, *, dataset: Dataset | None = None) -> Path:
    """Have the table `name` lie in the store, made of today's data by today's code; its file.

    Nothing is done when it does already. Tables are kept in the cache by what they are made of.

    Raises:
        KeyError: there is no such table.
        slipway.datasets.DatasetUnavailable: its data set could not be had.
        ValueError: a batch breaks the order that `slipway.features.tables` promises.
    """
    table = tables.find(name)
    data = dataset or fetch(table.dataset)
    key = made_of(table, data)
    file = places.table(name)
    if built_of(file) == key:
        return file
    kept = home.cache() / "features" / hashlib.sha256(key.encode()).hexdigest()[:16] / file.name
    kept.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(kept.parent / ".lock"):
        if built_of(kept) != key:
            _write(table, data, key, kept)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.parent / ".lock"):
        partial = file.with_name(f"{file.name}.part")
        shutil.copyfile(kept, partial)
        os.replace(partial, file)
    return file


def made_of(table: Table, dataset: Dataset) -> str:
    """JSON: the data set's files and the code, by SHA-256."""
    files = {name: file.sha256 for name, file in dataset.entry.files.items()}
    told = {"dataset": table.dataset, "files": files, "code": table.fingerprint}
    return json.dumps(told, sort_keys=True)


def built_of(file: Path) -> str | None:
    """What the table at `file` is made of; None if there is none, or not a whole one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = (pq.read_schema(file).metadata or {}).get(MADE_OF)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    return found.decode() if found else None


def _write(table: Table, dataset: Dataset, key: str, file: Path) -> None:
    import pyarrow.parquet as pq

    partial = file.with_name(f"{file.name}.part")
    schema = table.schema.with_metadata({MADE_OF: key})
    seen: set[object] = set()
    with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for batch in table.rows(dataset):
            keys = batch.column(table.key).unique().to_pylist()
            _check_order(table, batch, seen.intersection(keys))
            seen.update(keys)
            writer.write_table(batch.cast(table.schema).replace_schema_metadata(schema.metadata))
    os.replace(partial, file)


def _check_order(table: Table, batch: object, again: set[object]) -> None:
    if again:
        raise ValueError(f"{table.name}: {table.key} {min(again, key=str)} comes in two batches")
    ordered = batch.select([table.key, TIME])  # type: ignore[attr-defined]
    if not ordered.equals(ordered.sort_by([(table.key, "ascending"), (TIME, "ascending")])):
        raise ValueError(f"{table.name}: rows must be sorted by {table.key} and {TIME}")

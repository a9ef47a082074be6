"""From the offline tables into the online store, in batches: each key's newest row up to a moment.

Feast's own `materialize` reads a view's whole table into memory. Here a batch of rows is read,
reduced to the newest row of each key and written, so that memory is bounded by the batch and the
row group of the file that it comes from. Batches come in the order of the table, in which the rows
of a key follow each other in time, so what is written last is newest.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from filelock import FileLock

from slipway.datasets import DatasetUnavailable
from slipway.features import definitions, offline, places
from slipway.features.marks import Mark
from slipway.features.online_stores import Opened, faults, open_sqlite, open_store
from slipway.features.tables import TIME

if TYPE_CHECKING:
    from feast import FeatureView

BATCH_ROWS = 5_000
# Filling waits longer than a look-up may.
TIMEOUT_SECONDS = 30.0


def materialize(
    *,
    until: datetime | None = None,
    views: Iterable[str] | None = None,
    anew: bool = False,
    batch_rows: int = BATCH_ROWS,
) -> list[Mark]:
    """Write the rows stamped up to `until` that are not there yet; a mark a view.

    Without `until` all rows are written, and the store's clock begins at the newest. A view whose
    definition changed is emptied first; `anew` does so in any case. One at a time: a second
    materialization waits for the first. A data set that cannot be had holds up its own views only.

    Raises:
        KeyError: there is no such view.
        ValueError: the store is already further than `until`, or `until` has no time zone.
        slipway.datasets.DatasetUnavailable: a table could not be built; the other views are done.
        StoreUnreachable: the online store fell away; what was written stays, the mark does not.
    """
    if until is not None and until.tzinfo is None:
        raise ValueError(f"until must have a time zone, got {until.isoformat()}")
    known = definitions.load()
    chosen = [known.view(name) for name in views] if views else list(known.views.values())
    places.store().mkdir(parents=True, exist_ok=True)
    with FileLock(places.store() / "materialize.lock"), faults():
        opened = _opened()
        try:
            return _all(chosen, opened, until, anew, batch_rows)
        finally:
            opened.close()


def _all(
    views: "list[FeatureView]",
    opened: Opened,
    until: datetime | None,
    anew: bool,
    batch_rows: int,
) -> list[Mark]:
    marks: list[Mark] = []
    missing: dict[str, DatasetUnavailable] = {}
    for view in views:
        table = definitions.table_of(view).name
        if table in missing:
            continue
        try:
            marks.append(_one(view, opened, until, anew, batch_rows))
        except DatasetUnavailable as error:
            missing[table] = error
    if missing:
        done = ", ".join(mark.view for mark in marks) or "none"
        raise DatasetUnavailable("\n".join(map(str, missing.values())) + f"\nFilled: {done}")
    return marks


def _opened() -> Opened:
    if places.redis_url():
        return open_store(timeout=TIMEOUT_SECONDS)
    opened = open_sqlite(places.online_file(), TIMEOUT_SECONDS)
    # Readers go on reading while a batch is written.
    opened.feast._get_conn(opened.config).execute("PRAGMA journal_mode = WAL")  # type: ignore[attr-defined]
    return opened


def _one(
    view: "FeatureView", opened: Opened, until: datetime | None, anew: bool, batch_rows: int
) -> Mark:
    table = definitions.table_of(view)
    rows = ds.dataset(offline.build(table.name))
    newest = _newest(rows)
    end = until or newest
    before = opened.marks.read().get(view.name)
    definition = definitions.fingerprint(view)
    if anew or before is None or before.definition != definition:
        _empty(view, opened)
        before = None
    elif end < before.until:
        raise ValueError(
            f"{view.name}: the store is at {before.until.isoformat()} and does not go back to "
            f"{end.isoformat()}; empty it first (--anew)"
        )
    written, last = (before.rows, before.newest) if before else (0, None)
    for batch in _batches(view, rows, before.until if before else None, end, batch_rows):
        last = max(filter(None, [last, _write(view, batch, opened)]))
        written += batch.num_rows
    mark = Mark(view.name, definition, end, datetime.now(UTC), written, last)
    opened.marks.write(mark)
    return mark


def _newest(rows: ds.Dataset) -> datetime:
    """The last stamp in the table, read a batch at a time."""
    batches = _in_step(rows, [TIME], None, BATCH_ROWS)
    newest: datetime = max(pc.max(batch.column(TIME)).as_py() for batch in batches)
    return newest


def _in_step(
    rows: ds.Dataset, columns: list[str], wanted: pc.Expression | None, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Row groups one by one, each read when it is asked for.

    A scan of the whole runs ahead of whoever writes its batches, whatever it is told of reading
    ahead: with 10 ms a batch 66 of 104 MB lay in memory.
    """
    for file in rows.get_fragments(filter=wanted):
        for group in file.split_by_row_group(filter=wanted):
            found = group.to_table(rows.schema, columns=columns, filter=wanted)
            if found.num_rows:
                yield from found.to_batches(max_chunksize=batch_rows)


def _empty(view: "FeatureView", opened: Opened) -> None:
    """Take the view out of the store, and have a place for it."""
    opened.marks.remove(view.name)
    for gone, kept in (([view], []), ([], [view])):
        opened.feast.update(opened.config, gone, kept, [], [], partial=True)


def _batches(
    view: "FeatureView",
    rows: ds.Dataset,
    since: datetime | None,
    until: datetime,
    batch_rows: int,
) -> Iterator[pa.Table]:
    """The rows with `since` < stamp <= `until`, of each batch only each key's last."""
    columns = [field.name for field in (*view.entity_columns, *view.features)]
    wanted = pc.field(TIME) <= pa.scalar(until)
    if since is not None:
        wanted &= pc.field(TIME) > pa.scalar(since)
    key = view.entity_columns[0].name
    for batch in _in_step(rows, [*columns, TIME], wanted, batch_rows):
        keys = batch.column(key)
        is_last = pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1))
        last = pa.concat_arrays([is_last, pa.array([True])])
        yield pa.Table.from_batches([batch.filter(last)])


def _write(view: "FeatureView", table: pa.Table, opened: Opened) -> datetime:
    """Write the rows; the newest stamp among them."""
    from feast.utils import _convert_arrow_to_proto

    keys = {field.name: field.dtype.to_value_type() for field in view.entity_columns}
    rows = _convert_arrow_to_proto(table.combine_chunks(), view, keys)
    opened.feast.online_write_batch(opened.config, view, rows, None)
    newest: datetime = pc.max(table.column(TIME)).as_py()
    return newest

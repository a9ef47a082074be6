"""Scores a file in parts, so that a stopped run can be resumed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.predict.batch.batch_size import BATCH_ROWS, MEDIA_ROWS
from services.predict.batch.formats import (
    BadTable,
    SourceFormat,
    TableFormat,
    source_format,
    target_format,
)
from services.predict.batch.join import join_parts
from services.predict.batch.progress import Meter, Progress
from services.predict.batch.results import PartWriter, ResultSchema, count_rows
from services.predict.batch.sources import open_source
from services.predict.batch.tables import LONGEST_REASON, Batch, RowError, Table
from slipway.contract.model import Model, forget
from slipway.contract.record import Record
from slipway.contract.serving import carries_media
from slipway.contract.shipped import Shipped
from slipway.files import replace_text
from slipway.registry.digest import digest

MANIFEST = "manifest.json"
# At most this many rows are scored again after a stop; a row with media takes much longer.
ROWS_PER_PART, MEDIA_ROWS_PER_PART = 10_000, 256


class WorkFolderMismatch(Exception):
    """Raised when the work folder belongs to another source, model or setting."""


class SourceChanged(Exception):
    """Raised when the source was modified while it was scored."""


class WorkFolderBusy(Exception):
    """Raised when another process is using the work folder."""


class Manifest(BaseModel):
    """The source, model and settings of the parts in a work folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_bytes: int = Field(ge=0)
    source_modified: int = Field(description="Unix nanoseconds")
    format: SourceFormat
    version: str
    digest: str
    rows_per_part: int = Field(ge=1)
    keep: list[str]


@dataclass(frozen=True)
class Summary:
    """The outcome of a run."""

    rows: int
    bad: int
    parts: int
    resumed_rows: int
    """Rows scored by earlier runs, and not again."""
    seconds: float
    """Duration of this run."""
    rows_per_second: float


def score(
    *,
    shipped: Shipped,
    version: str,
    source: Path,
    target: Path,
    work: Path,
    rows: TableFormat = "jsonl",
    rows_per_part: int | None = None,
    keep: Sequence[str] = (),
    on_progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Score every row of `source` into `target`; the suffixes decide the formats.

    A source may be a folder or an archive: its table, or each of its files as a row. A target that
    is an archive has a table in the format `rows`, and predicted media as files.

    Verify the digest of `shipped` before: this runs its code. The parts stay in `work`; a second
    call with the same source, model and settings does not score them again. A row that is not a
    valid record, or on which the model fails, gets an `error` and no prediction.

    Raises:
        BadTable: the columns do not match the model, or the file or archive is damaged or hostile.
        WorkFolderMismatch: `work` holds parts of another source, model or setting.
        SourceChanged: the source was modified meanwhile.
        WorkFolderBusy: another process is using `work`.
        FileNotFoundError: the source or the target's folder does not exist.
        Exception: raised while the model loads.
    """
    _check_paths(source, target)
    work.mkdir(exist_ok=True)
    media = shipped.serving.media or source_format(source) in ("folder", "zip", "tar")
    with _exclusive(work):
        manifest = Manifest(
            **_stamp(source),
            format=source_format(source),
            version=version,
            digest=digest(shipped.parts),
            rows_per_part=rows_per_part or (MEDIA_ROWS_PER_PART if media else ROWS_PER_PART),
            keep=list(keep),
        )
        done = _finished_parts(work, manifest)
        model = shipped.load()
        record, output = model.input_type(), model.output_type()
        batch_rows = MEDIA_ROWS if carries_media(record) or carries_media(output) else BATCH_ROWS
        try:
            with open_source(
                source, record=record, keep=keep, work=work, batch_rows=batch_rows
            ) as table:
                run = _Run(model, table, work, manifest, on_progress)
                run.resume(done)
                run.score(source)
            parts = (_part(work, number) for number in range(run.parts))
            join_parts(parts, target, run.results, rows)
            run.meter.bytes = table.bytes
            run.meter.publish()
        finally:
            forget(model)
    return run.summary()


class _Run:
    def __init__(
        self,
        model: Model,
        table: Table,
        work: Path,
        manifest: Manifest,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.model, self.table, self.work = model, table, work
        self.results = ResultSchema(table, model.output_type())
        self.manifest = manifest
        self.meter = Meter(work=work, bytes_total=table.bytes, on_progress=on_progress)
        self.parts = self.resumed = 0
        replace_text(work / MANIFEST, manifest.model_dump_json(indent=2))

    def resume(self, done: list[tuple[int, int]]) -> None:
        """Count the finished parts; `done` holds the rows of each and how many have an error."""
        self.parts = len(done)
        self.resumed = sum(rows for rows, _ in done)
        self.meter.rows, self.meter.bad = self.resumed, sum(bad for _, bad in done)

    def score(self, source: Path) -> None:
        every = self.manifest.rows_per_part
        # A short part is the last one.
        if self.resumed < self.parts * every:
            return
        writer: PartWriter | None = None
        rows = 0
        try:
            for batch in self.table.batches(start=self.resumed, every=every):
                if batch.first == self.resumed:
                    self._start_clock(batch)
                if writer is None:
                    writer = PartWriter(_part(self.work, self.parts), self.results.schema)
                bad = writer.add(self.results.batch(batch.kept, self._predict_valid(batch.records)))
                rows += len(batch.records)
                if rows == every:
                    self._finish(writer, source)
                    writer, rows = None, 0
                self.meter.advance(rows=len(batch.records), bad=bad, bytes=batch.position)
            if writer:
                self._finish(writer, source)
                writer = None
        finally:
            if writer:
                writer.abandon()

    def _start_clock(self, batch: Batch) -> None:
        """Restart the clock, so that skipping finished rows does not count for the speed."""
        meter = self.meter
        before = batch.position if self.resumed else 0
        meter.resume(rows=meter.rows, bad=meter.bad, bytes=before)

    def _finish(self, writer: PartWriter, source: Path) -> None:
        stamp = _stamp(source)
        if stamp != self.manifest.model_dump(include=set(stamp)):
            raise SourceChanged(f"{source.name} was modified while it was scored; start again")
        writer.finish()
        self.parts += 1

    def _predict_valid(self, records: list[Record | RowError]) -> list[Record | RowError]:
        valid = [each for each in records if isinstance(each, Record)]
        if not valid:
            return records
        try:
            predictions: list[Record | RowError] = list(self._predict(valid))
        except Exception:
            # One row may be the cause: the others must not fail with it.
            predictions = [self._predict_one(record) for record in valid]
        remaining = iter(predictions)
        return [next(remaining) if isinstance(each, Record) else each for each in records]

    def _predict_one(self, record: Record) -> Record | RowError:
        try:
            return self._predict([record])[0]
        except Exception as error:
            return RowError(f"predict: {type(error).__name__}: {error}"[:LONGEST_REASON])

    def _predict(self, records: list[Record]) -> list[Record]:
        predictions = self.model.predict(records)
        if len(predictions) != len(records):
            raise ValueError(f"returned {len(predictions)} predictions for {len(records)} records")
        expected = self.model.output_type()
        for each in predictions:
            if not isinstance(each, expected):
                raise TypeError(f"must return {expected.__name__}, got {type(each).__name__}")
        return predictions

    def summary(self) -> Summary:
        seconds = self.meter.seconds
        return Summary(
            rows=self.meter.rows,
            bad=self.meter.bad,
            parts=self.parts,
            resumed_rows=self.resumed,
            seconds=seconds,
            rows_per_second=(self.meter.rows - self.resumed) / seconds,
        )


def _check_paths(source: Path, target: Path) -> None:
    target_format(target)
    if not source.is_file() and not source.is_dir():
        raise FileNotFoundError(f"{source}: no such file or folder")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target.parent}: no such folder to write {target.name} into")
    if target.exists() and target.samefile(source):
        raise BadTable(f"{target.name}: is the source itself; name another target")
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise BadTable(f"{target.name}: is in the folder to score; name a target outside of it")


@contextmanager
def _exclusive(work: Path) -> Iterator[None]:
    try:
        with FileLock(work / "lock", timeout=0):
            yield
    except Timeout:
        raise WorkFolderBusy(
            f"{work} is in use by another process; wait until it has ended"
        ) from None


def _stamp(source: Path) -> dict[str, Any]:
    """Return the size and the time of the latest change, of a folder with all that is in it."""
    found = [source.stat(), *(each.stat() for each in source.rglob("*") if each.exists())]
    size = sum(each.st_size for each in found)
    return {"source_bytes": size, "source_modified": max(each.st_mtime_ns for each in found)}


def _part(work: Path, number: int) -> Path:
    return work / f"part-{number:05}.parquet"


def _finished_parts(work: Path, manifest: Manifest) -> list[tuple[int, int]]:
    """Return the rows, and those with an error, of each part before the first missing one."""
    done: list[tuple[int, int]] = []
    while (part := _part(work, len(done))).is_file():
        try:
            done.append(count_rows(part))
        except pa.ArrowInvalid:
            # The part is incomplete, as after a power loss.
            part.unlink()
            break
    if done:
        _check_same(work, manifest)
    # Parts after a gap may come from another source or model.
    for stray in set(work.glob("part-*")) - {_part(work, number) for number in range(len(done))}:
        stray.unlink()
    return done


def _check_same(work: Path, now: Manifest) -> None:
    try:
        earlier = Manifest.model_validate_json((work / MANIFEST).read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise WorkFolderMismatch(f"{work}: {MANIFEST} is missing or damaged; start over") from error
    differences = [
        f"{name} was {_shorten(was)}, is {_shorten(getattr(now, name))}"
        for name, was in earlier
        if was != getattr(now, name)
    ]
    if differences:
        raise WorkFolderMismatch(
            f"{work} belongs to a different run: {'; '.join(differences)}. "
            "Use the same source, model and settings, or start over"
        )


def _shorten(value: object) -> str:
    """Shorten a digest to its first characters."""
    text = str(value)
    return text[:12] if len(text) == 64 else text

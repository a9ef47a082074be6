"""A file scored in parts, so that whoever is stopped goes on where it was."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.contract.model import Model, forget
from slipway.contract.record import Record
from slipway.contract.shipped import Shipped
from slipway.files import replace_text
from slipway.registry.digest import digest
from slipway.scoring.answers import Answers, PartWriter, counted, join
from slipway.scoring.progress import Meter, Progress
from slipway.scoring.tables import (
    LONGEST_REASON,
    BadTable,
    Batch,
    Format,
    Refused,
    Table,
    format_of,
    open_table,
)

MANIFEST = "manifest.json"


class WorkDiffers(Exception):
    """The work that was begun is of another source, model or setting."""


class SourceChanged(Exception):
    """The source was written to while it was scored."""


class WorkTaken(Exception):
    """Another process scores in this work folder right now."""


class Manifest(BaseModel):
    """What the parts in a work folder were made from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_bytes: int = Field(ge=0)
    source_modified: int = Field(description="Unix nanoseconds")
    format: Format
    version: str
    digest: str
    rows_per_part: int = Field(ge=1)
    keep: list[str]


@dataclass(frozen=True)
class Summary:
    rows: int
    bad: int
    parts: int
    resumed_rows: int
    """Of earlier runs; not scored again."""
    seconds: float
    """Of this run."""
    rows_per_second: float


def score(
    *,
    shipped: Shipped,
    version: str,
    source: Path,
    target: Path,
    work: Path,
    rows_per_part: int = 10_000,
    keep: Sequence[str] = (),
    on_progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Score every row of `source` into `target`, both of the format of their suffix.

    Check the digest of `shipped` before: this runs its code. The parts in `work` are left there;
    called again with the same source, model and settings, those are not scored again. A row that
    is no record, or that the model fails on, gets an `error` and no answer.

    Raises:
        BadTable: the columns are not the model's, or the file is damaged.
        WorkDiffers: `work` holds parts of another source, model or setting.
        SourceChanged: the source was written to meanwhile.
        WorkTaken: another process scores in `work`.
        FileNotFoundError: there is no such source, or the target's folder is not there.
        Exception: whatever loading the model raises.
    """
    _check_places(source, target)
    work.mkdir(exist_ok=True)
    with _alone(work):
        manifest = Manifest(
            **_stamp(source),
            format=format_of(source),
            version=version,
            digest=digest(shipped.parts),
            rows_per_part=rows_per_part,
            keep=list(keep),
        )
        done = _finished(work, manifest)
        model = shipped.load()
        try:
            table = open_table(source, record=model.input_type(), keep=keep)
            run = _Run(model, table, work, manifest, on_progress)
            run.resume(done)
            run.score(source)
            join((_part(work, number) for number in range(run.parts)), target, run.answers.schema)
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
        self.answers = Answers(table, model.output_type())
        self.manifest = manifest
        self.meter = Meter(work=work, bytes_total=table.bytes, tell=on_progress)
        self.parts = self.resumed = 0
        replace_text(work / MANIFEST, manifest.model_dump_json(indent=2))

    def resume(self, done: list[tuple[int, int]]) -> None:
        """Rows and bad rows of the parts that are there."""
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
                    writer = PartWriter(_part(self.work, self.parts), self.answers.schema)
                bad = writer.add(self.answers.batch(batch.kept, self._answered(batch.records)))
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
        """Passing over rows that are done says nothing of the speed."""
        meter = self.meter
        before = batch.position if self.resumed else 0
        meter.resume(rows=meter.rows, bad=meter.bad, bytes=before)

    def _finish(self, writer: PartWriter, source: Path) -> None:
        stamp = _stamp(source)
        if stamp != self.manifest.model_dump(include=set(stamp)):
            raise SourceChanged(f"{source.name} was written to while it was scored; start again")
        writer.finish()
        self.parts += 1

    def _answered(self, records: list[Record | Refused]) -> list[Record | Refused]:
        asked = [each for each in records if isinstance(each, Record)]
        if not asked:
            return records
        try:
            answers: list[Record | Refused] = list(self._predict(asked))
        except Exception:
            # One row may be to blame: it is not to take the others with it.
            answers = [self._one(record) for record in asked]
        ready = iter(answers)
        return [next(ready) if isinstance(each, Record) else each for each in records]

    def _one(self, record: Record) -> Record | Refused:
        try:
            return self._predict([record])[0]
        except Exception as error:
            return Refused(f"predict: {type(error).__name__}: {error}"[:LONGEST_REASON])

    def _predict(self, records: list[Record]) -> list[Record]:
        answers = self.model.predict(records)
        if len(answers) != len(records):
            raise ValueError(f"gave {len(answers)} answers for {len(records)} records")
        wanted = self.model.output_type()
        for each in answers:
            if not isinstance(each, wanted):
                raise TypeError(f"must answer {wanted.__name__}, got {type(each).__name__}")
        return answers

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


def _check_places(source: Path, target: Path) -> None:
    format_of(target)
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such file")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target.parent}: no such folder to write {target.name} into")
    if target.exists() and target.samefile(source):
        raise BadTable(f"{target.name}: is the source itself; name another target")


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    try:
        with FileLock(work / "lock", timeout=0):
            yield
    except Timeout:
        raise WorkTaken(f"{work}: another process is at work there; wait for it") from None


def _stamp(source: Path) -> dict[str, Any]:
    about = source.stat()
    return {"source_bytes": about.st_size, "source_modified": about.st_mtime_ns}


def _part(work: Path, number: int) -> Path:
    return work / f"part-{number:05}.parquet"


def _finished(work: Path, manifest: Manifest) -> list[tuple[int, int]]:
    """Rows and bad rows of each part that is there, up to the first that is missing."""
    done: list[tuple[int, int]] = []
    while (part := _part(work, len(done))).is_file():
        try:
            done.append(counted(part))
        except pa.ArrowInvalid:
            # Its bytes never reached the disk, or not for long.
            part.unlink()
            break
    if done:
        _check_same(work, manifest)
    # After a gap nothing says what they were made from.
    for stray in set(work.glob("part-*")) - {_part(work, number) for number in range(len(done))}:
        stray.unlink()
    return done


def _check_same(work: Path, now: Manifest) -> None:
    try:
        begun = Manifest.model_validate_json((work / MANIFEST).read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise WorkDiffers(f"{work}: {MANIFEST} is missing or damaged; start afresh") from error
    differences = [
        f"{name} was {_shown(was)}, is {_shown(getattr(now, name))}"
        for name, was in begun
        if was != getattr(now, name)
    ]
    if differences:
        raise WorkDiffers(
            f"{work} was begun otherwise: {'; '.join(differences)}. "
            "Go on with what it was begun with, or start afresh"
        )


def _shown(value: object) -> str:
    """A digest is told by its first characters."""
    text = str(value)
    return text[:12] if len(text) == 64 else text

"""Opens what is scored: a table, or a folder or an archive of files, with or without a table."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.predict.batch.batch_size import BATCH_ROWS
from services.predict.batch.entries import BadArchive
from services.predict.batch.file_names import FileNames
from services.predict.batch.file_table import FileTable
from services.predict.batch.formats import (
    BadTable,
    SourceFormat,
    is_table,
    source_format,
)
from services.predict.batch.media_files import DamagedFile, FolderFiles, MediaFiles
from services.predict.batch.parquet_table import ParquetTable
from services.predict.batch.tables import Table
from services.predict.batch.tar_files import TarFiles
from services.predict.batch.text_tables import CsvTable, JsonLinesTable
from services.predict.batch.zip_files import ZipFiles
from slipway.contract.record import Record

_TABLES: dict[SourceFormat, type[Table]] = {
    "csv": CsvTable,
    "parquet": ParquetTable,
    "jsonl": JsonLinesTable,
}


@contextmanager
def open_source(
    source: Path,
    *,
    record: type[Record],
    keep: Sequence[str] = (),
    work: Path,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[Table]:
    """Open the rows of a source. What must be unpacked lies in the folder `work`.

    A folder or an archive with one table has the rows of the table, whose cells may name the files;
    without a table, each file is a row.

    Raises:
        BadTable: the rows do not fit the record, or a column to keep is missing.
        BadArchive: the archive is hostile, damaged or too large.
    """
    kind = source_format(source)
    if kind in _TABLES:
        yield _TABLES[kind](source, record=record, keep=keep, batch_rows=batch_rows)
        return
    files = _open_files(source, kind, work)
    try:
        tables = [path for path in files.sizes if is_table(path)]
        if len(tables) > 1:
            named = ", ".join(tables[:3])
            raise BadTable(f"{source.name}: holds several tables ({named}); leave one of them")
        if tables:
            file = _extract(source, files, tables[0], work)
            yield _TABLES[source_format(file)](
                file,
                record=record,
                keep=keep,
                names=FileNames(files, record, tables[0]),
                batch_rows=batch_rows,
            )
        else:
            yield FileTable(source, record=record, keep=keep, files=files, batch_rows=batch_rows)
    finally:
        files.close()


def _open_files(source: Path, kind: SourceFormat, work: Path) -> MediaFiles:
    opened: dict[SourceFormat, Callable[[], MediaFiles]] = {
        "folder": lambda: FolderFiles(source),
        "zip": lambda: ZipFiles(source),
        "tar": lambda: TarFiles(source, work),
    }
    try:
        return opened[kind]()
    except BadArchive as error:
        raise BadArchive(f"{source.name}: {error}") from error.__cause__


def _extract(source: Path, files: MediaFiles, path: str, work: Path) -> Path:
    """Copy the table out of the source, under a name that the source does not choose."""
    target = work / f"rows{Path(path).suffix}"
    try:
        with target.open("wb") as out:
            for chunk in files.chunks(path):
                out.write(chunk)
    except DamagedFile as error:
        raise BadTable(f"{source.name}: {path} {error}") from error
    return target

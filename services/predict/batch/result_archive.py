"""Writes joined results to a ZIP archive: a table, and the predicted media as files beside it."""

import mimetypes
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from services.predict.batch.columns import is_media
from services.predict.batch.formats import TableFormat
from services.predict.batch.targets import TABLE_TARGETS, Target
from slipway.media import Media

TABLE_NAME = "predictions"
# Python's table lacks these, or the machine's has another one.
_SUFFIXES = {
    "audio/wav": ".wav",
    "audio/x-wav": ".wav",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "model/gltf-binary": ".glb",
    "video/webm": ".webm",
}
_READABLE = 0o644 << 16


class ResultArchive(Target):
    """`predictions.jsonl`, and `page/000001.png` for the field `page` of the first row.

    The table has the names of the files in the place of the media.
    """

    def __init__(
        self, file: Path, schema: Any, media: Mapping[str, Media], rows: TableFormat
    ) -> None:
        super().__init__(file, schema)
        self._media = {each.name: media[each.name] for each in schema if is_media(each)}
        self._table = file.with_name(f"{file.name}.rows")
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)
        self._rows = TABLE_TARGETS[rows](self._table, pa.schema(map(_named, schema)))
        self._format, self._count = rows, 0

    def add(self, table: Any) -> None:
        for place, field in enumerate(self.schema):
            if is_media(field):
                named = _named(field)
                names = [
                    self._store(field.name, self._count + number, value)
                    for number, value in enumerate(table[field.name].to_pylist(), start=1)
                ]
                table = table.set_column(place, named, pa.array(names, named.type))
        self._count += table.num_rows
        self._rows.add(table)

    def close(self) -> None:
        try:
            self._rows.close()
            entry = _entry(f"{TABLE_NAME}.{self._format}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with (
                self._table.open("rb") as rows,
                self._archive.open(entry, "w", force_zip64=True) as out,
            ):
                shutil.copyfileobj(rows, out, 2**20)
        finally:
            self._archive.close()
            self._table.unlink(missing_ok=True)

    def _store(self, field: str, row: int, value: Any) -> str | list[str] | None:
        """Write the media of one cell; return their names."""
        name = f"{field}/{row:06}"
        if isinstance(value, list):
            return [
                self._write(f"{name}-{number}", field, each)
                for number, each in enumerate(value, start=1)
            ]
        return None if value is None else self._write(name, field, value)

    def _write(self, name: str, field: str, content: bytes) -> str:
        name += _suffix(self._media[field], content)
        self._archive.writestr(_entry(name), content)
        return name


def _named(field: Any) -> Any:
    """Return the column with names in the place of media."""
    if not is_media(field):
        return field
    kind = pa.list_(pa.string()) if pa.types.is_list(field.type) else pa.string()
    return pa.field(field.name, kind)


def _suffix(mark: Media, content: bytes) -> str:
    try:
        kind = mark.media_type_of(content)
    except ValueError:  # a model may make a prediction without its checks
        kind = mark.media_types[0]
    return _SUFFIXES.get(kind) or mimetypes.guess_extension(kind) or ".bin"


def _entry(name: str) -> zipfile.ZipInfo:
    """Return an entry without the time, so that the same results are the same bytes."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = _READABLE
    return entry

"""The files of a ZIP archive, read where they are."""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.predict.batch.entries import BadArchive, Entries, MeteredFile, is_scored, shown
from services.predict.batch.media_files import CHUNK_BYTES, DamagedFile, MediaFiles

# The directory at the end of the archive, which is read at once: 50,000 entries of 300 bytes.
DIRECTORY_BYTES = 16 * 2**20
UTF8, ENCRYPTED = 0x800, 0x1
# The other methods unpack a block at once, whatever its size.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError),
)


class ZipFiles(MediaFiles):
    """The files of a ZIP archive. All entries are checked before one is read.

    Raises:
        BadArchive: an entry is hostile, or the directory of the archive is damaged.
    """

    def __init__(self, file: Path) -> None:
        packed = file.stat().st_size
        self._stream = MeteredFile(file.open("rb"), bytes=packed, allowed=DIRECTORY_BYTES)
        try:
            self._archive = _open(self._stream)
            self._infos = _list(self._archive, packed)
        except BaseException:
            self._stream.close()
            raise
        self.sizes = {path: info.file_size for path, info in self._infos.items()}

    def chunks(self, path: str) -> Iterator[bytes]:
        try:
            self._stream.allow(DIRECTORY_BYTES)
            with self._archive.open(self._infos[path]) as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    self._stream.allow(DIRECTORY_BYTES)
                    yield chunk
        except _DAMAGES as error:
            raise DamagedFile("is damaged in the archive") from error

    def close(self) -> None:
        self._archive.close()
        self._stream.close()


def _open(stream: MeteredFile) -> zipfile.ZipFile:
    reader: Any = stream
    try:
        return zipfile.ZipFile(reader)
    except UnicodeDecodeError:
        raise BadArchive("a name in it is not UTF-8") from None
    except BadArchive:
        raise
    except _DAMAGES as error:
        raise BadArchive(f"is not a ZIP archive, or is damaged: {error}") from error


def _list(archive: zipfile.ZipFile, packed: int) -> dict[str, zipfile.ZipInfo]:
    entries = Entries(packed)
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        path = entries.check(_name(info), info.file_size)
        _check_kind(info)
        if not info.is_dir() and is_scored(path):
            found[path] = info
    return found


def _name(info: zipfile.ZipInfo) -> str:
    """Return the whole name; macOS writes UTF-8 without saying so."""
    name = info.orig_filename
    if info.flag_bits & UTF8:
        return name
    return name.encode("cp437").decode("utf-8", "surrogateescape")


def _check_kind(info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BadArchive(f"{shown(info.filename)} is neither a file nor a folder")
    if info.flag_bits & ENCRYPTED:
        raise BadArchive(f"{shown(info.filename)} is encrypted")
    if info.compress_type not in METHODS:
        raise BadArchive(f"{shown(info.filename)} is compressed by another method than deflate")

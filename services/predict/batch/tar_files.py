"""The files of a tar archive, read where they are; a compressed one is unpacked to a tar before."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.predict.batch.entries import (
    BadArchive,
    Entries,
    MeteredFile,
    check_unpacked,
    is_scored,
    shown,
)
from services.predict.batch.media_files import CHUNK_BYTES, DamagedFile, MediaFiles

GZIP = b"\x1f\x8b"
# The headers of one entry, with a long name and extended attributes.
HEADER_BYTES = 2**20

_DAMAGES = (
    *(tarfile.TarError, EOFError, OSError),
    *(OverflowError, RecursionError, ValueError),
)


class TarFiles(MediaFiles):
    """The files of a tar archive. All entries are checked before one is read.

    A compressed archive is unpacked to `work/unpacked.tar`, since it cannot be read in any order.

    Raises:
        BadArchive: an entry is hostile, or the archive is damaged.
    """

    def __init__(self, file: Path, work: Path) -> None:
        packed = file.stat().st_size
        with file.open("rb") as stream:
            compressed = stream.read(2) == GZIP
        tar = _unpack(file, work / "unpacked.tar") if compressed else file
        self._offsets: dict[str, int] = {}
        self.sizes = {}
        for path, offset, size in _list(tar, packed):
            self._offsets[path], self.sizes[path] = offset, size
        self._stream = tar.open("rb")

    def chunks(self, path: str) -> Iterator[bytes]:
        left = self.sizes[path]
        self._stream.seek(self._offsets[path])
        while left:
            chunk = self._stream.read(min(left, CHUNK_BYTES))
            if not chunk:
                raise DamagedFile("is cut off")
            left -= len(chunk)
            yield chunk

    def close(self) -> None:
        self._stream.close()


def _unpack(file: Path, target: Path) -> Path:
    """Decompress the archive within the limits; nothing in it is interpreted."""
    packed, unpacked = file.stat().st_size, 0
    try:
        with gzip.open(file, "rb") as stream, target.open("wb") as out:
            while chunk := stream.read(CHUNK_BYTES):
                unpacked += len(chunk)
                check_unpacked(unpacked, packed)
                out.write(chunk)
    except BadArchive:
        target.unlink(missing_ok=True)
        raise
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadArchive(f"is damaged: {error}") from error
    return target


def _list(file: Path, packed: int) -> Iterator[tuple[str, int, int]]:
    """Yield path, place and size of each file to score."""
    total = file.stat().st_size
    entries = Entries(max(packed, 1))
    with file.open("rb") as raw:
        stream = MeteredFile(raw, bytes=total, allowed=HEADER_BYTES)
        end = 0
        for member in _members(stream):
            path = entries.check(member.name, max(member.size, 0))
            _check_kind(member)
            if member.offset_data <= end or member.offset_data + member.size > total:
                raise BadArchive(f"is damaged or cut off at {shown(member.name)}")
            end = member.offset_data
            if member.isreg() and is_scored(path):
                yield path, member.offset_data, member.size


def _members(stream: MeteredFile) -> Iterator[tarfile.TarInfo]:
    reader: Any = stream
    try:
        with tarfile.open(
            fileobj=reader, mode="r:", encoding="utf-8", errors="surrogateescape"
        ) as archive:
            while member := archive.next():
                # The list of members is of no use here.
                archive.members.clear()  # type: ignore[attr-defined]
                yield member
                stream.allow(HEADER_BYTES)
            _check_end(stream, archive.offset)
    except BadArchive:
        raise
    except (
        tarfile.TarError,
        EOFError,
        OverflowError,
        RecursionError,
        OSError,
        ValueError,
    ) as error:
        raise BadArchive(f"is not a tar archive, or is damaged: {error}") from error


def _check_end(stream: MeteredFile, offset: int) -> None:
    """Raise BadArchive unless the archive ends here: tarfile takes damaged headers for the end."""
    stream.allow(HEADER_BYTES)
    stream.seek(offset)
    if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise BadArchive(f"is damaged after {offset:,} bytes")


def _check_kind(member: tarfile.TarInfo) -> None:
    if not (member.isreg() or member.isdir()) or member.issparse() or member.size < 0:
        raise BadArchive(f"{shown(member.name)} is neither a file nor a folder")

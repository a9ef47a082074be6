"""The entries of an archive from an untrusted source: their names, their number and their size."""

from pathlib import PurePosixPath
from typing import BinaryIO

from services.predict.batch.formats import BadTable

MOST_ENTRIES = 50_000
MOST_BYTES = 64 * 2**30
# Pictures and sound hardly compress. Content of less than 64 MiB does no harm however it is packed.
MOST_RATIO, HARMLESS_BYTES = 100, 64 * 2**20
LONGEST_NAME = 1024
LONGEST_SHOWN = 80
# What macOS and Windows put beside the files of a folder.
_CLUTTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


class BadArchive(BadTable):
    """Raised when an archive is hostile, damaged or too large; none of its files is scored."""


class Entries:
    """Checks the entries of an archive while they are listed."""

    def __init__(self, packed: int) -> None:
        self._packed = packed
        self._names: set[str] = set()
        self._bytes = 0

    def check(self, name: str, size: int) -> str:
        """Return the entry's path, in its shortest form.

        Raises:
            BadArchive: the name is not a path inside the archive, or occurred before; or the
                archive holds too many entries or too many bytes.
        """
        path = check_name(name)
        if path in self._names:
            raise BadArchive(f"holds {shown(name)} twice")
        self._names.add(path)
        if len(self._names) > MOST_ENTRIES:
            raise BadArchive(
                f"holds over {MOST_ENTRIES:,} entries; divide it into several archives"
            )
        self._bytes += size
        check_unpacked(self._bytes, self._packed)
        return path


def check_name(name: str) -> str:
    """Return the path in its shortest form: `photos/1.png` for `./photos//1.png`.

    Raises:
        BadArchive: it is absolute, holds `..`, a backslash or a control character, or is not UTF-8.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise BadArchive(f"the name {shown(name)} is not UTF-8") from None
    if size > LONGEST_NAME:
        raise BadArchive(f"the name {shown(name)} is longer than {LONGEST_NAME:,} bytes")
    path = PurePosixPath(name)
    drive = name[1:2] == ":"
    if path.is_absolute() or drive or ".." in path.parts or "\\" in name or not path.parts:
        raise BadArchive(f"{shown(name)} is not a path inside the archive")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise BadArchive(f"the name {shown(name)} holds a control character")
    return str(path)


def check_unpacked(unpacked: int, packed: int) -> None:
    """Raise BadArchive if the content is too large, or a decompression bomb."""
    if unpacked > MOST_BYTES:
        raise BadArchive(f"unpacks to over {MOST_BYTES // 2**30} GiB; divide it into several")
    if unpacked > HARMLESS_BYTES and unpacked > MOST_RATIO * packed:
        raise BadArchive(
            f"unpacks to over {MOST_RATIO} times its {packed:,} bytes: it is a decompression bomb"
        )


def is_scored(path: str) -> bool:
    """Return whether a file counts; hidden files and clutter of desktops do not."""
    return not any(part.startswith(".") or part in _CLUTTER for part in path.split("/"))


def shown(name: str) -> str:
    """Return the name in quotes as it can be shown: in ASCII, and not too long."""
    text = ascii(name)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}...'"


class MeteredFile:
    """A file of which a bounded number of bytes can be read until `allow` is called again.

    The readers of zip and tar believe lengths in the archive's headers and would take as much
    memory as these say.
    """

    def __init__(self, stream: BinaryIO, *, bytes: int, allowed: int) -> None:
        self._stream, self._bytes, self._left = stream, bytes, allowed

    def allow(self, bytes: int) -> None:
        """Allow as many bytes from now on."""
        self._left = bytes

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            size = max(self._bytes - self.tell(), 0)
        if size > self._left:
            raise BadArchive("has headers that are too long")
        self._left -= size
        return self._stream.read(size)

    def seek(self, place: int, whence: int = 0) -> int:
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._stream.close()

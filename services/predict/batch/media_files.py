"""Files that rows name, in a folder or in an archive; archives are never unpacked into files."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from services.predict.batch.entries import BadArchive, check_name, is_scored

CHUNK_BYTES = 2**20


class DamagedFile(Exception):
    """Raised when a single file of an archive cannot be read."""


class MediaFiles(ABC):
    """Files by their paths, with `/` between folders, in the order in which they are scored."""

    sizes: dict[str, int]
    """Bytes of each file, unpacked."""

    @abstractmethod
    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield the content of a file in pieces, never more than its size.

        Raises:
            DamagedFile: it cannot be read.
        """

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            DamagedFile: it cannot be read.
        """
        return b"".join(self.chunks(path))

    @abstractmethod
    def close(self) -> None:
        """Close the archive."""


class FolderFiles(MediaFiles):
    """The files in a folder and the folders in it; hidden ones are left out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.sizes = {path: (folder / path).stat().st_size for path in sorted(_walk(folder))}

    def chunks(self, path: str) -> Iterator[bytes]:
        left = self.sizes[path]
        try:
            with (self._folder / path).open("rb") as stream:
                while left and (chunk := stream.read(min(left, CHUNK_BYTES))):
                    left -= len(chunk)
                    yield chunk
        except OSError as error:
            raise DamagedFile(f"cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Do nothing: no file of the folder stays open."""


def _walk(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        for name in names:
            file = Path(place, name)
            path = file.relative_to(folder).as_posix()
            if is_scored(path) and file.is_file():
                try:
                    yield check_name(path)
                except BadArchive as error:
                    raise BadArchive(f"{folder.name}: {error}") from None

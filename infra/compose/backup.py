"""`python -m infra.compose.backup > FILE`: write the running stack's state as one archive.

The database is dumped first. A model version is written to the database after its files, so every
version in the dump has its files in the archive; files of later versions do no harm.
"""

import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from infra.compose import contents


def main() -> int:
    if sys.stdout.isatty():
        print("backup: redirect the output to a file: ... backup > backup.tar.gz", file=sys.stderr)
        return 2
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|gz") as archive:
        _add_text(archive, contents.ABOUT, json.dumps(about()))
        with tempfile.TemporaryFile() as dump:
            write_database(dump)
            _add(archive, tarfile.TarInfo(contents.DATABASE), dump)
        count = sum(add_volume(archive, name) for name in contents.NAMES)
    print(f"backup: the database and {count} files", file=sys.stderr)
    return 0


def about() -> dict[str, object]:
    return {"form": contents.FORM, "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def write_database(dump: IO[bytes]) -> None:
    """Write the database dump. Raises CalledProcessError: pg_dump failed, and printed why."""
    address, password = contents.password_free(os.environ["MLFLOW_BACKEND_STORE_URI"])
    command = ["pg_dump", "--format=custom", "--no-owner", "--dbname", address]
    subprocess.run(command, check=True, stdout=dump, env={**os.environ, "PGPASSWORD": password})


def add_volume(archive: tarfile.TarFile, name: str) -> int:
    """Add a volume's files and return their number."""
    root, count = contents.HERE / name, 0
    for file in files(root, name):
        member = f"{contents.VOLUMES}/{name}/{file.relative_to(root)}"
        try:
            added = _add_sqlite if _is_sqlite(file) else _add_file
            added(archive, member, file)
            count += 1
        except FileNotFoundError:
            # Deleted since it was listed: past its retention, or merged into another file.
            continue
    return count


def files(root: Path, name: str) -> Iterator[Path]:
    """Yield the files that belong into a backup, in order."""
    for folder, below, found in os.walk(root):
        place = Path(folder)
        below[:] = sorted(
            each
            for each in below
            if f"{name}/{(place / each).relative_to(root)}" not in contents.LEFT_OUT
        )
        for each in sorted(found):
            file = place / each
            if file.is_file() and not file.is_symlink() and not each.endswith(contents.SQLITE_OWN):
                yield file


def _is_sqlite(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(contents.SQLITE)) == contents.SQLITE


def _add_sqlite(archive: tarfile.TarFile, member: str, file: Path) -> None:
    """Add a consistent snapshot of the database, while others may write to it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"
        source = sqlite3.connect(file, timeout=10)
        target = sqlite3.connect(copy)
        try:
            source.backup(target)
        finally:
            target.close()
            source.close()
        copy.chmod(file.stat().st_mode & 0o777)
        _add_file(archive, member, copy)


def _add_file(archive: tarfile.TarFile, member: str, file: Path) -> None:
    with file.open("rb") as stream:
        info = archive.gettarinfo(arcname=member, fileobj=stream)
        archive.addfile(info, _Padded(stream))


def _add_text(archive: tarfile.TarFile, member: str, text: str) -> None:
    _add(archive, tarfile.TarInfo(member), io.BytesIO(text.encode()))


def _add(archive: tarfile.TarFile, info: tarfile.TarInfo, stream: IO[bytes]) -> None:
    info.size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    archive.addfile(info, stream)


class _Padded(io.RawIOBase):
    """A file that may shrink while it is read: the archive's header states its first length."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        got = self._stream.read(size)
        return got + bytes(size - len(got)) if size >= 0 else got


if __name__ == "__main__":
    sys.exit(main())

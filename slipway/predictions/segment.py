"""The file of the log that is being written: preallocated, mapped, locked until its writer exits.

Records are JSON lines; unused bytes are zeros. The kernel owns the pages, so a writer that is
killed loses nothing. Everything here may wait for the disk, so the log's own thread calls it; only
the log itself puts records into the mapping.

Names: `<name>.jsonl.open` while written, `<name>.jsonl` when closed, `<name>.parquet` when
compacted; `<name>` is 8 random hexadecimal digits, so writers on many hosts can share a folder.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import secrets
from contextlib import suppress
from pathlib import Path

from slipway.fsync import fsync

NEW, OPEN, CLOSED, COMPACTED = ".jsonl.new", ".jsonl.open", ".jsonl", ".parquet"
BLOCK = 2**20
# Records hold what callers sent: only the services of one user or group read them.
MODE = 0o640

_MADV_POPULATE_WRITE = 23  # Linux 5.14; Python 3.11 has no name for it
# Not mmap.madvise and mmap.flush: in Python 3.11 these hold the interpreter's lock while they
# wait for the disk, and with it every request.
_madvise = ctypes.CDLL(None, use_errno=True).madvise
_madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Segment:
    """An open segment of `size` bytes.

    Raises:
        OSError: the disk is full, dead or read-only.
    """

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.size = folder, size
        self.name = _free_name(folder)
        new = self._path(NEW)
        # Locked and allocated before it gets the name by which others look for it.
        self._file = locked(new, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            # A full disk is an error here; without this call it would be a SIGBUS in the mapping.
            os.posix_fallocate(self._file, 0, size)
            new.rename(self._path(OPEN))
            fsync(folder)
            self._map = mmap.mmap(self._file, size)
        except OSError:
            os.close(self._file)
            for suffix in (NEW, OPEN):
                with suppress(OSError):
                    self._path(suffix).unlink()
            raise
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.number = int(self.name, 16)
        self.ready = 0
        """The pages up to this offset are in memory, so that writing them waits for nothing."""
        self.failed = False
        """The segment is to be closed as soon as possible."""
        self.used = 0
        self.records = 0
        self.lost = 0
        """Records that were written here and cannot be saved."""
        self._suspect = False

    def _path(self, suffix: str) -> Path:
        return self.folder / (self.name + suffix)

    def populate(self, start: int, end: int) -> None:
        """Bring the pages of these bytes into memory, so that writing them waits for nothing.

        Raises:
            OSError: the disk cannot provide them.
        """
        start -= start % mmap.PAGESIZE
        end = min(end, self.size)
        if start >= end:
            return
        if _madvise(self.address + start, end - start, _MADV_POPULATE_WRITE):
            code = ctypes.get_errno()
            if code != errno.EINVAL:
                self.failed = True
                raise OSError(code, os.strerror(code), str(self._path(OPEN)))
            end = self.size  # an older kernel: pages are loaded when they are first written
        self.ready = max(self.ready, end)

    def sync(self) -> None:
        """Flush to disk, so that what was written so far survives a power failure.

        Raises:
            OSError: the disk failed; the segment is then to be closed.
        """
        try:
            os.fdatasync(self._file)
        except OSError:
            self.failed = self._suspect = True
            raise

    def in_place(self) -> bool:
        """Return whether the folder still holds this file at its full size."""
        try:
            found, ours = os.stat(self._path(OPEN)), os.fstat(self._file)
        except OSError:
            return False
        same = (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)
        return same and found.st_size >= (self.used or self.size)

    def save(self) -> None:
        """Close the segment as `<name>.jsonl`, on disk. A failed attempt can be repeated.

        Raises:
            OSError: the disk is full, dead or read-only.
        """
        if os.fstat(self._file).st_size < self.used:
            self._keep_whole_lines()
        if not self.used:
            self.discard()
            return
        if self.in_place() and not self._suspect:
            self._close_in_place()
        else:
            self._copy()
        fsync(self.folder)
        self.release()

    def discard(self) -> None:
        """Delete and release a file without records."""
        if self.in_place():
            self._path(OPEN).unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Release the file and its lock, without any change to the file."""
        self._map.close()
        os.close(self._file)

    def _close_in_place(self) -> None:
        os.ftruncate(self._file, self.used)
        try:
            os.fsync(self._file)
        except OSError:
            # The kernel reports a failed write once: a second fsync would succeed.
            self._suspect = True
            raise
        self._path(OPEN).rename(self._path(CLOSED))

    def _copy(self) -> None:
        """Write a copy of the records: their file was removed, or the disk failed to write it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self._path(NEW)
        copy = locked(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            offset = 0
            while offset < self.used:
                part = os.pread(self._file, min(BLOCK, self.used - offset), offset)
                if not part:
                    raise OSError(errno.EIO, "cut short while it was copied", str(new))
                offset += os.write(copy, part)
            os.fsync(copy)
            new.rename(self._path(CLOSED))
            self._path(OPEN).unlink(missing_ok=True)
        finally:
            os.close(copy)

    def _keep_whole_lines(self) -> None:
        """Count the records that remain after the file was truncated by somebody else."""
        kept = end = offset = 0
        while part := os.pread(self._file, BLOCK, offset):
            kept += part.count(b"\n")
            end = offset + part.rfind(b"\n") + 1 if b"\n" in part else end
            offset += len(part)
        self.lost += self.records - kept
        self.used, self.records = end, kept


def _free_name(folder: Path) -> str:
    while True:
        name = f"{secrets.randbelow(2**32 - 1) + 1:08x}"
        if not any((folder / (name + each)).exists() for each in (OPEN, CLOSED, COMPACTED)):
            return name


def locked(path: Path, flags: int) -> int:
    """Open and lock a file; the lock lasts until the file is closed or the process dies.

    Raises:
        BlockingIOError: another process holds the lock.
        OSError: the disk is full, dead or read-only.
    """
    file = os.open(path, flags | os.O_CLOEXEC, MODE)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    return file

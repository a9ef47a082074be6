"""Replace files atomically: readers see the old or the new content, never a part of it."""

import glob
import os
import threading
from functools import partial
from pathlib import Path

import psutil

from slipway.fsync import fsync


def replace_text(file: Path, text: str, *, mode: int | None = None) -> None:
    """Replace the content of `file` atomically, also if the power fails in between.

    The new content is on disk when this returns. `mode` is the file's mode from its creation on.
    """
    new = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        with open(new, "w", encoding="utf-8", opener=partial(_open, mode)) as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
        fsync(file.parent)
    finally:
        new.unlink(missing_ok=True)
        _sweep(file)


def _open(mode: int | None, file: str, flags: int) -> int:
    """Open without access for others until `mode` is set, which the umask could only restrict."""
    handle = os.open(file, flags, 0o666 if mode is None else 0o600)
    if mode is not None:
        os.fchmod(handle, mode)
    return handle


def _sweep(file: Path) -> None:
    """Remove the temporary files of processes that were killed before they replaced `file`."""
    for left in file.parent.glob(f"{glob.escape(file.name)}.*-*.new"):
        process = left.name.split(".")[-2].partition("-")[0]
        if not psutil.pid_exists(int(process)):
            left.unlink(missing_ok=True)


def settle(new: Path, file: Path) -> None:
    """Flush the complete file `new` to disk and rename it to `file`."""
    fsync(new)
    new.replace(file)

"""Files that are there whole or not at all."""

import glob
import os
import threading
from functools import partial
from pathlib import Path

import psutil


def replace_text(file: Path, text: str, *, mode: int | None = None) -> None:
    """Readers see the text before or the new one, also when the power fails in between.

    The new one is on disk when this returns. `mode` is who may read it, from the first moment on.
    """
    new = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        with open(new, "w", encoding="utf-8", opener=partial(_opened, mode)) as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
        sync_folder(file.parent)
    finally:
        new.unlink(missing_ok=True)
        _sweep(file)


def _opened(mode: int | None, file: str, flags: int) -> int:
    """Opened by nobody else before it has its mode, which the umask would only take from."""
    handle = os.open(file, flags, 0o666 if mode is None else 0o600)
    if mode is not None:
        os.fchmod(handle, mode)
    return handle


def sync_folder(folder: Path) -> None:
    """A file's new name is on disk only with its folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(file: Path) -> None:
    """Remove what processes left that were killed between writing and replacing."""
    for left in file.parent.glob(f"{glob.escape(file.name)}.*-*.new"):
        process = left.name.split(".")[-2].partition("-")[0]
        if not psutil.pid_exists(int(process)):
            left.unlink(missing_ok=True)


def settle(new: Path, file: Path) -> None:
    """Give what was written as `new` its final name, once it is on disk."""
    with new.open("rb") as stream:
        os.fsync(stream.fileno())
    new.replace(file)

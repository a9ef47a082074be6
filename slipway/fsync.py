"""Flush files and folders to disk."""

import os
from pathlib import Path


def fsync(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk.

    A new or renamed file survives a power cut only after its folder is flushed, too.

    Raises:
        OSError: the path does not exist, or the disk failed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

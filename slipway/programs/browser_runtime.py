"""ONNX Runtime for browsers: three files of its npm package, unpacked into the cache.

The website runs models with it in the visitor's browser. The files are served by the model server,
so a page loads nothing from elsewhere. They take 14 MB, which is too much for this repository.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from slipway import paths

VERSION = "1.30.0"
FILES = {
    "ort.wasm.min.mjs": ("219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b"),
    "ort-wasm-simd-threaded.mjs": (
        "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b"
    ),
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
}


class RuntimeUnavailable(Exception):
    """Raised when the package cannot be fetched; the message says why."""


def folder() -> Path:
    """Return $SLIPWAY_BROWSER_RUNTIME or a folder of the cache; it may not exist."""
    if named := os.environ.get("SLIPWAY_BROWSER_RUNTIME"):
        return Path(named)
    return paths.cache() / "programs" / f"onnxruntime-web-{VERSION}"


def installed() -> bool:
    """Return whether every file is there."""
    return all((folder() / name).is_file() for name in FILES)


def fetch() -> Path:
    """Return the folder of the files; fetch the package the first time, in a few seconds.

    Raises:
        RuntimeUnavailable: npm cannot fetch it, or a file is not the known one.
    """
    from slipway.datasets.catalogue import Source
    from slipway.datasets.sources import SourceFault, obtain

    if installed():
        return folder()
    folder().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder().parent, prefix=".runtime-") as scratch:
        whole = Path(scratch) / "whole"
        whole.mkdir()
        for name, sha256 in FILES.items():
            member = f"package/dist/{name}"
            source = Source(kind="npm", locator=f"onnxruntime-web@{VERSION}", member=member)
            try:
                found = obtain(source, Path(scratch), partial=Path(scratch) / "partial")
            except SourceFault as fault:
                raise RuntimeUnavailable(f"onnxruntime-web {VERSION}: {fault}") from None
            if (got := hashlib.sha256(found.read_bytes()).hexdigest()) != sha256:
                raise RuntimeUnavailable(f"{name}: sha256 {sha256} expected, got {got}")
            shutil.move(found, whole / name)
        shutil.rmtree(folder(), ignore_errors=True)
        whole.rename(folder())
    return folder()

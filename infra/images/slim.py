"""`python slim.py FOLDER [PACKAGE ...]`: remove from an environment what a server never runs.

Whole packages are removed by their RECORD, parts of packages by their path in site-packages, and
debugging information from some modules. The images' tests, which start each image and send it
requests, fail if a removed part is needed.
"""

import csv
import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

# With the packages named: mypy, which Feast requires and its code does not import.
INSTALLERS = ("pip", "uv", "setuptools")
PARTS = (
    "**/tests",
    "feast/ui",  # a web page in JavaScript, 26 MB
    "pyarrow/include",  # headers for compilers
    "pyarrow/src",
    # Copies of a library under the names that only linkers use, 5 MB. Modules load `*.so.2500`.
    "pyarrow/libarrow_python*.so",
    "pyarrow/libarrow_python*.so.*.*",
    "numpy/distutils",
    "numpy/**/*.a",
    "tornado/test",  # contains a private key
    "pyarrow/*flight*",  # Arrow's own remote protocol, 31 MB
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
)
# Modules that are mostly debugging information, 40 MB together. Only these: `strip` makes libraries
# that auditwheel has rewritten, such as NumPy's libgfortran, impossible to load.
STRIPPED = (
    "aiohttp/**/*.so",
    "httptools/**/*.so",
    "ml_dtypes/*.so",
    "sqlalchemy/**/*.so",
    "uvloop/*.so",
)


def main(environment: Path, packages: list[str]) -> None:
    before = size(environment)
    site = environment / "lib" / "python3.11" / "site-packages"
    for package in (*INSTALLERS, *packages):
        remove_package(site, package)
    for part in PARTS:
        for found in sorted(site.glob(part)):
            remove(found)
    strip_debugging(site)
    # uv's lock file, which is world-writable.
    remove(environment / ".lock")
    print(f"slim: {before / 1e6:.0f} MB before, {size(environment) / 1e6:.0f} MB after")


def remove_package(site: Path, name: str) -> None:
    """Remove an installed package. Raises FileNotFoundError: it is not installed."""
    found = list(site.glob(f"{name}-*.dist-info"))
    if not found:
        raise FileNotFoundError(f"slim: {name} is not installed: remove its name from the command")
    with (found[0] / "RECORD").open() as stream:
        files = [site / row[0] for row in csv.reader(stream)]
    for file in files:
        remove(file)
    # Python would still import an empty folder as a package.
    for top in {file.relative_to(site).parts[0] for file in files} - {".."}:
        remove(site / top)


def strip_debugging(site: Path) -> None:
    """Remove debugging information from STRIPPED.

    Raises:
        CalledProcessError: `strip` cannot read a module.
        OSError: a module cannot be loaded afterwards.
    """
    for module in sorted(found for pattern in STRIPPED for found in site.glob(pattern)):
        subprocess.run(["strip", "--strip-debug", module], check=True)
        ctypes.CDLL(str(module))


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size(folder: Path) -> int:
    """Return the size of its files in bytes."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

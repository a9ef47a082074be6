"""`python slim.py FOLDER [PACKAGE ...]`: take out of an environment what a server never runs.

Whole packages by what they installed, parts of packages by their place in site-packages. What is
taken out and needed after all shows in the images' tests, which start and ask each of them.
"""

import csv
import shutil
import sys
from pathlib import Path

# And the packages named: mypy, which Feast names as a requirement and its code does not import.
INSTALLERS = ("pip", "uv")
PARTS = (
    "**/tests",
    "feast/ui",  # a web page in JavaScript, 26 MB
    "pyarrow/include",  # headers for compilers
    "pyarrow/src",
    "tornado/test",  # with a private key in it
    "pyarrow/*flight*",  # Arrow's own remote protocol, 31 MB
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
)


def main(environment: Path, packages: list[str]) -> None:
    before = size(environment)
    site = environment / "lib" / "python3.11" / "site-packages"
    for package in (*INSTALLERS, *packages):
        remove_package(site, package)
    for part in PARTS:
        for found in sorted(site.glob(part)):
            remove(found)
    # What uv locks while it installs; everybody may write to it.
    remove(environment / ".lock")
    print(f"slim: {before / 1e6:.0f} MB before, {size(environment) / 1e6:.0f} MB after")


def remove_package(site: Path, name: str) -> None:
    """Raises FileNotFoundError: it is not installed, so nobody needs it taken out."""
    found = list(site.glob(f"{name}-*.dist-info"))
    if not found:
        raise FileNotFoundError(f"slim: {name} is not installed: do not name it")
    with (found[0] / "RECORD").open() as stream:
        files = [site / row[0] for row in csv.reader(stream)]
    for file in files:
        remove(file)
    # An empty folder that was left would still be a package to Python.
    for top in {file.relative_to(site).parts[0] for file in files} - {".."}:
        remove(site / top)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size(folder: Path) -> int:
    """Bytes of its files."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

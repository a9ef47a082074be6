"""`python slim.py FOLDER`: take out of an environment what a server never runs.

Whole packages by what they installed, parts of packages by their place in site-packages. What is
taken out and needed after all shows in the images' tests, which start and ask each of them.
"""

import csv
import shutil
import sys
from pathlib import Path

# Installers; mypy, which Feast names as a requirement and its code does not import.
PACKAGES = ("pip", "uv", "mypy")
PARTS = (
    "**/tests",
    "feast/ui",  # a web page in JavaScript, 26 MB
    "pyarrow/include",  # headers for compilers
    "pyarrow/src",
    "pyarrow/*flight*",  # Arrow's own remote protocol, 31 MB
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
)


def main(environment: Path) -> None:
    before = size(environment)
    site = environment / "lib" / "python3.11" / "site-packages"
    for package in PACKAGES:
        remove_package(site, package)
    for part in PARTS:
        for found in sorted(site.glob(part)):
            remove(found)
    print(f"slim: {before / 1e6:.0f} MB before, {size(environment) / 1e6:.0f} MB after")


def remove_package(site: Path, name: str) -> None:
    """Raises FileNotFoundError: it is not installed, so the list above is out of date."""
    found = list(site.glob(f"{name}-*.dist-info"))
    if not found:
        raise FileNotFoundError(f"slim: {name} is not installed: take it off the list")
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
    main(Path(sys.argv[1]))

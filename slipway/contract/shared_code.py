"""`about/code.json`: a hash of each file of the library that a version's code uses.

The hashes make the library's code part of a version's digest. A server whose library differs finds
it there, and tries the version out before it serves it.
"""

import ast
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

FILE = "code.json"
# The folder that holds the package `slipway`.
LIBRARY = Path(__file__).resolve().parents[2]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_hash(text: str) -> str:
    """Return the SHA-256 of the code's syntax tree, without comments and docstrings.

    Raises:
        SyntaxError: the text is not valid Python.
    """
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def write(about: Path, names: Iterable[str], library: Path = LIBRARY) -> None:
    """Write the hashes of the library's files `names`, relative to the folder `library`."""
    hashes = {name: code_hash((library / name).read_text()) for name in sorted(names)}
    (about / FILE).write_text(json.dumps(hashes, indent=1) + "\n")


def changed(about: Path, library: Path = LIBRARY) -> list[str]:
    """Return the files of the library that differ from those that the version was made with."""
    return [name for name, known in _hashes(about).items() if known != _current(library / name)]


def is_recorded(about: Path) -> bool:
    """Return whether the version has the file; versions of earlier releases do not."""
    return (about / FILE).is_file()


def fingerprint(about: Path, library: Path = LIBRARY) -> str:
    """Return a hash of the library's files that the version uses, as they are here and now.

    It is empty for a version of an earlier release.
    """
    if not is_recorded(about):
        return ""
    current = [f"{name} {_current(library / name)}" for name in _hashes(about)]
    return hashlib.sha256("\n".join(current).encode()).hexdigest()


def _hashes(about: Path) -> dict[str, str]:
    if not is_recorded(about):
        return {}
    content: dict[str, str] = json.loads((about / FILE).read_bytes())
    return content


def _current(file: Path) -> str:
    """Return the hash of a file of this installation, or an empty text without the file."""
    try:
        return code_hash(file.read_text())
    except FileNotFoundError:
        return ""

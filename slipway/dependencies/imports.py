"""Find the files and distributions that a Python file imports, directly or indirectly."""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from slipway.dependencies.pins import normalized

# The folders of the repository that hold importable code.
OWN = ("slipway", "pipelines")
# Only MLflow runs this, when it loads a `model.py`; it forwards to `predict` and changes no output.
# As a dependency it would make every stage of every project depend on MLflow.
WRAPPER = Path("slipway", "contract", "pyfunc.py")


@dataclass(frozen=True)
class Imports:
    """Imported files of the repository, and imported distributions by normalized name."""

    files: frozenset[Path]
    distributions: frozenset[str]


def imported_by(roots: Iterable[Path], top: Path) -> Imports:
    """Return all imports of the files `roots`, including themselves, in the repository `top`.

    Imports inside functions count, since a stage may run them; those under `TYPE_CHECKING` do not.
    The caller must add modules that are imported by name at run time to the roots.
    """
    files, modules = _walk(roots, top)
    known = distributions_by_module()
    return Imports(files, frozenset(name for each in modules for name in known.get(each, ())))


def files_imported_by(
    roots: Iterable[Path], top: Path, own: tuple[str, ...] = OWN
) -> frozenset[Path]:
    """Return the files of `imported_by` alone; imports are followed into the folders `own`.

    Finding the distributions takes a second: every file of the environment is looked at.
    """
    files, _ = _walk(roots, top, own)
    return files


def _walk(
    roots: Iterable[Path], top: Path, own_folders: tuple[str, ...] = OWN
) -> tuple[frozenset[Path], frozenset[str]]:
    """Return the imported files of the repository, and the imported third-party modules."""
    files: set[Path] = set()
    modules: set[str] = set()
    waiting = list(roots)
    while waiting:
        file = waiting.pop()
        if file in files:
            continue
        files.add(file)
        own, third_party = direct_imports(file, top, own_folders)
        modules |= third_party
        waiting += own
    return frozenset(files), frozenset(modules)


@cache
def direct_imports(
    file: Path, top: Path, own_folders: tuple[str, ...] = OWN
) -> tuple[frozenset[Path], frozenset[str]]:
    """Return the repository's files and the third-party modules that `file` imports directly.

    Importing a file first imports its packages, so their `__init__.py` files are included.
    """
    own = {*_packages(file.parent, top)} - {file}
    third_party = set()
    for name, members in _statements(file, top):
        first = name.partition(".")[0]
        if first in own_folders:
            own |= _files(name, members, top)
        elif first not in sys.stdlib_module_names:
            third_party.add(first)
    return frozenset(own - {top / WRAPPER}), frozenset(third_party)


@cache
def distributions_by_module() -> dict[str, tuple[str, ...]]:
    """Return the installed distributions, normalized, by the top-level module that they provide."""
    return {
        module: tuple(sorted({normalized(name) for name in names}))
        for module, names in packages_distributions().items()
    }


def _statements(file: Path, top: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the absolute module name and the imported members of every import statement."""
    package = file.parent.relative_to(top).parts
    for node in _nodes(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield each.name, ()
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join((*base, *([node.module] if node.module else [])))
            yield name, tuple(each.name for each in node.names)


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield `node` and all nodes below it, except the bodies of `if TYPE_CHECKING`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for other in child.orelse:
                yield from _nodes(other)
        else:
            yield from _nodes(child)


def _files(name: str, members: Iterable[str], top: Path) -> set[Path]:
    """Return the files that run when `members` are imported from the module `name`."""
    place = top.joinpath(*name.split("."))
    found = set(_packages(place.parent, top))
    if (module := place.with_suffix(".py")).is_file():
        return found | {module}
    found |= set(_packages(place, top))
    for member in members:
        if (module := place / f"{member}.py").is_file():
            found.add(module)
        else:
            found |= set(_packages(place / member, top))
    return found


def _packages(folder: Path, top: Path) -> Iterator[Path]:
    """Yield the `__init__.py` of `folder` and of the folders above it, below `top`."""
    for each in (folder, *folder.parents):
        if each == top or top not in each.parents:
            return
        if (file := each / "__init__.py").is_file():
            yield file

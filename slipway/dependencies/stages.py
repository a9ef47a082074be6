"""Find the inputs of each stage of a project: what its code imports and opens."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from slipway.dependencies.imports import imported_by
from slipway.dependencies.pins import FILE as PINS
from slipway.dependencies.pins import pinned_versions
from slipway.project import Project, Stage

LOCKS = Path("infra/environment/locks")
DATASETS = Path("pipelines/datasets")
# The packages of each serving group, which `register` imports by name.
GROUPS = Path("slipway/contract/groups")
# By stage: the library's modules that run it, and the project's files that they import by name.
CODE: dict[Stage, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "prepare": (("slipway/stages/prepare.py",), ("data.py", "model.py")),
    "fit": (("slipway/stages/fit.py",), ("train.py", "model.py")),
    "evaluate": (("slipway/stages/evaluate.py",), ("report.py", "model.py")),
    "register": (("slipway/registry/register.py",), ("model.py",)),
}
# Every stage runs this; the command line only forwards to the modules above.
ALWAYS = "slipway/arithmetic.py"
PROFILE = "slipway/reporting/profile.py"
# By kind of parity: what `fit` imports by name.
COMPARISONS = {
    "image": "slipway/quality/media_differences.py",
    "boxes": "slipway/quality/media_differences.py",
    "tokens": "slipway/quality/token_differences.py",
}


class UnseenInput(ValueError):
    """Raised when code opens something by a computed name; the message names file and line."""


@dataclass(frozen=True)
class Inputs:
    """The dependencies of a stage, except the outputs of earlier stages."""

    own: tuple[str, ...]
    """Names of files in the project's folder."""
    shared: tuple[str, ...]
    """Paths of other files, relative to the repository's root."""
    distributions: tuple[str, ...]
    """Keys of pins.json."""


def stage_inputs(project: Project, stage: Stage) -> Inputs:
    """Return the dependencies of `stage` of `project`.

    Raises:
        UnseenInput: a data set, an environment or a file of the project is opened by a name that is
            not a literal.
        SyntaxError: a file of the project is not valid Python.
    """
    top, folder = project.folder.parents[2], project.folder
    library, names = CODE[stage]
    roots = [top / ALWAYS, *(top / name for name in library), *(folder / name for name in names)]
    if stage == "register":
        roots += [top / GROUPS / f"{name}.py" for name in project.params.requires]
    if stage == "evaluate" and project.params.profile:
        roots.append(top / PROFILE)
    if stage == "fit" and (comparison := COMPARISONS.get(project.params.parity.kind)):
        roots.append(top / comparison)
    found = imported_by(roots, top)
    files = set(found.files)
    for file in found.files:
        if file.parent == folder:
            files |= set(_opened(file, top))
    files = {file for file in files if file.suffix != ".py" or has_code(file)}
    files |= {top / name for name in project.params.inputs.get(stage, ())}
    if stage in ("prepare", "register"):
        files.add(top / DATASETS / f"{project.params.dataset}.yaml")
    own = {file for file in files if file.parent == folder}
    pinned = _pinned(top)
    return Inputs(
        tuple(sorted(file.name for file in own)),
        tuple(sorted(file.relative_to(top).as_posix() for file in files - own)),
        tuple(sorted(found.distributions & pinned)),
    )


@cache
def has_code(file: Path) -> bool:
    """Return whether the file has more than a docstring; empty packages are not dependencies."""
    body = ast.parse(file.read_text()).body
    return any(
        not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body
    )


@cache
def _pinned(top: Path) -> frozenset[str]:
    return frozenset(pinned_versions(top / LOCKS / "development.txt"))


def _opened(file: Path, top: Path) -> Iterator[Path]:
    """Yield the data sets, environment locks and project files that a file names in calls.

    The calls are `fetch("iris")`, `python_of("federated")` and
    `Path(__file__).with_name("speed.json")`.
    """
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else _name(node.func)
        if called == "fetch":
            yield top / DATASETS / f"{_text(node, file)}.yaml"
        elif called == "python_of":
            yield top / LOCKS / f"{_text(node, file)}.txt"
        elif called == "with_name" and "__file__" in ast.dump(node.func):
            place = file.with_name(_text(node, file))
            # A missing file is one that the code itself writes, so it is not an input.
            if place.is_file():
                yield place


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else ""


def _text(call: ast.Call, file: Path) -> str:
    if len(call.args) == 1 and isinstance(call.args[0], ast.Constant):
        return str(call.args[0].value)
    raise UnseenInput(
        f"{file.name} line {call.lineno}: write the name as a string literal in the call, so that "
        "the stage can depend on it"
    )


__all__ = ["CODE", "PINS", "Inputs", "UnseenInput", "has_code", "stage_inputs"]

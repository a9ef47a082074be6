"""The inputs of each stage of a project, found by walking what its code imports and opens."""

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
# By stage: the library's modules that run it, and the project's files that those import by name.
CODE: dict[Stage, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "prepare": (("slipway/stages/prepare.py",), ("data.py", "model.py")),
    "fit": (("slipway/stages/fit.py",), ("train.py", "model.py")),
    "evaluate": (("slipway/stages/evaluate.py",), ("report.py", "model.py")),
    "register": (("slipway/registry/register.py",), ("model.py",)),
}
# Every stage runs with this; the command line only passes on to the modules above.
ALWAYS = "slipway/arithmetic.py"
PROFILE = "slipway/reporting/profile.py"


class UnseenInput(ValueError):
    """Code opens something whose name is computed; the message names the file and the line."""


@dataclass(frozen=True)
class Inputs:
    """What a stage depends on besides the outputs of the stages before it."""

    own: tuple[str, ...]
    """Files of the project's folder, by name."""
    shared: tuple[str, ...]
    """Other files of the repository, below its root."""
    distributions: tuple[str, ...]
    """Keys of pins.json."""


def stage_inputs(project: Project, stage: Stage) -> Inputs:
    """Return what `stage` of `project` depends on.

    Raises:
        UnseenInput: a data set, an environment or a file of the project is opened by a name that is
            no text in the code.
        SyntaxError: a file of the project is no Python.
    """
    top, folder = project.folder.parents[2], project.folder
    library, names = CODE[stage]
    roots = [top / ALWAYS, *(top / name for name in library), *(folder / name for name in names)]
    if stage == "evaluate" and project.params.profile:
        roots.append(top / PROFILE)
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
    """Return whether the file holds more than a docstring: an empty package changes nothing."""
    body = ast.parse(file.read_text()).body
    return any(
        not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body
    )


@cache
def _pinned(top: Path) -> frozenset[str]:
    return frozenset(pinned_versions(top / LOCKS / "development.txt"))


def _opened(file: Path, top: Path) -> Iterator[Path]:
    """Yield the data sets, environment locks and own files that a project's file names in calls.

    `fetch("iris")`, `python_of("federated")` and `Path(__file__).with_name("speed.json")`.
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
            # What the file itself writes is none of its inputs in a checkout that lacks it.
            if place.is_file():
                yield place


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else ""


def _text(call: ast.Call, file: Path) -> str:
    if len(call.args) == 1 and isinstance(call.args[0], ast.Constant):
        return str(call.args[0].value)
    raise UnseenInput(
        f"{file.name} line {call.lineno}: write the name as a text where it is used, so that the "
        "stage can depend on it"
    )


__all__ = ["CODE", "PINS", "Inputs", "UnseenInput", "has_code", "stage_inputs"]

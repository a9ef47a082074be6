"""Leave out, in `make test`, the costly test files that a change cannot break.

Two kinds of file are chosen by the change; all others always run:

- A file with the constant `CONCERNS`: patterns of the files whose change may break its tests. What
  the Python files among them import counts too, found by walking imports, and so does what the
  test file itself imports.
- A file of tests/pipelines about single projects: it runs if an input of a stage of these projects
  changed, by their `dvc.yaml`, or any file in their folders. The contract of every project,
  test_projects.py, always runs.

The change is the difference from the base commit of selection.py, with uncommitted and new files.
Everything runs with SLIPWAY_TEST_ALL=1, as `make test-all` sets it; without a base; for a changed
file without a rule in selection.py; and for a change of what every test rests on. Files named on
the command line always run. The end of the run prints what was left out.
"""

import ast
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway.dependencies.imports import files_imported_by
from slipway.project import Project, discover
from tests.selection import ALL, NoBase, base, changed_files, rule_of

ROOT = Path(__file__).resolve().parents[1]
CONSTANT = "CONCERNS"
# The folders into which imports are followed. A change of the tests' helpers runs everything.
CODE = ("slipway", "services", "pipelines", "infra", "benchmarks")
# Set by the Makefile for whole tiers; a run of single files leaves nothing out.
TIER = "SLIPWAY_TEST_TIER"
# The decision, as JSON, for the test workers.
LEFT_OUT = "SLIPWAY_TESTS_LEFT_OUT"
PROJECT_TESTS = "tests/pipelines/*"
# These test every project in each run.
OF_ALL_PROJECTS = ("tests/pipelines/test_projects.py", "tests/pipelines/test_readmes.py")
# A change of these may break any test.
EVERYTHING = ("pyproject.toml", "Makefile", "infra/environment/*", ".ci/*", "slipway/home.py")


@dataclass(frozen=True)
class Change:
    """The files that changed, or the reason why all tests run."""

    root: Path
    files: frozenset[str]
    all_because: str = ""

    @classmethod
    def of_checkout(cls, root: Path = ROOT) -> "Change":
        """Return the change of this checkout since its base commit."""
        if os.environ.get(ALL) == "1":
            return cls(root, frozenset(), f"{ALL}=1")
        try:
            commit, _ = base(root)
            return cls.of_files(changed_files(root, commit), root)
        except NoBase as fault:
            return cls(root, frozenset(), f"no base: {fault}")

    @classmethod
    def of_files(cls, files: Iterable[str], root: Path = ROOT) -> "Change":
        """Return the change of these files, relative to the repository's root."""
        found = frozenset(files)
        for name in sorted(found):
            if rule_of(name) is None:
                return cls(root, found, f"{name}, which has no rule in tests/selection.py")
            if _is_for_everything(name):
                return cls(root, found, name)
        return cls(root, found)

    @cached_property
    def projects(self) -> list[Project]:
        return discover(self.root)

    def runs(self, test_file: str) -> bool:
        """Return whether the tests of the file, relative to the root, run for this change."""
        if self.all_because or test_file in self.files:
            return True
        concerns = self.concerns(test_file)
        return concerns is None or bool(self.files & concerns)

    def concerns(self, test_file: str) -> frozenset[str] | None:
        """Return the files whose change may break the tests of a file; None if it always runs.

        Raises:
            ValueError: `CONCERNS` is not a tuple of texts, or a pattern fits no file.
        """
        file = self.root / test_file
        if (patterns := patterns_of(file)) is not None:
            found = self._matching(patterns, test_file)
            return found | self._imported([file, *(self.root / name for name in found)])
        if fnmatchcase(test_file, PROJECT_TESTS) and test_file not in OF_ALL_PROJECTS:
            return self._inputs(file)
        return None

    def _matching(self, patterns: Iterable[str], test_file: str) -> frozenset[str]:
        found: set[str] = set()
        for pattern in patterns:
            matching = {name for name in self._all_files if fnmatchcase(name, pattern)}
            if not matching:
                raise ValueError(f"{test_file}: no file fits {pattern!r} of {CONSTANT}")
            found |= matching
        # A deleted file fits its pattern as well.
        deleted = (name for name in self.files if any(fnmatchcase(name, each) for each in patterns))
        return frozenset({*found, *deleted})

    @cached_property
    def _all_files(self) -> tuple[str, ...]:
        return _files_below(self.root)

    def _imported(self, files: Iterable[Path]) -> frozenset[str]:
        code = [file for file in files if file.suffix == ".py" and file.is_file()]
        imported = files_imported_by(code, self.root, CODE)
        return frozenset(file.relative_to(self.root).as_posix() for file in imported)

    def _inputs(self, file: Path) -> frozenset[str] | None:
        """Return the inputs of the projects that a test file names; None if it names none."""
        words = set(re.findall(r"[a-z][a-z0-9_]+", f"{file} {file.read_text()}"))
        words |= {word.removeprefix("test_") for word in words}
        named = [project for project in self.projects if project.name in words]
        if not named:
            return None
        folders = tuple(f"{each.folder.relative_to(self.root).as_posix()}/" for each in named)
        own = {name for name in self.files if name.startswith(folders)}
        inputs = (_inputs_of(each.folder, self.root) for each in named)
        return self._imported([file]).union(own, *inputs)


def _is_for_everything(name: str) -> bool:
    if any(fnmatchcase(name, pattern) for pattern in EVERYTHING):
        return True
    # Fixtures and helpers, which any test may use.
    return name.startswith("tests/") and not Path(name).name.startswith("test_")


def patterns_of(file: Path) -> tuple[str, ...] | None:
    """Return the constant `CONCERNS` of a test file, without importing it; None if it has none.

    Raises:
        ValueError: it is not a tuple of texts.
    """
    for node in ast.parse(file.read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(each, ast.Name) and each.id == CONSTANT for each in targets):
            value = ast.literal_eval(node.value)  # type: ignore[attr-defined]
            if not isinstance(value, tuple) or not all(isinstance(each, str) for each in value):
                raise ValueError(f"{file.name}: {CONSTANT} must be a tuple of texts, got {value!r}")
            return value
    return None


@cache
def _files_below(root: Path) -> tuple[str, ...]:
    from tests.conftest import files_of_checkout

    return tuple(files_of_checkout()) if root == ROOT else ()


@cache
def _inputs_of(folder: Path, root: Path) -> frozenset[str]:
    """Return the inputs of the stages of the project in `folder`, by its `dvc.yaml`."""
    # The parser in C takes a tenth of the time: every test process reads all these files.
    text = (folder / "dvc.yaml").read_text()
    stages = yaml.load(text, yaml.CSafeLoader)["stages"]
    found = {name for stage in stages.values() for name in _paths(stage)}
    return frozenset(os.path.relpath(os.path.normpath(folder / name), root) for name in found)


def _paths(stage: dict[str, list[object]]) -> Iterator[str]:
    yield from (str(each) for each in stage["deps"])
    for each in stage["params"]:
        if isinstance(each, dict):
            yield from each


def pytest_configure(config: pytest.Config) -> None:
    """Decide once, and pass the decision on to the workers: it takes some seconds."""
    if os.environ.get(TIER) != "test" or LEFT_OUT in os.environ:
        return
    change = Change.of_checkout()
    # Imported late: tiers.py is also a program.
    from tests.tiers import all_files

    left_out = [name for name in all_files() if not change.runs(name)]
    decided = {"because": change.all_because, "changed": len(change.files), "left_out": left_out}
    os.environ[LEFT_OUT] = json.dumps(decided)


def _decided() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(os.environ.get(LEFT_OUT, "{}"))
    return found


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out test files that the change does not concern, unless they are named."""
    if not (left_out := _decided().get("left_out")) or _named(collection_path, config):
        return None
    return True if collection_path.relative_to(ROOT).as_posix() in left_out else None


def _named(file: Path, config: pytest.Config) -> bool:
    words = (each.partition("::")[0] for each in config.invocation_params.args)
    return any(file == Path(config.invocation_params.dir, each) for each in words if each)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which files were left out, and the change that decided."""
    if not (decided := _decided()):
        return
    terminalreporter.section("test files by change")
    if decided["because"]:
        terminalreporter.write_line(f"all run, because of {decided['because']}")
        return
    left_out = decided["left_out"]
    terminalreporter.write_line(
        f"{decided['changed']} files changed, which do not concern {len(left_out)} test files; "
        "`make test-all` runs them:"
    )
    for name in left_out:
        terminalreporter.write_line(f"  {name}")

"""Every file that a stage loads is among its declared dependencies."""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest

from slipway.dependencies.imports import WRAPPER
from slipway.dependencies.lock import stages_of
from slipway.dependencies.stages import CODE, has_code
from slipway.project import Project, find
from slipway.training.workspace import Workspace
from tests.conftest import ROOT
from tests.workspaces import linked

PROBE = """
import json, sys
from importlib import import_module
from pathlib import Path
from slipway import arithmetic
arithmetic.pin()
from slipway.project import find
from slipway.training.workspace import Workspace
name, stage, folder, out = sys.argv[1:]
place = "slipway.registry" if stage == "register" else "slipway.stages"
getattr(import_module(f"{place}.{stage}"), stage)(Workspace.tiny(find(name), Path(folder)))
files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
Path(out).write_text(json.dumps(sorted(filter(None, files))))
"""
NAMES = ("titanic", "fashion_mnist")


@pytest.fixture(scope="module")
def loaded(
    tiny_project: Callable[[Project], Workspace],
    own_home: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[str, str], list[Path]]:
    """The files that each stage loads for a tiny workspace, in a separate process.

    Two processes run at a time: most of the time is spent importing torch, on one core.
    """

    def load(name: str, stage: str) -> list[Path]:
        folder = tmp_path_factory.mktemp(f"{name}-{stage}")
        out = folder / "files.json"
        done = subprocess.run(
            [
                *(sys.executable, "-c", PROBE, name, stage),
                *(linked(tiny_project(find(name)), folder / "copy").folder, out),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return [Path(file) for file in json.loads(out.read_text())]

    for name in NAMES:
        tiny_project(find(name))
    with ThreadPoolExecutor(2) as pool:
        pending = {each: pool.submit(load, *each) for each in product(reversed(NAMES), CODE)}
    return {each: future.result() for each, future in pending.items()}


@pytest.mark.parametrize("stage", CODE)
@pytest.mark.parametrize("name", NAMES)
def test_imports_are_dependencies(
    name: str, stage: str, loaded: dict[tuple[str, str], list[Path]]
) -> None:
    project = find(name)
    entry = stages_of(project.folder / "dvc.yaml")[stage]
    declared = {(project.folder / each).resolve() for each in entry["deps"]}
    ours = {
        file
        for file in loaded[name, stage]
        if file.is_relative_to(ROOT / "slipway") or file.is_relative_to(ROOT / "pipelines")
    }
    assert project.folder / "model.py" in ours
    undeclared = {file.relative_to(ROOT).as_posix() for file in ours - declared if has_code(file)}
    assert undeclared - {WRAPPER.as_posix()} == set()

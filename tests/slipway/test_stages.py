"""What DVC must know: every file of ours that a stage imports is among its dependencies."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest
import yaml

from slipway.project import find
from tests.conftest import ROOT

# How a stage is found and started; nothing in them changes what it writes.
PLUMBING = {"__init__.py", "__main__.py", "cli.py", "home.py", "project.py"}


PROBE = """
import json, sys
from pathlib import Path
from slipway.project import find
from slipway.training.workspace import Workspace
from slipway.training import stages
name, stage, folder, out = sys.argv[1:]
work = Workspace.tiny(find(name), Path(folder))
if stage == 'register':
    from slipway.registry.register import register as run
else:
    run = getattr(stages, stage)
run(work)
files = {getattr(module, '__file__', None) for module in list(sys.modules.values())}
Path(out).write_text(json.dumps(sorted(filter(None, files))))
"""
STAGES = ("prepare", "fit", "evaluate", "register")
NAMES = ("titanic", "fashion_mnist")


@pytest.fixture(scope="module")
def loaded(
    trained: dict, own_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], list[Path]]:
    """The files that each stage loaded over a tiny workspace, in a process of its own.

    Two processes at a time: most of their time is torch's, on one core.
    """

    def tell(name: str, stage: str) -> list[Path]:
        folder = tmp_path_factory.mktemp(f"{name}-{stage}")
        out, copied = folder / "files.json", folder / "copy"
        shutil.copytree(trained[name].folder, copied)
        done = subprocess.run(
            [sys.executable, "-c", PROBE, name, stage, copied, out],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return [Path(file) for file in json.loads(out.read_text())]

    with ThreadPoolExecutor(2) as pool:
        told = {each: pool.submit(tell, *each) for each in product(reversed(NAMES), STAGES)}
    return {each: future.result() for each, future in told.items()}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", NAMES)
def test_imports_are_dependencies(
    name: str, stage: str, loaded: dict[tuple[str, str], list[Path]]
) -> None:
    project = find(name)
    declared = [
        (project.folder / dependency).resolve()
        for dependency in yaml.safe_load((project.folder / "dvc.yaml").read_text())["stages"][
            stage
        ]["deps"]
        if "$" not in dependency
    ]
    ours = [
        file
        for file in loaded[name, stage]
        if file.is_relative_to(ROOT / "slipway") or file.is_relative_to(ROOT / "pipelines")
    ]
    undeclared = [
        str(file.relative_to(ROOT))
        for file in ours
        if not any(file == each or file.is_relative_to(each) for each in declared)
        and not (file.parent == ROOT / "slipway" and file.name in PLUMBING)
    ]
    # `project.py` reads the gate's syntax; only `register` applies the gate.
    # `stages.py` loads the downloader, which `prepare` alone calls.
    harmless = {"slipway/registry/__init__.py", "slipway/registry/gate.py"}
    loads = () if stage == "prepare" else ("slipway/datasets/",)
    assert [
        each for each in undeclared if each not in harmless and not each.startswith(loads)
    ] == []

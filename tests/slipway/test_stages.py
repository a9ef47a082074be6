"""What DVC must know: every file of ours that a stage imports is among its dependencies."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from slipway.project import find
from tests.conftest import ROOT

# How a stage is found and started; nothing in them changes what it writes.
PLUMBING = {"__init__.py", "__main__.py", "cli.py", "home.py", "project.py"}


@pytest.mark.parametrize("stage", ["prepare", "fit", "evaluate", "register"])
@pytest.mark.parametrize("name", ["titanic", "fashion_mnist"])
def test_imports_are_dependencies(
    name: str, stage: str, trained: dict, own_home: Path, tmp_path: Path
) -> None:
    """Each stage runs in a process of its own over a tiny workspace, and tells what it loaded."""
    project = find(name)
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from slipway.project import find\n"
        "from slipway.training.workspace import Workspace\n"
        "from slipway.training import stages\n"
        "name, stage, folder, out = sys.argv[1:]\n"
        "work = Workspace.tiny(find(name), Path(folder))\n"
        "if stage == 'register':\n"
        "    from slipway.registry.register import register as run\n"
        "else:\n"
        "    run = getattr(stages, stage)\n"
        "run(work)\n"
        "files = {getattr(module, '__file__', None) for module in list(sys.modules.values())}\n"
        "Path(out).write_text(json.dumps(sorted(filter(None, files))))\n"
    )
    out = tmp_path / "files.json"
    work = trained[name]
    copied = tmp_path / "copy"
    subprocess.run(["cp", "-r", work.folder, copied], check=True)
    done = subprocess.run(
        [sys.executable, "-c", code, name, stage, copied, out],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    declared = [
        (project.folder / dependency).resolve()
        for dependency in yaml.safe_load((project.folder / "dvc.yaml").read_text())["stages"][
            stage
        ]["deps"]
        if "$" not in dependency
    ]
    loaded = [Path(file) for file in json.loads(out.read_text())]
    ours = [
        file
        for file in loaded
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

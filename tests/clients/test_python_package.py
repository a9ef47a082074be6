"""The Python client as a package: what its wheel holds, and its page's examples."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from slipway.project import Project, find
from slipway.training.workspace import Workspace
from tests.clients.conftest import PYTHON_CLIENT
from tests.conftest import ROOT
from tests.services.fake_models import ModelRegistryFixture, Server
from tests.waiting import until
from tests.workspaces import linked

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("clients/python/*",)

PROJECTS = ("titanic", "fashion_mnist")
EXAMPLES = re.findall(
    r"^```python\n(.*?)^```", (PYTHON_CLIENT / "README.md").read_text(), re.MULTILINE | re.DOTALL
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=PYTHON_CLIENT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("slipway_client-*.whl")
    return built


@pytest.fixture(scope="module")
def server(
    tiny_project: Callable[[Project], Workspace], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The model server with the projects that the page names."""
    from slipway.registry.signed import register

    registry = ModelRegistryFixture(tmp_path_factory.mktemp("starters"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_HOME", str(registry.home))
        patch.setenv("MLFLOW_TRACKING_URI", registry.uri)
        for name in PROJECTS:
            work = tiny_project(find(name))
            register(linked(work, tmp_path_factory.mktemp(name)))
    with registry.serving() as running:
        until(lambda: len(running.client.get("/v1/models").json()["models"]) == len(PROJECTS))
        yield running


def test_the_wheel_holds_the_package_and_its_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        (about,) = [each for each in names if each.endswith("/METADATA")]
        metadata = message_from_bytes(content.read(about))
    modules = {f"slipway_client/{each.name}" for each in PYTHON_CLIENT.glob("slipway_client/*.py")}
    assert {each for each in names if "dist-info" not in each} == {
        *modules,
        "slipway_client/py.typed",
    }
    required = metadata.get_all("Requires-Dist") or []
    assert [re.match(r"[a-z-]+", each)[0] for each in required] == ["httpx"]


def test_it_imports_only_httpx_and_the_standard_library() -> None:
    """Nothing of Slipway itself: the package is installed alone."""
    found = set()
    for file in PYTHON_CLIENT.glob("slipway_client/*.py"):
        found |= set(re.findall(r"^(?:from|import) ([a-z_]\w*)", file.read_text(), re.MULTILINE))
    assert found - sys.stdlib_module_names == {"httpx"}


def test_its_versions_are_stated_once() -> None:
    project = tomllib.loads((PYTHON_CLIENT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "slipway-client"
    assert project["dependencies"] == ["httpx>=0.27"]


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_pages_examples_run(example: str, wheel: Path, server: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(wheel), "SLIPWAY_ADDRESS": server.address},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, example + done.stderr
    assert done.stdout.strip()

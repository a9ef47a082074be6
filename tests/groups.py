"""Assign tests to groups that run in one process: those of a file, and those of a project.

The dearest groups start first, since one that starts late would end alone.

Our own scheduler, since pytest-xdist 3.8 writes the groups of `--dist=loadgroup` into a private
field of tests that pytest 9.2 has removed, and every test became a separate group.
"""

import json
import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import pytest

from slipway.project import discover

PIPELINES = re.compile(r"^tests/pipelines/test_(\w+)\.py::")
PARAMETERS = re.compile(r"\[(.*)\]$")
# The CPU seconds of the last measured run; see cpu_times.py.
MEASURED = Path("docs") / "testing.json"
# Files above so many CPU seconds start first. Cheaper ones stay where they are, because files of a
# folder share servers, which would otherwise start again.
DEAR = 50.0


def group_of(nodeid: str, projects: Set[str]) -> str:
    """Return the group of a test: its project for tests of projects, else its file.

    Tests of a project share what is trained of it: those of tests/pipelines/test_x.py, and those of
    tests/pipelines/test_projects.py that have x as their parameter.
    """
    file = nodeid.partition("::")[0]
    if found := PIPELINES.match(nodeid):
        parameters = PARAMETERS.search(nodeid)
        named = parameters[1].split("-") if parameters and found[1] == "projects" else [found[1]]
        for name in named:
            if name in projects:
                return name
    return file


def start_first(measured: Mapping[str, float]) -> list[str]:
    """Return the files that are dear by themselves, the dearest first.

    Those of tests/pipelines are left out: their tests form a group for each project.
    """
    dear = [
        file
        for file, seconds in measured.items()
        if seconds > DEAR and file.endswith(".py") and not file.startswith("tests/pipelines/")
    ]
    return sorted(dear, key=lambda file: -measured[file])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Move the tests of the dearest files to the front; the others keep their order."""
    file = config.rootpath / MEASURED
    first = start_first(json.loads(file.read_text())["files"]) if file.is_file() else []
    places = {config.rootpath / name: place for place, name in enumerate(first)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Send whole groups to a process, in the order in which they were collected."""
    from xdist.scheduler import LoadScopeScheduling

    projects = {project.name for project in discover(config.rootpath)}

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid, projects)

    return ByGroup(config, log)

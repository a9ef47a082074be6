"""Assign tests to groups that run in one process: those of a file, and those of a project.

Our own scheduler, since pytest-xdist 3.8 writes the groups of `--dist=loadgroup` into a private
field of tests that pytest 9.2 has removed, and every test became a separate group.
"""

import re
from collections.abc import Set
from typing import Any

import pytest

from slipway.project import discover

PIPELINES = re.compile(r"^tests/pipelines/test_(\w+)\.py::")
PARAMETERS = re.compile(r"\[(.*)\]$")


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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Send whole groups to a process, in the order in which they were collected."""
    from xdist.scheduler import LoadScopeScheduling

    projects = {project.name for project in discover(config.rootpath)}

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid, projects)

    return ByGroup(config, log)

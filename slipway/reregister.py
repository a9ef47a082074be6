"""Register again what DVC holds for done, but this registry does not know."""

import json

from slipway.project import Project
from slipway.training.workspace import Workspace


def reregister(project: Project) -> bool:
    """Register what the project's last run left, unless the registry has it or there was no run.

    Returns whether it was missing.

    Raises:
        GateNotMet: as when it was registered first.
    """
    from slipway.registry.register import register

    if not is_missing(project):
        return False
    print(message(project), flush=True)
    register(Workspace.of(project))
    return True


def is_missing(project: Project) -> bool:
    """Whether the project was trained here, and the registry has no version of that run."""
    from slipway.registry import tracking

    work = Workspace.of(project)
    if not work.receipt.is_file():
        return False
    shipped = json.loads(work.receipt.read_text())["digest"]
    # Two processes that make the tables of a new database at once fail.
    with tracking.writing():
        return tracking.version_with(tracking.client(), project.name, shipped) is None


def message(project: Project) -> str:
    """The line that says that the project is registered again."""
    return f"{project.name}: not in the registry, registered again"

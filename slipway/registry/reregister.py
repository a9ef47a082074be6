"""Register again what DVC considers up to date, but this registry lacks."""

import json

from slipway.project import Project
from slipway.training.workspace import Workspace


def reregister(project: Project) -> bool:
    """Register the project's last run, unless there was none or the registry has it.

    Return whether it was missing.

    Raises:
        GateNotMet: a gate condition is not met.
    """
    from slipway.registry.signed import register

    if not is_missing(project):
        return False
    print(message(project), flush=True)
    register(Workspace.for_project(project))
    return True


def is_missing(project: Project) -> bool:
    """Return whether the project was trained here, and the registry lacks that version, signed."""
    from slipway.registry import signatures, tracking

    work = Workspace.for_project(project)
    if not work.receipt.is_file():
        return False
    shipped = json.loads(work.receipt.read_text())["digest"]
    # Locked: two processes that create the tables of a new database at the same time fail.
    with tracking.writing():
        version = tracking.version_with(tracking.client(), project.name, shipped)
    if version is None:
        return True
    try:
        signatures.check(project.name, str(version.version), version.tags)
    except signatures.NotSigned:
        return True
    return False


def message(project: Project) -> str:
    """Return the log line for a project that is registered again."""
    return f"{project.name}: not in the registry, or not signed: registered again"

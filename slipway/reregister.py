"""Register again what DVC holds for done, but this registry does not know."""

import json

from slipway.project import Project
from slipway.training.workspace import Workspace


def reregister(project: Project) -> bool:
    """Register what the project's last run left, unless the registry has it or there was no run.

    Returns whether the registry had to be told.

    Raises:
        GateNotMet: as when it was registered first.
    """
    from slipway.registry import tracking
    from slipway.registry.register import register

    work = Workspace.of(project)
    if not work.receipt.is_file():
        return False
    shipped = json.loads(work.receipt.read_text())["digest"]
    if tracking.version_with(tracking.client(), project.name, shipped) is not None:
        return False
    print(f"{project.name}: not in the registry, registered again", flush=True)
    register(work)
    return True

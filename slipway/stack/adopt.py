"""Bring what a checkout has trained into the registry of the stack."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from slipway import home
from slipway.project import Project, discover
from slipway.registry.gate import GateNotMet
from slipway.reregister import reregister

NOTHING = """nothing is trained in this checkout yet, so there is no model to serve. Either
  docker compose run --rm bootstrap     trains the starters in a container, or
  make repro && docker compose up -d    trains every project here, and serves them"""


@dataclass
class Adopted:
    """Names of projects: registered now, registered before, and why others could not be."""

    now: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def adopt(checkout: Path) -> Adopted:
    """Register what stands in `checkout`'s projects; one that fails does not stop the others.

    Runs where the image's repository is laid out: outputs are copied beside the code that they
    came from, and a project whose code is another than the image's is refused.
    """
    found = Adopted()
    for project in discover():
        trained = checkout / project.folder.relative_to(home.root())
        if not (trained / "work" / "receipt.json").is_file():
            continue
        if (trained / "dvc.lock").read_bytes() != (project.folder / "dvc.lock").read_bytes():
            found.refused[project.name] = (
                "was trained since the image was built: docker compose build, then up again"
            )
            continue
        _take(project, trained / "work", found)
    return found


def _take(project: Project, work: Path, found: Adopted) -> None:
    shutil.copytree(work, project.folder / "work", dirs_exist_ok=True)
    try:
        (found.now if reregister(project) else found.before).append(project.name)
    except GateNotMet as unmet:
        found.refused[project.name] = str(unmet)

"""Register what a checkout has trained in the registry of the stack."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from slipway import home
from slipway.contract.gate import GateNotMet
from slipway.project import Project, discover
from slipway.registry.reregister import reregister

NOTHING = """nothing is trained in this checkout yet, so there is no model to serve. Either
  docker compose run --rm bootstrap     trains the starters in a container, or
  make repro && docker compose up -d    trains every project here, and serves them"""


@dataclass
class Adopted:
    """Names of projects registered now and before, and why others could not be."""

    now: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def adopt(checkout: Path) -> Adopted:
    """Register the trained models of `checkout`'s projects; a failure does not stop the others.

    Runs where the image's repository is copied: outputs are copied beside the code that made them.
    A project whose code differs from the image's is refused.
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

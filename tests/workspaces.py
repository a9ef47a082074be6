"""Copies of workspaces that cost no disk: what training left is linked."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from slipway.training.workspace import Workspace


def linked(work: Workspace, folder: Path) -> Workspace:
    """Return the workspace with a folder of its own, which `folder` becomes.

    What lies in `work/` is hard linked: remove or replace such a file, never write into it.
    `metrics.json` and `examples.json` are copies.
    """
    shutil.copytree(work.folder / "work", folder / "work", copy_function=os.link)
    for file in (work.metrics, work.examples):
        if file.is_file():
            shutil.copy(file, folder / file.name)
    return replace(work, folder=folder)

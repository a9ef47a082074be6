"""The commands `slipway prepare`, `fit`, `evaluate` and `register`, which DVC runs."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from slipway.fault import Fault

app = typer.Typer()

STAGES = "Stages (dvc repro runs them in a project's folder)"
ProjectFolder = Annotated[
    Path, typer.Argument(help="A project's folder; default: the current folder")
]

Into = Annotated[
    Path | None, typer.Option(help="Write into this folder instead of the project's own")
]

Profile = Annotated[
    Literal["full"] | None, typer.Option(help="Change the parameters by the project's full.yaml")
]


def _stage(
    module: str, function: str, folder: Path, into: Path | None, profile: str | None
) -> None:
    """Run a stage of the project in `folder`, after pinning the arithmetic."""
    from slipway import arithmetic

    arithmetic.pin()
    # An error of a project's own code is for its author, who needs the place in it.
    os.environ.setdefault("SLIPWAY_TRACEBACK", "1")
    from importlib import import_module

    from slipway.project import Project
    from slipway.training.workspace import Workspace

    project = Project(folder.resolve())
    if not (project.folder / "params.yaml").is_file():
        raise Fault(f"{project.folder} is not a project: it has no params.yaml")
    params = project.params
    if profile:
        from slipway.stages.full_profile import full_params

        if not into:
            raise Fault("--profile needs --into: the project's own folder has other parameters")
        params = full_params(project)
    work = Workspace(project, params, into.resolve() if into else project.folder)
    getattr(import_module(module), function)(work)


@app.command(rich_help_panel=STAGES)
def prepare(folder: ProjectFolder = Path(), into: Into = None, profile: Profile = None) -> None:
    """Fetch the data set and split it."""
    _stage("slipway.stages.prepare", "prepare", folder, into, profile)


@app.command(rich_help_panel=STAGES)
def fit(folder: ProjectFolder = Path(), into: Into = None, profile: Profile = None) -> None:
    """Train the candidates, export the chosen one, and measure its parity."""
    _stage("slipway.stages.fit", "fit", folder, into, profile)


@app.command(rich_help_panel=STAGES)
def evaluate(folder: ProjectFolder = Path(), into: Into = None, profile: Profile = None) -> None:
    """Score the served predictions on the test rows, and draw the report."""
    _stage("slipway.stages.evaluate", "evaluate", folder, into, profile)


@app.command(rich_help_panel=STAGES)
def register(folder: ProjectFolder = Path(), into: Into = None, profile: Profile = None) -> None:
    """Check the gate, register a version, and promote it if it is not worse than the champion."""
    _stage("slipway.registry.signed", "register", folder, into, profile)

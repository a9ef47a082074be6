"""Arguments and options that many commands share, so that they are called the same everywhere."""

import json
from typing import Annotated, Any

import typer

from slipway.names import project_names


def complete_project(incomplete: str) -> list[str]:
    """Return the projects whose names begin with the text, for the shell; imports no project."""
    return [name for name in project_names() if name.startswith(incomplete)]


ProjectName = Annotated[
    str, typer.Argument(metavar="PROJECT", help="Its name", autocompletion=complete_project)
]
ProjectNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PROJECT]...", help="Names; default: all", autocompletion=complete_project
    ),
]
OptionalProject = Annotated[
    str | None,
    typer.Argument(
        metavar="[PROJECT]", help="Its name; default: all", autocompletion=complete_project
    ),
]
ProjectOption = Annotated[
    str | None,
    typer.Option(metavar="PROJECT", help="Only of this one", autocompletion=complete_project),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts")]
Address = Annotated[
    str | None, typer.Option(metavar="URL", help="The server's address; default: that of make up")
]


def print_json(content: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(content, indent=1, ensure_ascii=False, default=str))

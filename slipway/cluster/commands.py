"""`slipway k8s`: what is made before the manifests in `k8s/` are applied."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help=__doc__)


class Fault(Exception):
    """Ends the command with one message and no traceback."""


@app.callback()
def group() -> None:
    """What is made before the manifests in `k8s/` are applied."""


@app.command()
def secrets(folder: Annotated[Path, typer.Argument(help="Where; made if it is not there")]) -> None:
    """Make the API keys that a cluster begins with, as files that become Secrets."""
    from slipway.cluster.secrets import SecretsExist, write

    try:
        written = write(folder)
    except SecretsExist as exist:
        raise Fault(str(exist)) from None
    for file in written:
        typer.echo(f"{file} written")

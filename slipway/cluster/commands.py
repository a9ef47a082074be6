"""`slipway k8s`: what is made before the manifests in `k8s/` are applied."""

from pathlib import Path
from typing import Annotated

import typer

from slipway.fault import Fault

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.callback()
def group() -> None:
    """What is made before the manifests in `k8s/` are applied."""


@app.command()
def secrets(folder: Annotated[Path, typer.Argument(help="Where; made if it is not there")]) -> None:
    """Draw the API keys and the database password that a cluster begins with, as files."""
    from slipway.cluster.secrets import SecretsExist, write

    try:
        written = write(folder)
    except SecretsExist as exist:
        raise Fault(str(exist)) from None
    for file in written:
        typer.echo(f"{file} written")

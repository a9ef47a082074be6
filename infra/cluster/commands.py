"""`slipway k8s`: prepare what the manifests in `k8s/` need."""

from pathlib import Path
from typing import Annotated

import typer

from slipway.fault import Fault

app = typer.Typer(name="k8s", no_args_is_help=True, help=__doc__)


@app.callback()
def group() -> None:
    """Prepare what the manifests in `k8s/` need."""


@app.command()
def secrets(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; created if missing")],
) -> None:
    """Generate the API keys and the database password for a new cluster, as files."""
    from infra.cluster.secrets import SecretsExist, write

    try:
        written = write(folder)
    except SecretsExist as exist:
        raise Fault(str(exist)) from None
    for file in written:
        typer.echo(f"{file} written")

"""The command `slipway datasets`."""

from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def datasets(
    names: Annotated[
        list[str] | None, typer.Argument(help="Data sets to fetch; default: list all")
    ] = None,
) -> None:
    """List the catalogue of data sets, or fetch and verify those named."""
    from slipway.datasets import entries, fetch

    if names:
        for name in names:
            for file, origin in fetch(name).origins.items():
                typer.echo(f"{name}: {file} verified ({origin})")
        return
    for name, entry in entries().items():
        size = sum(file.bytes for file in entry.files.values())
        typer.echo(f"{name:24} {size / 1e6:8.1f} MB  {entry.title}")

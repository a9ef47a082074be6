"""The command `slipway datasets`."""

from typing import Annotated

import typer

from slipway.arguments import AsJson, print_json

app = typer.Typer()


@app.command()
def datasets(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DATASET]...", help="To fetch; default: list all"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the catalogue of data sets, or fetch and verify those named."""
    from slipway.datasets import entries, fetch

    if names:
        for name in names:
            for file, origin in fetch(name).origins.items():
                typer.echo(f"{name}: {file} verified ({origin})")
        return
    sizes = {
        name: sum(file.bytes for file in entry.files.values()) for name, entry in entries().items()
    }
    if as_json:
        listed = entries().items()
        print_json([{"name": n, "title": e.title, "bytes": sizes[n]} for n, e in listed])
        return
    for name, entry in entries().items():
        size = sizes[name]
        typer.echo(f"{name:24} {size / 1e6:8.1f} MB  {entry.title}")

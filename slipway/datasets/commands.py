"""The command `slipway datasets`."""

from pathlib import Path
from typing import Annotated

import typer

from slipway.arguments import AsJson, print_json
from slipway.fault import Fault

app = typer.Typer()

ADD = "add"


@app.command()
def datasets(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATASET]... | add FILE...",
            help="Data sets to fetch, or files to add as a new one; default: list all",
        ),
    ] = None,
    as_json: AsJson = False,
    name: Annotated[str, typer.Option(help="With add: the new data set's name")] = "",
    title: Annotated[str, typer.Option(help="With add: what it is, in one line")] = "",
    source: Annotated[
        str,
        typer.Option(help='With add: where others get it, like "pypi iris==1.0 iris/iris.csv"'),
    ] = "",
    home: Annotated[str, typer.Option(help="With add: the data set's own page")] = "",
    licence: Annotated[str, typer.Option(help="With add: what its licence allows")] = "",
    citation: Annotated[str, typer.Option(help="With add: whom to cite")] = "",
) -> None:
    """List the catalogue of data sets, fetch and verify those named, or add files as a new one."""
    from slipway.datasets import entries, fetch

    if names and names[0] == ADD:
        about = {"home": home, "licence": licence, "citation": citation}
        _add([Path(each) for each in names[1:]], name, title, source, about)
        return
    if names:
        for each in names:
            for file, origin in fetch(each).origins.items():
                typer.echo(f"{each}: {file} verified ({origin})")
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


def _add(files: list[Path], name: str, title: str, source: str, about: dict[str, str]) -> None:
    from slipway.datasets.add import UNKNOWN, add

    if not files or not name:
        raise Fault("name the files and the data set: slipway datasets add FILE... --name NAME")
    try:
        entry = add(files, name, title=title, source=source, about=about)
    except (OSError, ValueError) as error:
        raise Fault(str(error)) from error
    typer.echo(f"{entry} written")
    missing = [key for key in UNKNOWN if not about[key]]
    if missing:
        typer.echo(f"fill in before you commit it: {', '.join(missing)}")
    if not source:
        typer.echo("others find it in $SLIPWAY_MIRROR only: name a package or an address there too")

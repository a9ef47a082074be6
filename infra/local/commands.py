"""`slipway up`, `down`, `status`, `open` and `logs`: every service on this machine."""

from typing import Annotated

import typer

from slipway.arguments import AsJson, OptionalProject, print_json

app = typer.Typer()


@app.command()
def up() -> None:
    """Serve every model and train outdated projects; each starter is served once registered."""
    from infra.local.platform import up

    up()


@app.command()
def down() -> None:
    """Stop what `up` started."""
    from infra.local.platform import down

    down()


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show the services with their ports and health, and the models that are served."""
    from infra.local import status as states

    found = states.status()
    if as_json:
        print_json(found.content())
        return
    for line in states.lines(found):
        typer.echo(line)


@app.command("open")
def open_(
    project: OptionalProject = None,
    browser: Annotated[
        bool, typer.Option(help="Open it in the browser, beside printing the address")
    ] = True,
) -> None:
    """Open the page on which you can try a model, or the catalogue of all."""
    from slipway.rest import ServiceClient

    server = ServiceClient("predict")
    if project is not None:
        server.request_json("GET", f"/v1/models/{project}", seconds=5)
    address = f"{server.address}/try/{project}" if project else f"{server.address}/"
    typer.echo(address)
    if browser:
        typer.launch(address)


@app.command()
def logs(
    service: Annotated[
        str | None, typer.Argument(metavar="[SERVICE]", help="Such as predict; default: list all")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Print new lines until Ctrl-C")] = False,
    lines: Annotated[int, typer.Option(min=1, help="Lines from the end")] = 50,
    as_json: AsJson = False,
) -> None:
    """Print the log of a service, or list the logs."""
    from infra.local import service_logs

    if service is None:
        found = {name: str(file) for name, file in service_logs.files().items()}
        if as_json:
            print_json(found)
            return
        if not found:
            typer.echo("no logs; start the services: make up")
        for name, file in found.items():
            typer.echo(f"{name:24} {file}")
        return
    log = service_logs.log_of(service)
    for line in service_logs.tail(log, lines):
        typer.echo(line)
    if follow:
        for line in service_logs.follow(log):
            typer.echo(line)

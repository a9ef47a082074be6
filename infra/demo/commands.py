"""`slipway demo`: fill a running platform with something to see."""

from typing import Annotated

import typer

from slipway.arguments import Address, ProjectNames

app = typer.Typer(name="demo", no_args_is_help=True, help=__doc__)


@app.callback()
def group() -> None:
    """Fill a running platform with something to see."""


@app.command()
def traffic(
    names: ProjectNames = None,
    drift: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Shift this field of the records")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.01, max=1440)] = 1.0,
    rate: Annotated[float, typer.Option(min=0.1, max=100, help="Requests a second, of all")] = 10.0,
    address: Address = None,
) -> None:
    """Replay test rows, with their labels, to the model server, until Ctrl-C or the time is over.

    Projects that were not trained in this checkout get the examples that their versions ship. The
    records are marked: nothing is trained from them.
    """
    from infra.demo import traffic as demo
    from infra.demo.rows import rows_of
    from slipway.fault import Fault
    from slipway.names import unknown
    from slipway.rest import ServiceClient

    server = ServiceClient("predict", address=address)
    served = [each["name"] for each in server.request_json("GET", "/v1/models")["models"]]
    for name in names or []:
        if name not in served:
            raise Fault(unknown("served project", name, served))
    rows = [rows_of(server, name) for name in names or served]
    for each in rows:
        kind = "test rows" if each.from_test else "examples"
        typer.echo(f"{each.project}: {len(each.records):,} {kind}")
    report = demo.send(server, rows, seconds=60 * minutes, rate=rate, drifting=drift)
    for name, sent in report.sent.items():
        drifted = f", {drift} drifting" if name in report.drifted else ""
        refused = f", {sent.refused:,} refused: {sent.fault}" if sent.refused else ""
        typer.echo(f"{name}: {sent.requests:,} requests, {sent.labels:,} labels{drifted}{refused}")

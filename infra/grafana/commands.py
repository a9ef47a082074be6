"""`slipway grafana`: generate the dashboards in `infra/grafana` from the code."""

import typer

from slipway import home
from slipway.fault import Fault

app = typer.Typer(name="grafana", no_args_is_help=True, help=__doc__)


@app.command()
def generate() -> None:
    """Write the dashboards."""
    from infra.grafana.generated import write

    for file in write():
        typer.echo(f"{file.relative_to(home.root())} written")


@app.command()
def check() -> None:
    """Report which dashboards differ from what the code generates."""
    from infra.grafana.generated import dashboards, differences

    found = differences()
    for line in found:
        typer.echo(line)
    if found:
        raise Fault(
            f"{len(found)} dashboards are not current; write them: slipway grafana generate"
        )
    typer.echo(f"{len(dashboards())} dashboards checked, all current")

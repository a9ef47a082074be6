"""`slipway slo`: generate Prometheus' rules from the objectives in `infra/slo`."""

import typer

from slipway import home
from slipway.fault import Fault

app = typer.Typer(name="slo", no_args_is_help=True, help=__doc__)


@app.command()
def generate() -> None:
    """Write the rule files, also as objects of the Prometheus operator."""
    from infra.slo import generated, operator

    for file in (*generated.write(), *operator.write()):
        typer.echo(f"{file.relative_to(home.root())} written")


@app.command()
def check() -> None:
    """Report which rule files differ from what the objectives generate."""
    from infra.slo import generated, operator

    found = [*generated.differences(), *operator.differences()]
    for line in found:
        typer.echo(line)
    if found:
        raise Fault(f"{len(found)} rule files are not current; write them: slipway slo generate")
    checked = len(list(generated.folder().glob("*.yaml"))) + len(operator.texts())
    typer.echo(f"{checked} rule files checked, all current")


@app.command()
def programs() -> None:
    """Find Prometheus and Alertmanager, or unpack Debian's packages of them; needs no root."""
    from slipway.programs.debian import binary

    for name in ("prometheus", "promtool", "alertmanager", "amtool"):
        typer.echo(f"{name:14} {binary(name)}")

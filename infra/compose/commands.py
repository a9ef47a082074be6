"""`slipway stack`: the commands of docker-compose.yml's one-time containers."""

from pathlib import Path
from typing import Annotated

import typer

from slipway.arguments import ProjectNames
from slipway.fault import Fault

app = typer.Typer(name="stack", no_args_is_help=True, help=__doc__)


@app.command()
def prepare(
    place: Annotated[Path | None, typer.Argument(help="Where the containers' folders are")] = None,
) -> None:
    """Generate missing secrets, and write Prometheus' and Alertmanager's files."""
    from infra.compose import configuration, places, secrets
    from infra.slo.generated import dump
    from slipway.files import replace_text

    root = place or places.HERE
    drawn = secrets.prepare(root)
    for name, content in {
        places.PROMETHEUS: configuration.prometheus(),
        places.ALERTMANAGER: configuration.alertmanager(),
    }.items():
        replace_text(root / name / f"{name}.yml", dump(content), mode=places.READABLE)
    for each in drawn or ["all secrets are there"]:
        typer.echo(f"prepare: {each}")


@app.command()
def adopt(checkout: Annotated[Path, typer.Argument(help="A checkout that has trained")]) -> None:
    """Register what a checkout has trained; prints what to do if it has trained nothing."""
    from infra.compose.adopt import NOTHING
    from infra.compose.adopt import adopt as take

    found = take(checkout)
    if found.before:
        typer.echo(f"in the registry already: {', '.join(found.before)}")
    if found.now:
        typer.echo(f"registered: {', '.join(found.now)}")
    for name, why in found.refused.items():
        typer.echo(f"{name}: {why}")
    if not (found.before or found.now or found.refused):
        typer.echo(NOTHING)


@app.command()
def bootstrap(
    names: ProjectNames = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=64, help="Number of projects to train at once")
    ] = 1,
) -> None:
    """Train projects inside the stack, and register them; the starters if none is named."""
    from infra.compose.bootstrap import bootstrap as train

    done, failed, _ = train(names or [], jobs=jobs)
    typer.echo(f"up to date: {', '.join(done) or 'none'}")
    if failed:
        raise Fault(f"failed: {', '.join(failed)}; see above for the reasons")

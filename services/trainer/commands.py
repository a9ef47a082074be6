"""`slipway runs`: training runs of the trainer service. Sends $SLIPWAY_API_KEY if it is set."""

import shutil
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
import yaml

from slipway.arguments import AsJson, ProjectName, ProjectOption, print_json
from slipway.fault import Fault
from slipway.rest import ServiceClient

app = typer.Typer(name="runs", no_args_is_help=True, help=__doc__)

Id = Annotated[str, typer.Argument(metavar="RUN", help="Its id, as `slipway runs list` shows it")]


class BadAssignment(Fault):
    """Raised for a parameter that is not like fit.folds=3."""


@app.command()
def start(
    project: ProjectName,
    reason: Annotated[str, typer.Option(help="Why; recorded with the run")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A parameter, as in fit.folds=3; repeatable")
    ] = None,
    feedback: Annotated[
        bool, typer.Option(help="Train on the labels of POST /v1/feedback as well")
    ] = False,
    test_share: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of the feedback that becomes test rows")
    ] = 0.0,
    follow: Annotated[bool, typer.Option(help="Print the log until the run ends")] = False,
) -> None:
    """Queue a training run and print its id."""
    request: dict[str, Any] = {
        "project": project,
        "reason": reason,
        "parameters": parse_assignments(set_ or []),
    }
    if feedback:
        request["feedback"] = {"test_share": test_share}
    run = _trainer().request_json("POST", "/v1/runs", request)
    typer.echo(run["id"])
    if follow:
        logs(run["id"], follow=True)
        ended = _trainer().request_json("GET", f"/v1/runs/{run['id']}")
        typer.echo(f"{ended['state']}: {ended['outcome']}", err=True)
        if ended["state"] != "succeeded":
            raise typer.Exit(1)


@app.command("list")
def list_(
    project: ProjectOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the runs, newest first."""
    place = f"/v1/runs?limit={limit}" + (f"&project={project}" if project else "")
    runs = _trainer().request_json("GET", place)["runs"]
    if as_json:
        print_json(runs)
        return
    if not runs:
        typer.echo("no runs; start one: slipway runs start PROJECT --reason WHY")
    for run in runs:
        what = run["outcome"] or (run["stage"] or "")
        typer.echo(f"{run['id']}  {run['project']:20} {run['state']:10} {what}")


@app.command()
def show(id: Id) -> None:
    """Print all details of a run."""
    run = _trainer().request_json("GET", f"/v1/runs/{id}")
    for name in ("requested", "started", "ended"):
        run[name] = run[name] and datetime.fromtimestamp(run[name], UTC).isoformat()
    print_json(run)


@app.command()
def logs(
    id: Id, follow: Annotated[bool, typer.Option(help="Print new lines until the run ends")] = False
) -> None:
    """Print the log of a run."""
    # No timeout: a followed log is silent while a model is fitted.
    place = f"/v1/runs/{id}/logs?follow={str(follow).lower()}"
    with _trainer().request("GET", place, seconds=None) as response:
        shutil.copyfileobj(response, sys.stdout.buffer, 1)
    sys.stdout.flush()


@app.command()
def cancel(id: Id) -> None:
    """Cancel a run, queued or running."""
    run = _trainer().request_json("DELETE", f"/v1/runs/{id}")
    typer.echo(f"{id}: {run['outcome'] or 'is being stopped'}")


@app.command()
def decisions(
    project: ProjectOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List what alerts led to, and why; newest first."""
    place = f"/v1/decisions?limit={limit}" + (f"&project={project}" if project else "")
    found = _trainer().request_json("GET", place)["decisions"]
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo("no decisions: no alert has come yet")
    for each in found:
        alarm, moment = each["alarm"], datetime.fromtimestamp(each["time"], UTC)
        typer.echo(
            f"{moment.isoformat(timespec='seconds')}  {alarm['project']:20} {each['outcome']:10} "
            f"{alarm['name']}: {each['reason']}"
        )


def parse_assignments(assignments: list[str]) -> dict[str, Any]:
    """Return `{"fit": {"folds": 3}}` for `fit.folds=3`; values are parsed as YAML.

    Raises:
        BadAssignment: an assignment has another form.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        *above, name = path.split(".")
        if not equals or not above or not all((*above, name)):
            raise BadAssignment(f"--set {assignment}: must be like fit.folds=3")
        place = values
        for part in above:
            place = place.setdefault(part, {})
        place[name] = yaml.safe_load(value)
    return values


def _trainer() -> ServiceClient:
    return ServiceClient("trainer", start="python -m services.trainer")

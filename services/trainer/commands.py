"""`slipway runs`: training runs of the trainer service. Sends $SLIPWAY_API_KEY if it is set."""

import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime
from http.client import HTTPResponse
from typing import Annotated, Any

import typer
import yaml

from slipway import home

app = typer.Typer(name="runs", no_args_is_help=True, help=__doc__)

RESPONSE_SECONDS = 60
Id = Annotated[str, typer.Argument(metavar="RUN", help="Its id, as `slipway runs list` shows it")]


class TrainerFault(Exception):
    """Raised if the trainer refuses or cannot be reached; the message says which and why."""


@app.command()
def start(
    project: Annotated[str, typer.Argument(help="A project's name")],
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
    run = _request("POST", "/v1/runs", request)
    typer.echo(run["id"])
    if follow:
        logs(run["id"], follow=True)
        ended = _request("GET", f"/v1/runs/{run['id']}")
        typer.echo(f"{ended['state']}: {ended['outcome']}", err=True)
        if ended["state"] != "succeeded":
            raise typer.Exit(1)


@app.command("list")
def list_(
    project: Annotated[str | None, typer.Option(help="Only of this project")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
) -> None:
    """List the runs, newest first."""
    place = f"/v1/runs?limit={limit}" + (f"&project={project}" if project else "")
    for run in _request("GET", place)["runs"]:
        what = run["outcome"] or (run["stage"] or "")
        typer.echo(f"{run['id']}  {run['project']:20} {run['state']:10} {what}")


@app.command()
def show(id: Id) -> None:
    """Print all details of a run."""
    run = _request("GET", f"/v1/runs/{id}")
    for name in ("requested", "started", "ended"):
        run[name] = run[name] and datetime.fromtimestamp(run[name], UTC).isoformat()
    typer.echo(json.dumps(run, indent=1))


@app.command()
def logs(
    id: Id, follow: Annotated[bool, typer.Option(help="Print new lines until the run ends")] = False
) -> None:
    """Print the log of a run."""
    # No timeout: a followed log is silent while a model is fitted.
    with _open("GET", f"/v1/runs/{id}/logs?follow={str(follow).lower()}", seconds=None) as response:
        shutil.copyfileobj(response, sys.stdout.buffer, 1)
    sys.stdout.flush()


@app.command()
def cancel(id: Id) -> None:
    """Cancel a run, queued or running."""
    run = _request("DELETE", f"/v1/runs/{id}")
    typer.echo(f"{id}: {run['outcome'] or 'is being stopped'}")


@app.command()
def decisions(
    project: Annotated[str | None, typer.Option(help="Only of this project")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
) -> None:
    """List what alerts led to, and why; newest first."""
    place = f"/v1/decisions?limit={limit}" + (f"&project={project}" if project else "")
    for each in _request("GET", place)["decisions"]:
        alarm, moment = each["alarm"], datetime.fromtimestamp(each["time"], UTC)
        typer.echo(
            f"{moment.isoformat(timespec='seconds')}  {alarm['project']:20} {each['outcome']:10} "
            f"{alarm['name']}: {each['reason']}"
        )


def parse_assignments(assignments: list[str]) -> dict[str, Any]:
    """Return `{"fit": {"folds": 3}}` for `fit.folds=3`; values are parsed as YAML.

    Raises:
        TrainerFault: an assignment has another form.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        *above, name = path.split(".")
        if not equals or not above or not all((*above, name)):
            raise TrainerFault(f"--set {assignment}: must be like fit.folds=3")
        place = values
        for part in above:
            place = place.setdefault(part, {})
        place[name] = yaml.safe_load(value)
    return values


def _request(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    with _open(method, path, body) as response:
        return json.load(response)


def _open(
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    seconds: float | None = RESPONSE_SECONDS,
) -> HTTPResponse:
    """Send a request to the trainer and return the open response.

    Raises:
        TrainerFault: the trainer refused, with its own message, or cannot be reached.
    """
    address = os.environ.get("SLIPWAY_TRAINER_ADDRESS") or (
        f"http://{home.LOOPBACK}:{home.port('trainer')}"
    )
    request = urllib.request.Request(f"{address}{path}", method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if key := os.environ.get("SLIPWAY_API_KEY"):
        request.add_header("X-API-Key", key)
    try:
        return urllib.request.urlopen(request, timeout=seconds)  # type: ignore[no-any-return]
    except urllib.error.HTTPError as error:
        raise TrainerFault(_error_message(error)) from None
    except urllib.error.URLError as error:
        raise TrainerFault(
            f"no trainer at {address} ({error.reason}); start it: python -m services.trainer"
        ) from None


def _error_message(error: urllib.error.HTTPError) -> str:
    try:
        problem = json.load(error)
        return f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"the trainer responded with status {error.code}"

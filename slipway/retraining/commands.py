"""`slipway runs`: training runs of the trainer service. SLIPWAY_API_KEY is sent if it is set."""

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

app = typer.Typer(no_args_is_help=True, help=__doc__)

ANSWER_SECONDS = 60
Id = Annotated[str, typer.Argument(metavar="RUN", help="Its id, as `slipway runs list` shows it")]


class TrainerFault(Exception):
    """The trainer refused, or is not there; the message says which and why."""


@app.command()
def start(
    project: Annotated[str, typer.Argument(help="A project's name")],
    reason: Annotated[str, typer.Option(help="Why, for the record")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="fit.folds=3, as in params.yaml; repeat")
    ] = None,
    feedback: Annotated[
        bool, typer.Option(help="Train on the truths of POST /v1/feedback as well")
    ] = False,
    test_share: Annotated[
        float, typer.Option(min=0, max=0.5, help="Of the feedback, to the test rows instead")
    ] = 0.0,
    follow: Annotated[bool, typer.Option(help="Show its log until it ends")] = False,
) -> None:
    """Queue a training run; prints its id."""
    wanted: dict[str, Any] = {
        "project": project,
        "reason": reason,
        "parameters": assigned(set_ or []),
    }
    if feedback:
        wanted["feedback"] = {"test_share": test_share}
    run = _asked("POST", "/v1/runs", wanted)
    typer.echo(run["id"])
    if follow:
        logs(run["id"], follow=True)
        ended = _asked("GET", f"/v1/runs/{run['id']}")
        typer.echo(f"{ended['state']}: {ended['outcome']}", err=True)
        if ended["state"] != "succeeded":
            raise typer.Exit(1)


@app.command("list")
def list_(
    project: Annotated[str | None, typer.Option(help="Of one project")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
) -> None:
    """The newest runs first."""
    place = f"/v1/runs?limit={limit}" + (f"&project={project}" if project else "")
    for run in _asked("GET", place)["runs"]:
        what = run["outcome"] or (run["stage"] or "")
        typer.echo(f"{run['id']}  {run['project']:20} {run['state']:10} {what}")


@app.command()
def show(id: Id) -> None:
    """All that is known of a run."""
    run = _asked("GET", f"/v1/runs/{id}")
    for name in ("requested", "started", "ended"):
        run[name] = run[name] and datetime.fromtimestamp(run[name], UTC).isoformat()
    typer.echo(json.dumps(run, indent=1))


@app.command()
def logs(
    id: Id, follow: Annotated[bool, typer.Option(help="Also what is to come")] = False
) -> None:
    """The lines of a run."""
    # Without end when it is followed, and silent for as long as a fit is.
    with _opened("GET", f"/v1/runs/{id}/logs?follow={str(follow).lower()}", seconds=None) as answer:
        shutil.copyfileobj(answer, sys.stdout.buffer, 1)
    sys.stdout.flush()


@app.command()
def cancel(id: Id) -> None:
    """End a run, or take it out of the queue."""
    run = _asked("DELETE", f"/v1/runs/{id}")
    typer.echo(f"{id}: {run['outcome'] or 'is being ended'}")


@app.command()
def decisions(
    project: Annotated[str | None, typer.Option(help="Of one project")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
) -> None:
    """What alerts led to, and why; the newest first."""
    place = f"/v1/decisions?limit={limit}" + (f"&project={project}" if project else "")
    for each in _asked("GET", place)["decisions"]:
        alarm, moment = each["alarm"], datetime.fromtimestamp(each["time"], UTC)
        typer.echo(
            f"{moment.isoformat(timespec='seconds')}  {alarm['project']:20} {each['answer']:10} "
            f"{alarm['name']}: {each['reason']}"
        )


def assigned(words: list[str]) -> dict[str, Any]:
    """`{"fit": {"folds": 3}}` from `fit.folds=3`; values are read as YAML reads them.

    Raises:
        TrainerFault: a word is not of this form.
    """
    found: dict[str, Any] = {}
    for word in words:
        path, equals, value = word.partition("=")
        *above, name = path.split(".")
        if not equals or not above or not all((*above, name)):
            raise TrainerFault(f"--set {word}: must be like fit.folds=3")
        place = found
        for part in above:
            place = place.setdefault(part, {})
        place[name] = yaml.safe_load(value)
    return found


def _asked(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    with _opened(method, path, body) as answer:
        return json.load(answer)


def _opened(
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    seconds: float | None = ANSWER_SECONDS,
) -> HTTPResponse:
    """Raises TrainerFault: with the trainer's own words where it answers."""
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
        raise TrainerFault(_words(error)) from None
    except urllib.error.URLError as error:
        raise TrainerFault(
            f"no trainer at {address} ({error.reason}); start it: python -m services.trainer"
        ) from None


def _words(error: urllib.error.HTTPError) -> str:
    try:
        problem = json.load(error)
        return f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"the trainer answered {error.code}"

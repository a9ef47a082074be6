"""`slipway keys`: the API keys of the model server. Every change goes into the audit log."""

import math
import os
import pwd
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from slipway.access.scopes import Scope

app = typer.Typer(no_args_is_help=True, help=__doc__)


def _id(given: str) -> str:
    # Not repeated in the message nor recorded: it may be a key's whole text.
    if not re.fullmatch("[0-9a-f]{8}", given):
        raise typer.BadParameter("an id is 8 hexadecimal digits; `slipway keys list` shows them")
    return given


KeyId = Annotated[
    str, typer.Argument(metavar="ID", help="8 hexadecimal digits, as listed", callback=_id)
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="Repeat for several; predict if none is given")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Requests a second; no limit if not given")
    ] = None,
    burst: Annotated[
        float | None, typer.Option(help="Requests at once; those of one second if not given")
    ] = None,
    days: Annotated[
        float | None, typer.Option(help="Valid for so long; for ever if not given")
    ] = None,
) -> None:
    """Make a key and print it, once: it is kept only as a hash."""
    from slipway.access import keys

    scopes = [str(each) for each in scope or [Scope.PREDICT]]
    asked = {"name": name, "scopes": scopes, "rate": rate, "burst": burst, "days": days}
    with _recorded("keys.create", asked) as line:
        key, text = keys.create(name, scopes, rate, burst, days)
        line.target = key.id
    _show(text, f"key {key.id} of {key.name}")


@app.command("list")
def list_() -> None:
    """Every key, also those that are not valid any more; of no key its text."""
    from slipway.access import keys

    for key in keys.listed():
        state = key.state()
        notes = [f"by {key.replaced_by}"] if key.replaced_by else []
        if key.ends < math.inf:
            when = "until" if state in ("valid", "replaced") else "since"
            notes.append(f"{when} {_second(key.ends)}")
        rate = "no limit" if key.rate is None else f"{key.rate:g}/s"
        typer.echo(
            f"{key.id}  {key.name:24} {' '.join([state, *notes]):44} {rate:>10}  "
            f"{','.join(key.scopes)}"
        )


@app.command()
def rotate(
    id: KeyId,
    grace_seconds: Annotated[
        float, typer.Option(min=0, help="The old key stays valid for so long")
    ] = 3600,
) -> None:
    """Make the key that follows this one and print it, once."""
    from slipway.access import keys

    with _recorded("keys.rotate", {"grace_seconds": grace_seconds}, target=id) as line:
        key, text = keys.rotate(id, grace_seconds)
        line.detail["replaced_by"] = key.id
    _show(text, f"key {key.id} of {key.name}; {id} is valid for {grace_seconds:g} s more")


@app.command()
def revoke(id: KeyId) -> None:
    """Make a key invalid; running servers refuse it within a second."""
    from slipway.access import keys

    with _recorded("keys.revoke", {}, target=id):
        key = keys.revoke(id)
    typer.echo(f"key {key.id} of {key.name} is revoked")


@dataclass
class _Line:
    """Of the audit log; what a command does completes it."""

    detail: dict[str, Any]
    target: str


@contextmanager
def _recorded(action: str, detail: dict[str, Any], target: str = "") -> Iterator[_Line]:
    """Into the audit log how the block ended; the block may complete the line.

    A key is shown after this, so that none is handed out that is not on record.
    """
    from slipway.access import audit

    line, outcome = _Line(detail, target), "done"
    try:
        yield line
    except BaseException as error:  # also when interrupted
        outcome = f"failed: {str(error) or type(error).__name__}"
        raise
    finally:
        audit.record(
            actor=_actor(),
            action=action,
            target=line.target,
            detail=line.detail,
            outcome=outcome,
        )


def _actor() -> str:
    """From the system's list of users: the environment says what its owner likes."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a number
        user = str(os.getuid())
    return f"command line ({user})"


def _show(text: str, what: str) -> None:
    """The key alone on standard output, so that a script can take it from there."""
    typer.echo(f"{what}. This is the only time that it is shown:", err=True)
    typer.echo(text)


def _second(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(sep=" ", timespec="seconds")[:19] + "Z"

"""`slipway keys`: manage API keys. Every change is recorded in the audit log."""

import math
import os
import pwd
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.access.scopes import Scope
from slipway.arguments import AsJson, print_json

if TYPE_CHECKING:
    from slipway.access.keys import Key

app = typer.Typer(name="keys", no_args_is_help=True, help=__doc__)


def _id(given: str) -> str:
    # The value is neither shown nor recorded, because it may be the text of a key.
    if not re.fullmatch("[0-9a-f]{8}", given):
        raise typer.BadParameter("an id is 8 hexadecimal digits; `slipway keys list` shows them")
    return given


KeyId = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="8 hexadecimal digits; see `slipway keys list`", callback=_id
    ),
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who uses the key")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="Repeatable; predict by default")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Requests per second; no limit by default")
    ] = None,
    burst: Annotated[
        float | None, typer.Option(help="Requests at the same time; by default those of one second")
    ] = None,
    days: Annotated[
        float | None, typer.Option(help="How long it is valid; forever by default")
    ] = None,
) -> None:
    """Create a key and print it once; only its hash is stored."""
    from slipway.access import keys

    scopes = [str(each) for each in scope or [Scope.PREDICT]]
    detail = {"name": name, "scopes": scopes, "rate": rate, "burst": burst, "days": days}
    with _recorded("keys.create", detail) as line:
        key, text = keys.create(name, scopes, rate, burst, days)
        line.target = key.id
    _show(text, f"key {key.id} of {key.name}")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List all keys, also invalid ones, without their texts."""
    from slipway.access import keys

    listed = keys.list_keys()
    if as_json:
        print_json([_content(key) for key in listed])
        return
    if not listed:
        typer.echo("no keys; create one: slipway keys create NAME --scope predict")
    for key in listed:
        state = key.state()
        notes = [f"by {key.replaced_by}"] if key.replaced_by else []
        if key.ends < math.inf:
            when = "until" if state in ("valid", "replaced") else "since"
            notes.append(f"{when} {_format_time(key.ends)}")
        rate = "no limit" if key.rate is None else f"{key.rate:g}/s"
        typer.echo(
            f"{key.id}  {key.name:24} {' '.join([state, *notes]):44} {rate:>10}  "
            f"{','.join(key.scopes)}"
        )


def _content(key: "Key") -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "state": key.state(),
        "scopes": list(key.scopes),
        "rate": key.rate,
        "ends": _format_time(key.ends) if key.ends < math.inf else None,
        "replaced_by": key.replaced_by,
    }


@app.command()
def rotate(
    id: KeyId,
    grace_seconds: Annotated[
        float, typer.Option(min=0, help="How long the old key stays valid")
    ] = 3600,
) -> None:
    """Create the key's successor and print it once."""
    from slipway.access import keys

    with _recorded("keys.rotate", {"grace_seconds": grace_seconds}, target=id) as line:
        key, text = keys.rotate(id, grace_seconds)
        line.detail["replaced_by"] = key.id
    _show(text, f"key {key.id} of {key.name}; {id} is valid for {grace_seconds:g} s more")


@app.command()
def revoke(id: KeyId) -> None:
    """Revoke a key; running servers refuse it within a second."""
    from slipway.access import keys

    with _recorded("keys.revoke", {}, target=id):
        key = keys.revoke(id)
    typer.echo(f"key {key.id} of {key.name} is revoked")


@app.command()
def registry() -> None:
    """Print the key with which people call the MLflow that `make up` starts."""
    from slipway.access import registry_keys

    registry_keys.ensure()
    typer.echo(registry_keys.key_file().read_text())


@dataclass
class _Line:
    """A line of the audit log, which the command completes."""

    detail: dict[str, Any]
    target: str


@contextmanager
def _recorded(action: str, detail: dict[str, Any], target: str = "") -> Iterator[_Line]:
    """Record in the audit log how the block ended; the block may complete the line.

    A key is printed only after this, so that no key is given out without a record.
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
    """Return the user by the system's list; the environment could be set to any name."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a user without a name
        user = str(os.getuid())
    return f"command line ({user})"


def _show(text: str, what: str) -> None:
    """Print the key alone to standard output, so that scripts can read it there."""
    typer.echo(f"{what}. This is the only time that it is shown:", err=True)
    typer.echo(text)


def _format_time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(sep=" ", timespec="seconds")[:19] + "Z"

"""`slipway promote`, `slipway rollback`, `slipway rollout`: who becomes champion, and why."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.policy.commands import actor

if TYPE_CHECKING:
    from slipway.rollout.state import State

app = typer.Typer(no_args_is_help=True, help="Rollouts under way: how they stand, carried on.")

Name = Annotated[str, typer.Argument(metavar="PROJECT")]
Version = Annotated[str, typer.Argument(help="A registered version's number")]
Reason = Annotated[str, typer.Option(help="For the promotion log: why")]

Approver = Annotated[
    str, typer.Option(envvar="SLIPWAY_APPROVER", help="Who approved it, where others run this")
]


def promote(
    name: Name,
    version: Version,
    now: Annotated[bool, typer.Option("--now", help="Without checks, shadow or canary")] = False,
    reason: Reason = "",
    plan: Annotated[Path | None, typer.Option(help="YAML; see docs/rollout.md")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Begin it, and leave it to `slipway rollout watch`")
    ] = False,
    approver: Approver = "",
) -> None:
    """Roll a version out: checks, shadow, canary, champion; or back, by the plan's rules."""
    from slipway import rollout
    from slipway.rollout import by_hand
    from slipway.rollout import plan as plans

    if now:
        by_hand.promote(name, version, actor=_acting(approver), reason=reason)
        typer.echo(f"{name}: v{version} is champion (by hand: {reason})")
        return
    chosen = plans.read(plan) if plan else None
    state = rollout.start(name, version, plan=chosen, actor=_acting(approver))
    typer.echo(f"{name}: rollout {state.id} of v{version} begins")
    if not detach:
        _exit(_carry_on(name))


def rollback(
    name: Name,
    to: Annotated[str | None, typer.Option(help="A version; the champion before if none")] = None,
    reason: Reason = "",
    approver: Approver = "",
) -> None:
    """Make the champion before champion again, at once."""
    from slipway.rollout import by_hand

    version = by_hand.rollback(name, to=to, actor=_acting(approver), reason=reason)
    typer.echo(f"{name}: v{version} is champion again")


def history(name: str | None, at: str | None) -> None:
    """The promotion log, or what it says of one moment."""
    from slipway.registry import promotions
    from slipway.rollout import served, traffic

    entries = promotions.history(name)
    if at is None:
        for entry in entries:
            typer.echo(served.line(entry))
        return
    when = served.moment(at)
    if name is None:
        raise served.BadTime("at: of which project? slipway history PROJECT --at TIME")
    found = served.at(name, when, entries)
    try:
        tags = dict(traffic.version(name, found.version).tags)
    except Exception as error:
        # The log alone must answer, too, when the registry is away or has lost the version.
        typer.echo(f"the registry says nothing of v{found.version}: {error}", err=True)
        tags = {}
    for line in served.lines(found, tags):
        typer.echo(line)


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="PROJECT", help="All if none")] = None,
) -> None:
    """How the last rollout of each project stands, or ended."""
    from slipway.rollout import state as states
    from slipway.rollout.running import described

    found = [states.load(name)] if name else states.rollouts()
    for state in found:
        carried = "" if state.over else f", {_carried(state.project)}"
        typer.echo(
            f"{state.project} v{state.version} {described(state)}{carried}: {state.note} "
            f"(rollout {state.id} of {state.actor})"
        )
    if not found:
        typer.echo("no rollouts")


@app.command()
def watch(name: Name) -> None:
    """Carry a rollout on until it is over, also one that somebody else began."""
    _exit(_carry_on(name))


@app.command()
def abort(name: Name, reason: Reason = "") -> None:
    """End a rollout: the champion answers everything again."""
    from slipway import rollout
    from slipway.rollout import state as states
    from slipway.rollout.by_hand import NoReason

    if not reason.strip():
        raise NoReason("reason: must say why, for whoever reads the log; give --reason")
    state = states.load(name)
    if state.over:
        raise rollout.NoRollout(f"{name}: no rollout runs; the last one was {state.stage}")
    states.ask_abort(state, actor=actor(), reason=reason)
    try:
        _carry_on(name)
    except rollout.Controlled:
        typer.echo(f"{name}: its controller ends it at its next look")


def _acting(approver: str) -> str:
    """Who answers for it, and whose account the command runs under."""
    return f"{approver}, through the {actor()}" if approver.strip() else actor()


def _carried(project: str) -> str:
    """Whether somebody acts for it."""
    from slipway.rollout.controller import Controlled, alone

    try:
        with alone(project):
            return f"nobody carries it on: slipway rollout watch {project}"
    except Controlled:
        return "carried on"


def _carry_on(name: str) -> "State":
    """Ctrl-C leaves it as it stands, for the next `watch`."""
    from slipway import rollout

    return rollout.run(name, say=typer.echo)


def _exit(state: "State") -> None:
    """Unless it was promoted, with status 1: a script can tell."""
    from slipway.rollout.decision import Stage

    if state.stage != Stage.PROMOTED:
        raise typer.Exit(1)

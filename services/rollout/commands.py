"""`slipway promote`, `slipway rollback`, `slipway history` and `slipway rollout`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.arguments import AsJson, OptionalProject, ProjectName, print_json
from slipway.policy.commands import actor

if TYPE_CHECKING:
    from services.rollout.state import RolloutState

top = typer.Typer()
app = typer.Typer(name="rollout", no_args_is_help=True, help="Show, run and abort rollouts.")

Version = Annotated[str, typer.Argument(help="A registered version's number")]
Reason = Annotated[str, typer.Option(help="Why, for the promotion log")]

Approver = Annotated[
    str, typer.Option(envvar="SLIPWAY_APPROVER", help="Who approved it, if somebody else runs this")
]


@top.command()
def promote(
    name: ProjectName,
    version: Version,
    now: Annotated[bool, typer.Option("--now", help="Without checks, shadow or canary")] = False,
    reason: Reason = "",
    plan: Annotated[Path | None, typer.Option(help="A YAML file; see docs/rollout.md")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Only start it; `slipway rollout watch` runs it")
    ] = False,
    approver: Approver = "",
) -> None:
    """Roll out a version: checks, shadow, canary, champion; or roll back, by the plan's rules."""
    from services import rollout
    from services.rollout import by_hand
    from services.rollout import plan as plans

    if now:
        by_hand.promote(name, version, actor=_acting(approver), reason=reason)
        typer.echo(f"{name}: v{version} is champion (by hand: {reason})")
        return
    chosen = plans.read(plan) if plan else None
    state = rollout.start(name, version, plan=chosen, actor=_acting(approver))
    typer.echo(f"{name}: rollout {state.id} of v{version} started")
    if not detach:
        _exit(_run(name))


@top.command()
def rollback(
    name: ProjectName,
    to: Annotated[
        str | None, typer.Option(help="A version; by default the previous champion")
    ] = None,
    reason: Reason = "",
    approver: Approver = "",
) -> None:
    """Make the previous champion champion again, immediately."""
    from services.rollout import by_hand

    version = by_hand.rollback(name, to=to, actor=_acting(approver), reason=reason)
    typer.echo(f"{name}: v{version} is champion again")


@top.command()
def history(
    name: OptionalProject = None,
    at: Annotated[
        str | None, typer.Option(help="Show what served the project at this time")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what was promoted when, and on what evidence."""
    from services.rollout import served, traffic
    from slipway.registry import promotions

    entries = promotions.history(name)
    if as_json:
        print_json(entries)
        return
    if at is None:
        if not entries:
            typer.echo(f"{name}: nothing was promoted" if name else "nothing was promoted")
        for entry in entries:
            typer.echo(served.line(entry))
        return
    when = served.parse_time(at)
    if name is None:
        raise served.BadTime("at: needs a project: slipway history PROJECT --at TIME")
    found = served.at(name, when, entries)
    try:
        tags = dict(traffic.version(name, found.version).tags)
    except Exception as error:
        # The log alone must suffice if the registry is unavailable or has lost the version.
        typer.echo(f"no tags of v{found.version} from the registry: {error}", err=True)
        tags = {}
    for line in served.lines(found, tags):
        typer.echo(line)


@app.command()
def status(
    name: OptionalProject = None,
    as_json: AsJson = False,
) -> None:
    """Show the last rollout of each project."""
    from services.rollout import state as states
    from services.rollout.running import describe

    found = [states.load(name)] if name else states.rollouts()
    if as_json:
        print_json([each.model_dump(mode="json") for each in found])
        return
    for state in found:
        control = "" if state.over else f", {_control(state.project)}"
        typer.echo(
            f"{state.project} v{state.version} {describe(state)}{control}: {state.note} "
            f"(rollout {state.id} of {state.actor})"
        )
    if not found:
        typer.echo("no rollouts")


@app.command()
def watch(name: ProjectName) -> None:
    """Run a rollout until it is over, also one that somebody else started."""
    _exit(_run(name))


@app.command()
def abort(name: ProjectName, reason: Reason = "") -> None:
    """Abort a rollout: the champion serves all requests again."""
    from services import rollout
    from services.rollout import state as states
    from services.rollout.by_hand import NoReason

    if not reason.strip():
        raise NoReason("reason: must say why, for the readers of the log; use --reason")
    state = states.load(name)
    if state.over:
        raise rollout.NoRollout(f"{name}: no rollout is under way; the last one was {state.stage}")
    states.request_abort(state, actor=actor(), reason=reason)
    try:
        _run(name)
    except rollout.AlreadyControlled:
        typer.echo(f"{name}: its controller aborts it at its next step")


def _acting(approver: str) -> str:
    """Return who approved the change, and the account that runs the command."""
    return f"{approver}, through the {actor()}" if approver.strip() else actor()


def _control(project: str) -> str:
    """Return whether a controller runs the rollout."""
    from services.rollout.controller import AlreadyControlled, exclusive_control

    try:
        with exclusive_control(project):
            return f"no controller runs it: slipway rollout watch {project}"
    except AlreadyControlled:
        return "under control"


def _run(name: str) -> "RolloutState":
    """Run the rollout. Ctrl-C pauses it; the next `watch` resumes it."""
    from services import rollout

    return rollout.run(name, report=typer.echo)


def _exit(state: "RolloutState") -> None:
    """Exit with status 1 unless the version was promoted, for scripts."""
    from services.rollout.decision import Stage

    if state.stage != Stage.PROMOTED:
        raise typer.Exit(1)

"""`slipway affected`, `report`, `images`, `audit`, `approver`: the steps of the workflows."""

import json
from pathlib import Path
from typing import Annotated

import typer

from slipway import home
from slipway.fault import Fault

Since = Annotated[str, typer.Option(help="A commit, branch or tag to compare the files with")]


def affected(
    since: Since,
    as_json: Annotated[bool, typer.Option("--json", help="With what changed of each")] = False,
) -> None:
    """The projects that DVC would run again for what changed, a name a line."""
    from slipway.delivery.affected import changes

    found = changes(home.root(), since)
    names = {project.rpartition("/")[2]: list(why) for project, why in found.reasons.items()}
    if as_json:
        typer.echo(json.dumps(names, indent=1, ensure_ascii=False, sort_keys=True))
        return
    for name in sorted(names):
        typer.echo(name)


def report(
    since: Since,
    file: Annotated[Path | None, typer.Option(help="Write it there; else it is printed")] = None,
    link: Annotated[
        str, typer.Option(help="Address before the path of a picture, ending with a slash")
    ] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 when a model would not be promoted")
    ] = False,
) -> None:
    """What a change does to the models: Markdown for the comment on a pull request."""
    from slipway.delivery.report import report

    made = report(home.root(), since, link=link)
    if file is None:
        typer.echo(made.text(), nl=False)
    else:
        file.write_text(made.text())
        typer.echo(f"{file} written")
    if strict and (faults := made.faults()):
        for fault in faults:
            typer.echo(fault, err=True)
        raise typer.Exit(1)


images = typer.Typer(no_args_is_help=True, help="The images: built, listed, and what they hold.")

Targets = Annotated[
    list[str] | None, typer.Argument(help="Of infra/images/Dockerfile; all if none")
]
Tag = Annotated[str, typer.Option(help="Behind the colon of the image's name")]


@images.command("list")
def list_(
    export: Annotated[
        bool, typer.Option("--export", help="Set the output `targets` of a workflow's step")
    ] = False,
) -> None:
    """The targets of the Dockerfile that end as images."""
    from slipway.delivery import steps

    found = _chosen(None)
    if export:
        steps.hand_on("GITHUB_OUTPUT", "targets", json.dumps(found))
    for target in found:
        typer.echo(target)


@images.command()
def build(targets: Targets = None, tag: Tag = "latest") -> None:
    """Build them from the working tree."""
    from slipway.delivery.images import build

    for target in _chosen(targets):
        typer.echo(f"{build(home.root(), target, tag)} built")


@images.command()
def sbom(
    targets: Targets = None,
    tag: Tag = "latest",
    into: Annotated[Path | None, typer.Option(help="A folder; .slipway/sbom if none")] = None,
) -> None:
    """Write each image's bill of materials, valid CycloneDX JSON."""
    from slipway.delivery import sbom
    from slipway.delivery.images import name

    for target in _chosen(targets):
        file = (into or home.home() / "sbom") / f"{target}.cdx.json"
        typer.echo(f"{file} written, {sbom.write(name(target, tag), file)} components")


@images.command()
def contents(targets: Targets = None, tag: Tag = "latest") -> None:
    """Say what an image holds that it must not: setuid files, secrets, compilers, installers."""
    from slipway.delivery import contents
    from slipway.delivery.images import name

    faults = 0
    for target in _chosen(targets):
        found = contents.inspect(name(target, tag))
        for fault in found.faults():
            faults += 1
            typer.echo(f"{target}: {fault}")
        for kind, why in found.allowed.items():
            typer.echo(f"{target}: {kind} allowed: {why}")
    if faults:
        raise Fault(f"{faults} faults in the images")
    typer.echo("the images hold nothing that they must not")


def audit() -> None:
    """Ask for known vulnerabilities of every package in the locks; needs the advisory service."""
    from slipway.delivery import advisories

    root = home.root()
    ignored = advisories.accepted(root / "pyproject.toml")
    faults = 0
    for lock, pins in advisories.pins(root / "infra" / "environment" / "locks").items():
        audited = advisories.audit(pins, ignored=ignored)
        for fault in advisories.faults(audited):
            faults += 1
            typer.echo(f"{lock}: {fault}")
        typer.echo(f"{lock}: {audited.asked - len(audited.unknown)} packages audited")
    for name, why in ignored.items():
        typer.echo(f"accepted: {name} ({why})")
    if faults:
        raise Fault(f"{faults} findings; see above")


def approver(
    export: Annotated[
        bool, typer.Option("--export", help="Set SLIPWAY_APPROVER for the steps that follow")
    ] = False,
) -> None:
    """Who approved the workflow run that this is a step of; a fault if nobody did."""
    from slipway.delivery import approval, steps

    names = ", ".join(approval.approvers(approval.Run.current()))
    if export:
        steps.hand_on("GITHUB_ENV", approval.VARIABLE, names)
    typer.echo(names)


def _chosen(targets: list[str] | None) -> list[str]:
    from slipway.delivery.images import targets as all_targets

    known = all_targets(home.root())
    if unknown := set(targets or ()) - set(known):
        raise Fault(f"no image {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return targets or known

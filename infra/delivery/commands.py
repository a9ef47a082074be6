"""`slipway affected`, `report`, `images`, `audit`, `approver`: the steps of the CI workflows."""

import json
from pathlib import Path
from typing import Annotated

import typer

from slipway import home
from slipway.arguments import AsJson, print_json
from slipway.fault import Fault

app = typer.Typer()

Since = Annotated[str, typer.Option(help="A commit, branch or tag to compare the files with")]


@app.command()
def affected(
    since: Since,
    as_json: AsJson = False,
) -> None:
    """List the projects whose stages DVC would run again, a name a line."""
    from infra.delivery.affected import changes

    found = changes(home.root(), since)
    names = {project.rpartition("/")[2]: list(why) for project, why in found.reasons.items()}
    if as_json:
        typer.echo(json.dumps(names, indent=1, ensure_ascii=False, sort_keys=True))
        return
    for name in sorted(names):
        typer.echo(name)


@app.command()
def report(
    since: Since,
    file: Annotated[
        Path | None, typer.Option(help="Write to this file instead of standard output")
    ] = None,
    link: Annotated[str, typer.Option(help="URL prefix of pictures, ending with a slash")] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 when a model would not be promoted")
    ] = False,
) -> None:
    """Report what a change does to the models, as Markdown for a pull request's comment."""
    from infra.delivery.report import report

    written = report(home.root(), since, link=link)
    if file is None:
        typer.echo(written.text(), nl=False)
    else:
        file.write_text(written.text())
        typer.echo(f"{file} written")
    if strict and (faults := written.faults()):
        for fault in faults:
            typer.echo(fault, err=True)
        raise typer.Exit(1)


images = typer.Typer(
    name="images", no_args_is_help=True, help="List, build and inspect the images."
)

Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TARGET]...", help="Targets of infra/images/Dockerfile; all if none is given"
    ),
]
Tag = Annotated[str, typer.Option(help="Tag of the images")]


@images.command("list")
def list_(
    export: Annotated[
        bool, typer.Option("--export", help="Set the output `targets` of a workflow's step")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the Dockerfile's targets that are images."""
    from infra.delivery import steps

    found = _selected(None)
    if export:
        steps.set_variable("GITHUB_OUTPUT", "targets", json.dumps(found))
    if as_json:
        print_json(found)
        return
    for target in found:
        typer.echo(target)


@images.command()
def build(targets: Targets = None, tag: Tag = "latest") -> None:
    """Build the images from the working tree."""
    from infra.delivery.images import build

    for target in _selected(targets):
        typer.echo(f"{build(home.root(), target, tag)} built")


@images.command()
def sbom(
    targets: Targets = None,
    tag: Tag = "latest",
    into: Annotated[Path | None, typer.Option(help="A folder; .slipway/sbom by default")] = None,
) -> None:
    """Write each image's software bill of materials (SBOM), valid CycloneDX JSON."""
    from infra.delivery import sbom
    from infra.delivery.images import name

    for target in _selected(targets):
        file = (into or home.home() / "sbom") / f"{target}.cdx.json"
        typer.echo(f"{file} written, {sbom.write(name(target, tag), file)} components")


@images.command()
def contents(targets: Targets = None, tag: Tag = "latest") -> None:
    """List what an image must not hold: setuid files, secrets, compilers, installers."""
    from infra.delivery import contents
    from infra.delivery.images import name

    faults = 0
    for target in _selected(targets):
        found = contents.inspect(name(target, tag))
        for fault in found.faults():
            faults += 1
            typer.echo(f"{target}: {fault}")
        for kind, why in found.allowed.items():
            typer.echo(f"{target}: {kind} allowed: {why}")
    if faults:
        raise Fault(f"{faults} faults in the images")
    typer.echo("the images hold nothing that they must not")


@app.command()
def audit() -> None:
    """Look up known vulnerabilities of every locked package; needs the advisory service."""
    from infra.delivery import advisories

    root = home.root()
    ignored = advisories.accepted(root / "pyproject.toml")
    faults = 0
    for lock, pins in advisories.pins(root / "infra" / "environment" / "locks").items():
        audited = advisories.audit(pins, ignored=ignored)
        for fault in advisories.faults(audited):
            faults += 1
            typer.echo(f"{lock}: {fault}")
        typer.echo(f"{lock}: {audited.audited - len(audited.unknown)} packages audited")
    for name, why in ignored.items():
        typer.echo(f"accepted: {name} ({why})")
    if faults:
        raise Fault(f"{faults} findings; see above")


@app.command()
def approver(
    export: Annotated[
        bool, typer.Option("--export", help="Set SLIPWAY_APPROVER for the steps that follow")
    ] = False,
) -> None:
    """Print who approved the workflow run of this step; fails if nobody did."""
    from infra.delivery import approval, steps

    names = ", ".join(approval.approvers(approval.WorkflowRun.current()))
    if export:
        steps.set_variable("GITHUB_ENV", approval.VARIABLE, names)
    typer.echo(names)


def _selected(targets: list[str] | None) -> list[str]:
    from infra.delivery.images import targets as all_targets

    known = all_targets(home.root())
    if unknown := set(targets or ()) - set(known):
        raise Fault(f"no image {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return targets or known

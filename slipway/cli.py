"""The `slipway` command. Each verb imports what it needs when it runs."""

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from slipway import home
from slipway.access import commands as keys
from slipway.cluster import commands as cluster
from slipway.delivery import commands as delivery
from slipway.fault import Fault
from slipway.features import commands as features
from slipway.grafana import commands as grafana
from slipway.policy import commands as policies
from slipway.retraining import commands as runs
from slipway.rollout import commands as rollouts
from slipway.scoring.commands import score
from slipway.slo import commands as slo
from slipway.stack import commands as stack
from slipway.triton import commands as triton

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__
)

STAGES = "Stages (run by dvc repro in a project's folder)"
ProjectFolder = Annotated[
    Path, typer.Argument(help="A project's folder; the current one if not given")
]
app.add_typer(features.app, name="features")
app.add_typer(grafana.app, name="grafana")
app.add_typer(cluster.app, name="k8s")
app.add_typer(keys.app, name="keys")
app.add_typer(policies.app, name="policy")
app.add_typer(runs.app, name="runs")
app.add_typer(slo.app, name="slo")
app.add_typer(stack.app, name="stack")
app.add_typer(triton.app, name="triton")
app.command()(score)
app.add_typer(rollouts.app, name="rollout")
app.command()(rollouts.promote)
app.command()(rollouts.rollback)
app.command()(delivery.affected)
app.command()(delivery.report)
app.command()(delivery.audit)
app.command()(delivery.approver)
app.add_typer(delivery.images, name="images")


Into = Annotated[
    Path | None, typer.Option(help="Write into this folder instead of the project's own")
]


def _stage(module: str, function: str, folder: Path, into: Path | None) -> None:
    """Run a stage of the project in `folder`, the arithmetic pinned before anything computes."""
    from slipway import arithmetic

    arithmetic.pin()
    from importlib import import_module

    from slipway.project import Project
    from slipway.training.workspace import Workspace

    project = Project(folder.resolve())
    if not (project.folder / "params.yaml").is_file():
        raise Fault(f"{project.folder} is no project: it has no params.yaml")
    work = Workspace(project, project.params, into.resolve() if into else project.folder)
    getattr(import_module(module), function)(work)


@app.command(rich_help_panel=STAGES)
def prepare(folder: ProjectFolder = Path(), into: Into = None) -> None:
    """Fetch the data set and split it."""
    _stage("slipway.stages.prepare", "prepare", folder, into)


@app.command(rich_help_panel=STAGES)
def fit(folder: ProjectFolder = Path(), into: Into = None) -> None:
    """Train the candidates, export the chosen one, measure its parity."""
    _stage("slipway.stages.fit", "fit", folder, into)


@app.command(rich_help_panel=STAGES)
def evaluate(folder: ProjectFolder = Path(), into: Into = None) -> None:
    """Score the served predictions on the test rows, and draw the report."""
    _stage("slipway.stages.evaluate", "evaluate", folder, into)


@app.command(rich_help_panel=STAGES)
def register(folder: ProjectFolder = Path(), into: Into = None) -> None:
    """Hold the gate, add a version to the registry, promote it if it is not worse."""
    _stage("slipway.registry.register", "register", folder, into)


@app.command("list")
def list_() -> None:
    """Every project with its data set, primary metric and state."""
    from slipway.overview import lines

    for line in lines():
        typer.echo(line)


@app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument()] = None,
    write: Annotated[
        bool, typer.Option("--write", help="First generate each dvc.yaml and pins.json anew")
    ] = False,
) -> None:
    """Say what falls short in the projects, all of them or those named."""
    from slipway.check import repository_shortfalls, shortfalls
    from slipway.dependencies.generate import generate
    from slipway.project import discover, find

    projects = [find(name) for name in names] if names else discover()
    if write:
        for file in generate(home.root(), projects):
            typer.echo(f"{file.relative_to(home.root())} written")
    said = repository_shortfalls(home.root())
    said += [line for project in projects for line in shortfalls(project)]
    for line in said:
        typer.echo(line)
    if said:
        raise Fault(f"{len(said)} shortfalls in {len(projects)} projects")
    typer.echo(f"{len(projects)} projects checked, nothing falls short")


@app.command()
def new(place: Annotated[str, typer.Argument(help="Track and name, like ml/loan_default")]) -> None:
    """Write the skeleton of a project; it trains as it stands."""
    from slipway.scaffold import create

    folder = create(place, home.root()).relative_to(home.root())
    typer.echo(f"{folder} written; train it: dvc repro {folder}/dvc.yaml")


@app.command()
def datasets(
    names: Annotated[list[str] | None, typer.Argument(help="Fetch these; list all if none")] = None,
) -> None:
    """List the catalogue, or fetch and verify data sets by name."""
    from slipway.datasets import entries, fetch

    if names:
        for name in names:
            for file, origin in fetch(name).origins.items():
                typer.echo(f"{name}: {file} verified ({origin})")
        return
    for name, entry in entries().items():
        size = sum(file.bytes for file in entry.files.values())
        typer.echo(f"{name:24} {size / 1e6:8.1f} MB  {entry.title}")


@app.command()
def history(
    name: Annotated[str | None, typer.Argument(help="A project; all if none")] = None,
    at: Annotated[str | None, typer.Option(help="What served the project at this time")] = None,
) -> None:
    """What was promoted when, and on what evidence."""
    rollouts.history(name, at)


@app.command()
def readme(names: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Write the figures and pictures of the last run into the projects' READMEs."""
    from slipway.project import discover, find
    from slipway.readme import write

    for project in [find(name) for name in names] if names else discover():
        write(project)
        typer.echo(f"{project.folder.relative_to(home.root())}/README.md written")


@app.command()
def measure(names: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Time trained projects on this machine, and ask the monitor for drift: for the leaderboard."""
    from slipway.measured import measure
    from slipway.project import discover, find

    projects = [find(name) for name in names] if names else discover()
    found = measure(projects)
    for project in projects:
        told = found[project.name]
        typer.echo(
            f"{project.name:24} trained in {told.fit_seconds:7.1f} s  one record p50 "
            f"{told.p50_ms:.3f}, p99 {told.p99_ms:.3f} ms  {told.drift}"
        )


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Projects; those trained here if none")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of a model server; that of make up")] = None,
    lock: Annotated[
        bool, typer.Option("--lock", help="Train in a scratch folder, compare with dvc.lock")
    ] = False,
) -> None:
    """Send every test row to a running model server, and recompute the metrics from its answers.

    With --lock no server is asked: the projects are trained in a scratch folder, and every output
    is compared with the committed dvc.lock, which is never written.
    """
    if lock:
        _verify_locks(names)
        return
    from slipway import verify
    from slipway.project import discover, find
    from slipway.reporting.figure import figure
    from slipway.training.workspace import Workspace

    works = [Workspace.of(each) for each in (map(find, names) if names else discover())]
    asked = [each for each in works if names or verify.trained(each)]
    left = [each.project.name for each in works if each not in asked]
    if not asked:
        raise Fault("no project was trained in this checkout: slipway repro")
    said = []
    with verify.connect(address) as client:
        for work in asked:
            found = verify.verify(work, client)
            project, primary = work.project, work.project.params.primary
            typer.echo(
                f"{project.name:24} version {found.version:4} {found.rows:7,} rows  "
                f"{primary} {figure(found.served[primary])}"
            )
            said += [f"{project.name}: {line}" for line in found.differing]
    for line in said:
        typer.echo(line)
    if said:
        raise Fault(f"{len(said)} metrics differ from what metrics.json says")
    if left:
        typer.echo(f"not trained here: {', '.join(left)}")
    typer.echo(f"{len(asked)} projects answer as their metrics.json says")


def _verify_locks(names: list[str] | None) -> None:
    import tempfile

    from slipway import arithmetic
    from slipway.project import discover, find
    from slipway.verify_lock import NotComparable, verify_lock

    projects = [find(name) for name in names] if names else discover()
    typer.echo(f"processor: {arithmetic.processor()}")
    failed = []
    for project in projects:
        with tempfile.TemporaryDirectory(prefix=f"slipway-{project.name}-") as scratch:
            try:
                verdict = verify_lock(project, Path(scratch))
            except NotComparable as error:
                typer.echo(str(error))
                failed.append(project.name)
                continue
        if verdict.equal:
            typer.echo(f"{project.name}: equal to its lock, {verdict.outputs} outputs")
        else:
            failed.append(project.name)
            for each in verdict.differing:
                typer.echo(f"{project.name}: {each} differs from the lock")
    if failed:
        raise Fault(
            f"{len(failed)} of {len(projects)} differ from their locks: {', '.join(failed)}"
        )
    typer.echo(f"{len(projects)} projects equal their locks on this processor")


@app.command()
def leaderboard(file: Path) -> None:
    """Write the table of all projects; the root stage of dvc repro."""
    from slipway.overview import leaderboard

    file.write_text(leaderboard())


@app.command()
def repro(
    names: Annotated[list[str] | None, typer.Argument(help="Projects; all if none")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Projects trained side by side")] = 1,
) -> None:
    """Bring projects up to date with DVC; one that fails does not stop the others."""
    from slipway.project import discover, find
    from slipway.repro import repro

    projects = [find(name) for name in names] if names else discover()
    failed = repro(projects, jobs=jobs)
    if failed:
        raise Fault(f"{len(failed)} of {len(projects)} projects failed: {', '.join(failed)}")


@app.command()
def dashboard() -> None:
    """Show in a browser on this machine why registered models answer what they do."""
    import os

    os.chdir(home.root())
    os.execv(sys.executable, [sys.executable, "-m", "services.explain"])


@app.command()
def up() -> None:
    """Serve every model, and train what is out of date: each starter is served once registered."""
    from slipway.platform import up

    up()


@app.command()
def down() -> None:
    """Stop what `up` started."""
    from slipway.platform import down

    down()


def main() -> None:
    home.silence_telemetry()
    home.rest_threads()
    try:
        # Outside its standalone mode click returns the status of a typer.Exit.
        if status := app(standalone_mode=False):
            sys.exit(status)
    except typer.Exit as leaving:
        sys.exit(leaving.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "show"):  # of the command line itself
            error.show()
            sys.exit(2)
        if not _explains_itself(error):
            traceback.print_exc()
        shown = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"slipway: {shown}", file=sys.stderr)
        sys.exit(1)


def _explains_itself(error: Exception) -> bool:
    """Whether the message was written for whoever runs the command: it was raised by Slipway."""
    if type(error).__module__.startswith("slipway"):
        return True
    frames = list(traceback.walk_tb(error.__traceback__))
    return str(frames[-1][0].f_globals.get("__name__", "")).startswith("slipway.")

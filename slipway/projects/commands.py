"""The commands `slipway list`, `check`, `new`, `readme`, `measure`, `verify`, `train`, `repro`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from slipway import home
from slipway.arguments import Address, AsJson, ProjectName, ProjectNames, print_json
from slipway.fault import Fault

app = typer.Typer()


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every project: in the repository, trained here, served."""
    from slipway.projects import overview

    rows = overview.rows()
    if as_json:
        print_json([each.content() for each in rows])
        return
    for line in overview.lines(rows):
        typer.echo(line)


@app.command()
def check(
    names: ProjectNames = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="First write pins.json, each dvc.yaml, and the course"),
    ] = False,
) -> None:
    """Check the rules that every project must follow, for all projects or those named."""
    from slipway.dependencies.generate import generate
    from slipway.projects.check import repository_shortfalls, shortfalls
    from slipway.projects.course import course_shortfalls, generate_course
    from slipway.projects.named import named

    projects = named(names)
    if write:
        for file in (*generate(home.root(), projects), *generate_course(home.root())):
            typer.echo(f"{file.relative_to(home.root())} written")
    failures = repository_shortfalls(home.root())
    if not names:
        # The course is of all projects together.
        failures += course_shortfalls(home.root())
    failures += [line for project in projects for line in shortfalls(project)]
    for line in failures:
        typer.echo(line)
    if failures:
        raise Fault(f"{len(failures)} checks failed in {len(projects)} projects")
    typer.echo(f"{len(projects)} projects checked, all checks passed")


@app.command()
def new(
    place: Annotated[str, typer.Argument(metavar="TRACK/PROJECT", help="Like ml/loan_default")],
    kit: Annotated[
        str, typer.Option(help="The kind of task: tabular, image_classification, detection, ...")
    ] = "tabular",
) -> None:
    """Create the skeleton of a project, which trains without changes."""
    from slipway.projects.scaffold import create

    folder = create(place, home.root(), kit).relative_to(home.root())
    typer.echo(f"{folder} created; train it: dvc repro {folder}/dvc.yaml")


@app.command()
def readme(names: ProjectNames = None) -> None:
    """Write the metrics and plots of the last run into the projects' READMEs."""
    from slipway.projects.named import named
    from slipway.projects.readme import write

    for project in named(names):
        write(project)
        typer.echo(f"{project.folder.relative_to(home.root())}/README.md written")


@app.command()
def measure(names: ProjectNames = None) -> None:
    """Time trained projects on this machine, and read their drift, for the leaderboard."""
    from slipway.projects.measured import measure
    from slipway.projects.named import named

    projects = named(names)
    measured = measure(projects)
    for project in projects:
        each = measured[project.name]
        typer.echo(
            f"{project.name:24} trained in {each.fit_seconds:7.1f} s  one record p50 "
            f"{each.p50_ms:.3f}, p99 {each.p99_ms:.3f} ms  {each.drift}"
        )


@app.command()
def verify(
    names: ProjectNames = None,
    address: Address = None,
    lock: Annotated[
        bool, typer.Option("--lock", help="Train in a scratch folder and compare with dvc.lock")
    ] = False,
) -> None:
    """Replay the test set against a running model server, and compare with metrics.json.

    Without names, those trained in this checkout are verified. With --lock no server is needed: the
    projects are trained in a scratch folder, and every output is compared with the committed
    dvc.lock, which is never written.
    """
    if lock:
        _verify_locks(names)
        return
    from slipway.projects import verify
    from slipway.projects.named import named
    from slipway.reporting.figure import figure
    from slipway.training.workspace import Workspace

    works = [Workspace.for_project(each) for each in named(names)]
    trained = [each for each in works if names or verify.trained(each)]
    untrained = [each.project.name for each in works if each not in trained]
    if not trained:
        raise Fault("no project was trained in this checkout: slipway repro")
    differences = []
    with verify.connect(address) as client:
        for work in trained:
            verified = verify.verify(work, client)
            project, primary = work.project, work.project.params.primary
            typer.echo(
                f"{project.name:24} version {verified.version:4} {verified.rows:7,} rows  "
                f"{primary} {figure(verified.served[primary])}"
            )
            differences += [f"{project.name}: {line}" for line in verified.differing]
    for line in differences:
        typer.echo(line)
    if differences:
        raise Fault(f"{len(differences)} metrics differ from metrics.json")
    if untrained:
        typer.echo(f"not trained here: {', '.join(untrained)}")
    typer.echo(f"the metrics of {len(trained)} projects equal their metrics.json")


def _verify_locks(names: list[str] | None) -> None:
    import tempfile

    from slipway import arithmetic
    from slipway.projects.named import named
    from slipway.projects.verify_lock import NotComparable, verify_lock

    projects = named(names)
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
def train(
    name: ProjectName,
    profile: Annotated[
        Literal["full"], typer.Option(help="The changes of the parameters: those in full.yaml")
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="Keep the outputs in this folder; a killed training continues from it"),
    ] = None,
    register: Annotated[
        bool, typer.Option("--register", help="Add a version to the registry, unpromoted")
    ] = False,
) -> None:
    """Train a project with its full profile, and print the metrics beside the committed ones.

    It trains in a scratch folder, on a GPU if there is one. The project's lock, metrics and
    champion stay as they are.
    """
    import tempfile

    from slipway.projects.full_training import train_full, training_device
    from slipway.projects.named import named
    from slipway.stages.full_profile import full_params

    (project,) = named([name])
    full_params(project)  # before torch is imported, which takes seconds
    typer.echo(f"{project.name}: the {profile} profile trains on {training_device(project)}")
    with tempfile.TemporaryDirectory(prefix=f"slipway-{project.name}-") as scratch:
        trained = train_full(
            project,
            output.resolve() if output else Path(scratch),
            register=register,
            on_stage=lambda stage: typer.echo(f"{project.name}: {stage}"),
            tell=typer.echo,
        )
    for stage, seconds in trained.seconds.items():
        typer.echo(f"{stage:10}{seconds:9.1f} s")
    for line in trained.table():
        typer.echo(line)
    if trained.shortfalls:
        raise Fault(f"gate not met, not registered: {'; '.join(trained.shortfalls)}")
    kept = "registered, not promoted" if register else "registered in the scratch folder alone"
    typer.echo(f"gate met, {kept}")


@app.command()
def leaderboard(file: Path) -> None:
    """Write the leaderboard of all projects to FILE; dvc repro's root stage runs this."""
    from slipway.projects.overview import leaderboard

    file.write_text(leaderboard())


@app.command()
def repro(
    names: ProjectNames = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=64, help="Number of projects trained in parallel")
    ] = 1,
) -> None:
    """Bring projects up to date with DVC; a failing project does not stop the others."""
    from slipway.projects.named import named
    from slipway.repro import repro

    projects = named(names)
    failed = repro(projects, jobs=jobs)
    if failed:
        raise Fault(f"{len(failed)} of {len(projects)} projects failed: {', '.join(failed)}")

"""`slipway signatures`: which registered versions the services run."""

from typing import Annotated

import typer

from slipway.arguments import AsJson, ProjectName, print_json
from slipway.fault import Fault

app = typer.Typer(name="signatures", no_args_is_help=True, help=__doc__)


@app.callback()
def group() -> None:
    """Show and sign registered versions; the services run only those that a trusted key signed."""


@app.command("list")
def list_(name: ProjectName, as_json: AsJson = False) -> None:
    """List a project's versions, and whether a trusted key signed each."""
    from slipway.registry import signatures, tracking

    states = {}
    registry = tracking.client()
    for version in registry.search_model_versions(f"name='{name}'"):
        number = str(version.version)
        try:
            signatures.check(name, number, version.tags)
            states[number] = "signed"
        except signatures.NotSigned as fault:
            states[number] = str(fault)
    if as_json:
        print_json(states)
        return
    for number in sorted(states, key=int):
        typer.echo(f"v{number:4} {states[number].removeprefix(f'{name} v{number}: ')}")
    if not states:
        typer.echo(f"{name} has no versions in {tracking.tracking_uri()}")


@app.command()
def sign(
    name: ProjectName, version: Annotated[str, typer.Argument(help="Number of the version")]
) -> None:
    """Sign a version that somebody else registered, or that has no signature; read it first."""
    from mlflow.exceptions import MlflowException

    from slipway.registry import signatures, tracking

    registry = tracking.client()
    try:
        found = registry.get_model_version(name, version)
    except MlflowException as error:
        raise Fault(f"{name} has no version {version} in {tracking.tracking_uri()}") from error
    signatures.sign_version(registry, found)
    typer.echo(f"{name} v{version} is signed")


@app.command()
def key() -> None:
    """Print our public key, to be added to the file `trusted-keys` of another server."""
    from slipway.registry import signatures

    try:
        typer.echo(signatures.public_pem(), nl=False)
    except signatures.KeyFault as fault:
        raise Fault(f"{fault}; it is made with the first registration") from None

"""`slipway policy`: split traffic among versions. Servers follow without a restart."""

import os
import pwd
from typing import Annotated, Any

import typer

from slipway.arguments import AsJson, ProjectName, print_json

app = typer.Typer(name="policy", no_args_is_help=True, help=__doc__)

Variant = Annotated[str, typer.Argument(help="champion, challenger or shadow")]


def actor() -> str:
    """Return who runs the command, for the logs."""
    return f"command line ({pwd.getpwuid(os.getuid()).pw_name})"


@app.command()
def show(name: ProjectName, as_json: AsJson = False) -> None:
    """Show the versions by variant, and the policy."""
    from slipway import policy
    from slipway.registry.aliases import registered_model

    model = registered_model(name)
    split = policy.read(model.tags.get(policy.TAG))
    if as_json:
        variants = {variant: model.aliases.get(variant) for variant in policy.VARIANTS}
        print_json({"project": name, "variants": variants, "policy": split.model_dump()})
        return
    for variant in policy.VARIANTS:
        version = model.aliases.get(variant)
        typer.echo(f"{variant:10} {f'v{version}' if version else '-'}")
    typer.echo(split.model_dump_json(indent=1))


@app.command("set")
def set_(
    name: ProjectName,
    challenger: Annotated[
        float | None, typer.Option(help="Percentage of requests that the challenger serves")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Field whose value always gets the same version; '' is none")
    ] = None,
    salt: Annotated[
        str | None, typer.Option(help="A new salt assigns the keys to versions anew")
    ] = None,
    shadow: Annotated[
        float | None, typer.Option(help="Percentage of requests mirrored to the shadow")
    ] = None,
    timeout_seconds: Annotated[float | None, typer.Option(help="Time limit of a request")] = None,
    queue: Annotated[int | None, typer.Option(help="Requests that may wait for the model")] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Calls of the model at the same time")
    ] = None,
) -> None:
    """Change the given fields of the policy."""
    given: dict[str, Any] = {
        "challenger": challenger,
        "key": key,
        "salt": salt,
        "shadow": shadow,
        "timeout_seconds": timeout_seconds,
        "queue": queue,
        "concurrency": concurrency,
    }
    change = {field: value for field, value in given.items() if value is not None}
    if key == "":
        change["key"] = None
    from slipway.policy.changes import change_policy

    typer.echo(change_policy(name, change, actor=actor()).model_dump_json(indent=1))


@app.command()
def assign(
    name: ProjectName,
    variant: Variant,
    version: Annotated[str, typer.Argument(help="A registered version; 0 removes the alias")],
) -> None:
    """Make a version champion, challenger or shadow."""
    from slipway.policy.changes import assign

    assign(name, variant, None if version == "0" else version, actor=actor())
    typer.echo(f"{name}: {variant} is {'nobody' if version == '0' else f'v{version}'}")

"""`slipway triton`: build a Triton repository of the champions, and run Triton on it."""

import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.arguments import ProjectNames
from slipway.fault import Fault

if TYPE_CHECKING:
    from services.predict.triton.settings import TritonSettings

app = typer.Typer(
    name="triton",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=__doc__,
)


@app.command()
def build(
    names: ProjectNames = None,
    *,
    into: Annotated[Path, typer.Option(help="Folder of the repository; created if missing")],
    backend: Annotated[str, typer.Option(help="onnx, tensorrt or python")] = "onnx",
    settings: Annotated[
        Path | None, typer.Option(help="YAML file: max_batch_size, instances and so on")
    ] = None,
) -> None:
    """Write champions into a repository. Without names, remove models that have no champion."""
    from services.predict.triton.champions import champions
    from services.predict.triton.repository import build as write

    triton_settings = _settings(settings)
    if backend not in ("onnx", "tensorrt", "python"):
        raise Fault(f"--backend must be onnx, tensorrt or python, got {backend!r}")
    with tempfile.TemporaryDirectory(prefix="slipway-triton-") as scratch:
        built = write(
            champions(names or [], Path(scratch)),
            into,
            backend=backend,  # type: ignore[arg-type]
            settings=triton_settings,
            prune=not names,
        )
    for name, versions in built.models.items():
        kept = f", keeping v{', v'.join(versions[1:])}" if versions[1:] else ""
        typer.echo(f"{name}: v{versions[0]} for {backend}{kept}")
    for name, reason in built.cold.items():
        typer.echo(f"{name}: no warm-up: {reason}")
    for name in built.removed:
        typer.echo(f"{name}: removed, it no longer has a champion")
    for name, reason in built.skipped.items():
        typer.echo(f"{name}: skipped: {reason}")
    if not built.models or set(names or []) & set(built.skipped):
        raise Fault(f"{len(built.models)} built, {len(built.skipped)} skipped")


def _settings(file: Path | None) -> "TritonSettings":
    import yaml
    from pydantic import ValidationError

    from services.predict.triton.settings import TritonSettings

    if file is None:
        return TritonSettings()
    try:
        return TritonSettings.model_validate(yaml.safe_load(file.read_text()) or {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "settings"
        raise Fault(f"{file}: {place}: {first['msg']}") from error


@app.command()
def serve(
    repository: Annotated[Path, typer.Option(help="Folder that `slipway triton build` wrote")],
    poll: Annotated[
        int, typer.Option(min=0, help="Seconds between checks for changes; 0 turns them off")
    ] = 5,
) -> None:
    """Run Triton on CPU with a repository of backend python, until interrupted."""
    from services.predict.triton.server import TritonFault, running

    if not repository.is_dir():
        raise Fault(
            f"{repository} is not a folder; create it: slipway triton build --into {repository}"
        )

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        with running(repository, poll_seconds=poll or None) as triton:
            typer.echo(
                f"Triton: gRPC {triton.grpc}, HTTP http://{triton.http}, "
                f"metrics http://{triton.metrics}/metrics"
            )
            typer.echo(f"To use it: SLIPWAY_PREDICT_TRITON={triton.grpc}")
            code = triton.process.wait()
        raise TritonFault(f"Triton ended with {code}; see its output above")
    except KeyboardInterrupt:
        typer.echo("Triton: stopped")
    finally:
        signal.signal(signal.SIGTERM, before)

"""The `slipway` command. Each subcommand imports what it needs when it runs.

Subcommands are defined in modules called `commands.py` anywhere below `slipway/`, `services/` or
`infra/`. Every `typer.Typer` in them is found: one with a name becomes a group, and the commands of
one without a name are top-level commands. An image without a package lacks its commands.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from slipway import home

PACKAGES = ("slipway", "services", "infra")
# With any value, an unexpected error prints its traceback instead of the file that holds it.
TRACEBACK = "SLIPWAY_TRACEBACK"


def command_modules(root: Path) -> Iterator[str]:
    """Yield the name of every module `commands` in the packages below `root`."""
    for package in PACKAGES:
        for file in sorted((root / package).rglob("commands.py")):
            yield ".".join(file.relative_to(root).with_suffix("").parts)


def build() -> typer.Typer:
    """Return the command line application with all subcommands."""
    application = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help=(__doc__ or "").partition("\n\n")[0],
    )
    application.callback()(_options)
    for name in command_modules(Path(__file__).parents[1]):
        for each in vars(import_module(name)).values():
            if isinstance(each, typer.Typer):
                application.add_typer(each)
    return application


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"slipway {version('slipway')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version"),
    ] = False,
) -> None:
    """Train, serve and observe models. Each subcommand imports what it needs when it runs."""


app = build()


def main() -> None:
    """Run the command and exit with its status."""
    home.silence_telemetry()
    home.rest_threads()
    try:
        # Not in standalone mode, click returns the status of a typer.Exit.
        if status := app(standalone_mode=False):
            sys.exit(status)
    except typer.Exit as request:
        sys.exit(request.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:  # the reader, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if hasattr(error, "show"):  # click's own usage errors
            error.show()
            sys.exit(2)
        print(f"slipway: {_message(error)}", file=sys.stderr)
        sys.exit(1)


def _message(error: Exception) -> str:
    """Return what the user reads: the message of an error that explains itself, or its place."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if _explains_itself(error):
        return text
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
        return text.partition("\n")[0] or type(error).__name__
    first = f"{type(error).__name__}: {text}".strip().partition("\n")[0].removesuffix(": ")
    kept = _keep_traceback(error)
    return f"{first} (traceback: {kept or f'set {TRACEBACK}=1'})"


def _keep_traceback(error: Exception) -> Path | None:
    """Write the traceback of an unexpected error to a file; return the file."""
    with suppress(OSError):
        file = home.home() / "logs" / "command-error.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(" ".join(sys.argv) + "\n" + "".join(traceback.format_exception(error)))
        return file
    return None


def _explains_itself(error: Exception) -> bool:
    """Return whether Slipway raised the error, so that its message is meant for users."""
    frames = list(traceback.walk_tb(error.__traceback__))
    raiser = str(frames[-1][0].f_globals.get("__name__", ""))
    return any(name.partition(".")[0] in PACKAGES for name in (type(error).__module__, raiser))

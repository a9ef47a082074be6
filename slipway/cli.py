"""The `slipway` command. Each subcommand imports what it needs when it runs.

Subcommands are defined in modules called `commands.py` anywhere below `slipway/`, `services/` or
`infra/`. Every `typer.Typer` in them is found: one with a name becomes a group, and the commands of
one without a name are top-level commands. An image without a package lacks its commands.
"""

import sys
import traceback
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import typer

from slipway import home

PACKAGES = ("slipway", "services", "infra")


def command_modules(root: Path) -> Iterator[str]:
    """Yield the name of every module `commands` in the packages below `root`."""
    for package in PACKAGES:
        for file in sorted((root / package).rglob("commands.py")):
            yield ".".join(file.relative_to(root).with_suffix("").parts)


def build() -> typer.Typer:
    """Return the command line application with all subcommands."""
    application = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help=(__doc__ or "").partition("\n\n")[0],
    )
    for name in command_modules(Path(__file__).parents[1]):
        for each in vars(import_module(name)).values():
            if isinstance(each, typer.Typer):
                application.add_typer(each)
    return application


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
    except Exception as error:
        if hasattr(error, "show"):  # click's own usage errors
            error.show()
            sys.exit(2)
        if not _explains_itself(error):
            traceback.print_exc()
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"slipway: {message}", file=sys.stderr)
        sys.exit(1)


def _explains_itself(error: Exception) -> bool:
    """Return whether Slipway raised the error, so that its message is meant for users."""
    frames = list(traceback.walk_tb(error.__traceback__))
    raiser = str(frames[-1][0].f_globals.get("__name__", ""))
    return any(name.partition(".")[0] in PACKAGES for name in (type(error).__module__, raiser))

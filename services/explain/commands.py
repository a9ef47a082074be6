"""The command `slipway dashboard`."""

import os
import sys

import typer

from slipway import home

app = typer.Typer()


@app.command()
def dashboard() -> None:
    """Serve a page on this machine that explains the predictions of registered models."""
    os.chdir(home.root())
    os.execv(sys.executable, [sys.executable, "-m", "services.explain"])

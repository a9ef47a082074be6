"""Locks that stand apart from ours, each installed into an environment of its own on first use."""

import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from slipway import home

INSTALL_SECONDS = 1800


class EnvironmentMissing(Exception):
    """An environment cannot be installed; the message names it and says why, in one line."""


def folder(group: str) -> Path:
    return home.cache() / "environments" / group


def python_of(group: str) -> Path:
    """The Python of the environment of infra/environment/locks/<group>.txt.

    Raises:
        EnvironmentMissing: it cannot be installed.
    """
    place = folder(group)
    script = home.root() / "infra" / "environment" / "environment.py"
    # The interpreter that made this environment: a venv made from a venv would still find it.
    base = Path(sys.base_prefix) / "bin" / "python3.11"
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(place.with_suffix(".lock")):
            done = subprocess.run(
                [base, script, "install", "--group", group, "--into", place],
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentMissing(f"environment {group}: {error}") from error
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise EnvironmentMissing(f"environment {group}: {told[-1] if told else 'not installed'}")
    return place / "bin" / "python"

"""Separate environments for conflicting locks, each installed on first use."""

import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from slipway import home

INSTALL_SECONDS = 1800


class EnvironmentMissing(Exception):
    """Raised when an environment cannot be installed; the one-line message says why."""


def folder(group: str) -> Path:
    """Return the folder of the environment `group`."""
    return home.cache() / "environments" / group


def python_of(group: str) -> Path:
    """Return the Python of the environment for infra/environment/locks/<group>.txt.

    Raises:
        EnvironmentMissing: the environment cannot be installed.
    """
    place = folder(group)
    script = home.root() / "infra" / "environment" / "environment.py"
    # The base interpreter, not the one of this process's own environment.
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
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise EnvironmentMissing(f"environment {group}: {lines[-1] if lines else 'not installed'}")
    return place / "bin" / "python"

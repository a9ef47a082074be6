"""The Python environments of the servers: ours, and separate ones for those that need them."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rival import NotRun
from slipway.programs import environments


def python_of(group: str) -> Path:
    """Return the Python of a lock's separate environment, which is installed on first use.

    Raises:
        NotRun: it cannot be installed.
    """
    try:
        return environments.python_of(group)
    except environments.EnvironmentMissing as error:
        raise NotRun(str(error)) from error


def versions(python: Path, packages: Sequence[str]) -> dict[str, str]:
    """Return the packages' versions in that Python's environment."""
    script = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
    done = subprocess.run(
        [python, "-c", script, *packages], capture_output=True, text=True, check=True, timeout=60
    )
    return dict(zip(packages, done.stdout.split(), strict=True))

"""The Pythons that the servers run under: ours, and an own one for each that needs another."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import work
from benchmarks.rival import NotRun
from slipway import home

INSTALL_SECONDS = 1800


def python_of(group: str) -> Path:
    """The Python of a lock's own environment, which is installed on first use.

    Raises:
        NotRun: it cannot be installed.
    """
    folder = work.environments() / group
    script = home.root() / "infra" / "environment" / "environment.py"
    # The interpreter that made this environment: a venv made from a venv would still find it.
    base = Path(sys.base_prefix) / "bin" / "python3.11"
    try:
        done = subprocess.run(
            [base, script, "install", "--group", group, "--into", folder],
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotRun(f"environment {group}: {error}") from error
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise NotRun(f"environment {group}: {told[-1] if told else 'not installed'}")
    return folder / "bin" / "python"


def versions(python: Path, packages: Sequence[str]) -> dict[str, str]:
    """Of the packages, as that Python has them."""
    script = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
    done = subprocess.run(
        [python, "-c", script, *packages], capture_output=True, text=True, check=True, timeout=60
    )
    return dict(zip(packages, done.stdout.split(), strict=True))

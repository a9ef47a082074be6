"""Run Docker's command line client."""

import subprocess
from pathlib import Path


class DockerFault(Exception):
    """Docker is not installed, failed or timed out; the message holds its output."""


def docker(
    *args: object, seconds: float = 60, input: str | None = None, folder: Path | None = None
) -> str:
    """Run a command and return its standard output.

    Raises:
        DockerFault: it failed, took longer than `seconds`, or is not on this machine.
    """
    command = ["docker", *(str(arg) for arg in args)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=seconds,
            input=input,
            cwd=folder,
        )
    except FileNotFoundError:
        raise DockerFault("docker is not installed; this needs a Docker engine") from None
    except subprocess.TimeoutExpired:
        raise DockerFault(f"{' '.join(command)}: not within {seconds:g} s") from None
    if done.returncode:
        output = f"{done.stdout[-3000:]}{done.stderr[-3000:]}".strip()
        raise DockerFault(f"{' '.join(command)}\n{output}")
    return done.stdout.strip()

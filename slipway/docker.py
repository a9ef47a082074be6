"""Docker's own command, asked as a person would."""

import subprocess
from pathlib import Path


class DockerFault(Exception):
    """Docker is not there, refused or did not answer; the message has its own words."""


def docker(
    *words: object, seconds: float = 60, input: str | None = None, folder: Path | None = None
) -> str:
    """What it prints.

    Raises:
        DockerFault: it failed, took longer than `seconds`, or is not on this machine.
    """
    told = [str(word) for word in words]
    try:
        done = subprocess.run(
            ["docker", *told],
            capture_output=True,
            text=True,
            timeout=seconds,
            input=input,
            cwd=folder,
        )
    except FileNotFoundError:
        raise DockerFault("docker is not on this machine; this needs an engine") from None
    except subprocess.TimeoutExpired:
        raise DockerFault(f"docker {' '.join(told)}: not within {seconds:g} s") from None
    if done.returncode:
        said = f"{done.stdout[-3000:]}{done.stderr[-3000:]}".strip()
        raise DockerFault(f"docker {' '.join(told)}\n{said}")
    return done.stdout.strip()

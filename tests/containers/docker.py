"""The images, built once, and containers of them as a deployment would run them."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from infra.delivery import images
from infra.docker import docker
from tests.conftest import ROOT, shared_folder

TARGETS = images.targets(ROOT)
# Every image of ours has this label.
OURS = "org.opencontainers.image.title=slipway"
# The confinement of a container, as in a cluster: a read-only root, no capabilities, temporary
# files in memory.
CONFINED = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--tmpfs", "/var/lib/slipway:uid=10001,gid=10001"),
)


def trusting() -> tuple[str, ...]:
    """Return options of a container that trusts the versions that the tests have signed."""
    place = "/run/slipway/keyring"
    return (
        *("--volume", f"{shared_folder() / 'trusted-keys'}:{place}/trusted-keys:ro"),
        *("-e", f"SLIPWAY_KEYRING={place}/keys.json"),
    )


@cache
def image(target: str) -> str:
    """Build the image from this checkout and return its name."""
    return images.build(ROOT, target, "test")


def inspected(name: str) -> dict[str, Any]:
    details: list[dict[str, Any]] = json.loads(docker("inspect", name))
    return details[0]


@dataclass(frozen=True)
class Container:
    id: str

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container."""
        return subprocess.run(
            ["docker", "exec", self.id, *words], capture_output=True, text=True, timeout=60
        )

    @property
    def health(self) -> str:
        return str(inspected(self.id)["State"]["Health"]["Status"])

    def ended(self) -> int:
        """Stop the container and return its exit status."""
        docker("stop", "--time", "30", self.id)
        return int(inspected(self.id)["State"]["ExitCode"])

    @property
    def log(self) -> str:
        done = subprocess.run(["docker", "logs", self.id], capture_output=True, text=True)
        return done.stdout + done.stderr


@contextmanager
def container(
    target: str, *options: object, environment: Mapping[str, object] | None = None
) -> Iterator[Container]:
    """Run a confined container on the machine's network, and remove it at the end."""
    variables = [
        word for key, value in (environment or {}).items() for word in ("-e", f"{key}={value}")
    ]
    started = docker(
        "run", "--detach", "--network", "host", *CONFINED, *variables, *options, image(target)
    )
    try:
        yield Container(started)
    finally:
        docker("rm", "--force", "--volumes", started)

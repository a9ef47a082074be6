"""Run docker-compose.yml as a separate project, beside whatever else runs on the machine."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.docker import DockerFault, docker
from slipway import home

KEY = re.compile(r"slw_[0-9a-f]{8}_\S+")
PROFILES = ("tools", "load")
# Started by themselves only; `down` stops them as well.
OPTIONAL_PROFILES = ("explain",)
# The user id that our containers run as.
NOT_ROOT = "10001"
BASE = "debian:bookworm-slim"


class Failed(Exception):
    """A command or a wait of the stack failed; the message says what."""


@dataclass(frozen=True)
class Stack:
    """One compose project of this repository.

    `folder` is a checkout; `port` and `grafana_port` are the published ports on this machine.
    `overrides` are compose files besides docker-compose.yml, by their path in the checkout.
    """

    folder: Path
    port: int
    grafana_port: int
    project: str
    overrides: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return f"http://{home.LOOPBACK}:{self.port}"

    def compose(
        self,
        *args: object,
        seconds: float = 600,
        input: Path | None = None,
        check: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `docker compose` in the checkout, with this stack's ports.

        Raises:
            DockerFault: the command failed, and `check` is true.
        """
        ports = {
            "SLIPWAY_PREDICT_PORT": str(self.port),
            "SLIPWAY_GRAFANA_PORT": str(self.grafana_port),
        }
        files = [arg for name in ("docker-compose.yml", *self.overrides) for arg in ("-f", name)]
        command = ["docker", "compose", "--project-name", self.project, *files, *map(str, args)]
        with open(input or os.devnull, "rb") as stream:
            try:
                done = subprocess.run(
                    command,
                    cwd=self.folder,
                    env={**os.environ, **ports, **(settings or {})},
                    stdin=stream,
                    capture_output=True,
                    timeout=seconds,
                )
            except subprocess.TimeoutExpired:
                command_line = " ".join(map(str, args))
                raise DockerFault(
                    f"docker compose {command_line}: not within {seconds:g} s"
                ) from None
        if check and done.returncode:
            output = (done.stdout[-3000:] + done.stderr[-3000:]).decode(errors="replace")
            raise DockerFault(f"docker compose {' '.join(map(str, args))}\n{output}")
        return done

    def output(self, *args: object, seconds: float = 600) -> str:
        """Run `docker compose` and return its standard output."""
        return self.compose(*args, seconds=seconds).stdout.decode().strip()

    def config(self, *profiles: str) -> dict[str, Any]:
        """Return the merged configuration, as compose resolves it."""
        args = [arg for name in profiles for arg in ("--profile", name)]
        config: dict[str, Any] = json.loads(self.output(*args, "config", "--format", "json"))
        return config

    def without_image(self) -> list[str]:
        """Return the services whose public image is not on this machine and cannot be pulled."""
        services = self.config()["services"]
        ours = {each["image"] for each in services.values() if "build" in each}
        return sorted(
            name
            for name, each in services.items()
            if each["image"] not in ours and not _available(each["image"])
        )

    def build(self, *profiles: str) -> None:
        """Build the images of the services that `up` starts, and of those with such a profile."""
        args = [arg for name in profiles for arg in ("--profile", name)]
        self.compose(*args, "build", "--quiet", seconds=2400)

    def up(self) -> list[str]:
        """Start the stack and return the names of services left out for lack of an image."""
        left_out = self.without_image()
        services = [name for name in self.config()["services"] if name not in left_out]
        self.compose("up", "--detach", *services)
        return left_out

    def down(self) -> None:
        """Stop the stack and remove its containers, networks and volumes."""
        every = (*PROFILES, *OPTIONAL_PROFILES)
        profiles = [arg for name in every for arg in ("--profile", name)]
        self.compose(*profiles, "down", "--volumes", "--timeout", "20", check=False)

    def containers(self, service: str | None = None) -> list[dict[str, Any]]:
        """Return what `docker inspect` prints of the containers, also of those that ended."""
        args = ["ps", "--all", "--quiet", *([service] if service else [])]
        ids = self.output(*args).split()
        inspected: list[dict[str, Any]] = json.loads(docker("inspect", *ids)) if ids else []
        return inspected

    def log(self, service: str) -> str:
        return self.output("logs", "--no-color", "--no-log-prefix", service)

    def key(self, owner: str, *scopes: str) -> str:
        """Create an API key and return it.

        Raises:
            Failed: the output holds no key.
        """
        options = [arg for scope in scopes for arg in ("--scope", scope)]
        output = self.output("run", "--rm", "-T", "keys", "create", owner, *options)
        found = KEY.search(output)
        if not found:
            raise Failed(f"no key was created: {output}")
        return found[0]

    def ready(self, names: Sequence[str], key: str, seconds: float = 120) -> None:
        """Wait until these models are served through the proxy.

        Raises:
            Failed: they are not within `seconds`.
        """
        headers = {"Authorization": f"Bearer {key}"}

        def served() -> bool:
            return all(
                request_status(self.address, f"/v1/models/{name}", headers) == 200 for name in names
            )

        wait_until(
            served, seconds, f"{', '.join(names)} served", lambda: self.log("predict")[-3000:]
        )

    def copy_datasets(self, names: Sequence[str]) -> None:
        """Copy data sets from this machine's cache into the stack: containers may have no network.

        Raises:
            Failed: a data set cannot be fetched.
        """
        fetch = [sys.executable, "-m", "slipway", "datasets", *names]
        done = subprocess.run(fetch, cwd=home.root(), capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise Failed(f"slipway datasets {' '.join(names)}\n{done.stdout}{done.stderr}")
        volume = f"{self.config()['volumes']['cache']['name']}:/cache"
        folder = f"{home.cache() / 'datasets'}:/lent:ro"
        copy = (
            "mkdir -p /cache/datasets && cp -r /lent/. /cache/datasets "
            f"&& chown -R {NOT_ROOT} /cache"
        )
        docker("run", "--rm", "-v", volume, "-v", folder, BASE, "sh", "-c", copy, seconds=300)

    def train(self, *names: str) -> None:
        """Train projects in a container, into the stack's registry.

        Raises:
            DockerFault: a training failed.
        """
        self.compose("run", "--rm", "-T", "bootstrap", *names, seconds=900)

    def materialize(self, table: str, *views: str) -> None:
        """Build one table of features and materialize its views in Redis.

        Raises:
            DockerFault: a command failed.
        """
        copy = ["python", "-m", "infra.cluster.lay_out", "/repository", "python", "-m", "slipway"]
        options = [arg for view in views for arg in ("--view", view)]
        for args in (("features", "build", table), ("features", "materialize", *options)):
            self.compose("run", "--rm", "-T", "materialize", *copy, *args, seconds=600)


def request_status(
    address: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> int:
    """Send a GET, or a POST of the body, and return the status; 0 without a response."""
    request = urllib.request.Request(address + path, data=body, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0


def wait_until(
    condition: Callable[[], bool],
    seconds: float,
    what: str = "",
    details: Callable[[], str] = lambda: "",
) -> None:
    """Poll the condition until it holds.

    Raises:
        Failed: the condition did not hold within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(
                f"not within {seconds:g} s: {what or 'the condition did not hold'}\n{details()}"
            )
        time.sleep(0.2)


def _available(image: str) -> bool:
    for args in (("image", "inspect"), ("pull", "--quiet")):
        if subprocess.run(["docker", *args, image], capture_output=True).returncode == 0:
            return True
    return False

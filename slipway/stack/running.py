"""docker-compose.yml run as a project of its own, beside whatever else runs on the machine."""

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

from slipway import home
from slipway.docker import DockerFault, docker

KEY = re.compile(r"slw_[0-9a-f]{8}_\S+")
PROFILES = ("tools", "load")
# As which the containers of ours run.
NOT_ROOT = "10001"
BASE = "debian:bookworm-slim"


class Failed(Exception):
    """What was asked for or waited for did not come; the message says what."""


@dataclass(frozen=True)
class Stack:
    """`folder` is a checkout; `door` and `grafana` are ports of this machine.

    `overrides` are compose files besides docker-compose.yml, by their place in the checkout.
    """

    folder: Path
    door: int
    grafana: int
    project: str
    overrides: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return f"http://{home.LOOPBACK}:{self.door}"

    def compose(
        self,
        *words: object,
        seconds: float = 600,
        input: Path | None = None,
        check: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """`docker compose` in the checkout, with ports that are free here.

        Raises:
            DockerFault: the command failed, and `check` was asked for.
        """
        ports = {
            "SLIPWAY_PREDICT_PORT": str(self.door),
            "SLIPWAY_GRAFANA_PORT": str(self.grafana),
        }
        files = [word for name in ("docker-compose.yml", *self.overrides) for word in ("-f", name)]
        command = ["docker", "compose", "--project-name", self.project, *files, *map(str, words)]
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
                told = " ".join(map(str, words))
                raise DockerFault(f"docker compose {told}: not within {seconds:g} s") from None
        if check and done.returncode:
            said = (done.stdout[-3000:] + done.stderr[-3000:]).decode(errors="replace")
            raise DockerFault(f"docker compose {' '.join(map(str, words))}\n{said}")
        return done

    def said(self, *words: object, seconds: float = 600) -> str:
        return self.compose(*words, seconds=seconds).stdout.decode().strip()

    def config(self, *profiles: str) -> dict[str, Any]:
        """The files as compose understands them."""
        words = [word for name in profiles for word in ("--profile", name)]
        told: dict[str, Any] = json.loads(self.said(*words, "config", "--format", "json"))
        return told

    def absent(self) -> list[str]:
        """Services whose public image is not here and cannot be fetched."""
        found = self.config()["services"]
        ours = {each["image"] for each in found.values() if "build" in each}
        return sorted(
            name
            for name, each in found.items()
            if each["image"] not in ours and not _had(each["image"])
        )

    def build(self, *profiles: str) -> None:
        """The images of the services that `up` starts, and of those with such a profile."""
        words = [word for name in profiles for word in ("--profile", name)]
        self.compose(*words, "build", "--quiet", seconds=2400)

    def up(self) -> list[str]:
        """Start it; the names of the services that are left out for want of an image."""
        left_out = self.absent()
        services = [name for name in self.config()["services"] if name not in left_out]
        self.compose("up", "--detach", *services)
        return left_out

    def down(self) -> None:
        """Stop it and remove all that it holds."""
        profiles = [word for name in PROFILES for word in ("--profile", name)]
        self.compose(*profiles, "down", "--volumes", "--timeout", "20", check=False)

    def containers(self, service: str | None = None) -> list[dict[str, Any]]:
        """As `docker inspect` shows them, also those that ended."""
        words = ["ps", "--all", "--quiet", *([service] if service else [])]
        found = self.said(*words).split()
        told: list[dict[str, Any]] = json.loads(docker("inspect", *found)) if found else []
        return told

    def log(self, service: str) -> str:
        return self.said("logs", "--no-color", "--no-log-prefix", service)

    def key(self, owner: str, *scopes: str) -> str:
        """A new API key.

        Raises:
            Failed: none was made.
        """
        wanted = [word for scope in scopes for word in ("--scope", scope)]
        told = self.said("run", "--rm", "-T", "keys", "create", owner, *wanted)
        found = KEY.search(told)
        if not found:
            raise Failed(f"no key was made: {told}")
        return found[0]

    def ready(self, names: Sequence[str], key: str, seconds: float = 120) -> None:
        """Wait until these models are served through the door.

        Raises:
            Failed: they are not within `seconds`.
        """
        headers = {"Authorization": f"Bearer {key}"}

        def served() -> bool:
            return all(asked(self.address, f"/v1/models/{name}", headers) == 200 for name in names)

        until(served, seconds, f"{', '.join(names)} served", lambda: self.log("predict")[-3000:])

    def lend_data(self, names: Sequence[str]) -> None:
        """Put data sets of this machine's cache into the stack's: containers may reach no network.

        Raises:
            Failed: a data set cannot be had.
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
        """In a container, into the stack's registry.

        Raises:
            DockerFault: one was not trained.
        """
        self.compose("run", "--rm", "-T", "bootstrap", *names, seconds=900)

    def materialize(self, table: str, *views: str) -> None:
        """Build one table of features and bring its views into Redis.

        Raises:
            DockerFault: a command failed.
        """
        lay = ["python", "-m", "slipway.cluster.lay_out", "/repository", "python", "-m", "slipway"]
        wanted = [word for view in views for word in ("--view", view)]
        for words in (("features", "build", table), ("features", "materialize", *wanted)):
            self.compose("run", "--rm", "-T", "materialize", *lay, *words, seconds=600)


def asked(
    address: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> int:
    """The status of a GET, or of a POST of the body; 0 for no answer."""
    request = urllib.request.Request(address + path, data=body, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0


def until(
    condition: Callable[[], bool],
    seconds: float,
    what: str = "",
    told: Callable[[], str] = lambda: "",
) -> None:
    """Ask again and again.

    Raises:
        Failed: the condition did not hold within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds:g} s: {what or 'what was waited for'}\n{told()}")
        time.sleep(0.2)


def _had(image: str) -> bool:
    for words in (("image", "inspect"), ("pull", "--quiet")):
        if subprocess.run(["docker", *words, image], capture_output=True).returncode == 0:
            return True
    return False

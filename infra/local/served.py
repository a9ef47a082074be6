"""Compare the starters that the model server serves with the champions of the registry."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.local.progress import StageProgress
from infra.local.starters import StarterTraining
from slipway.access import registry_keys

REQUEST_SECONDS = 10
# The server loads and tests a model before serving it, on cores that train others meanwhile.
SERVE_SECONDS = 120.0
# The model server loads a model again after a failure.
FAULT_SECONDS = 20.0
POLL_SECONDS = 0.3


@dataclass(frozen=True)
class ServerState:
    """The model server's state at one moment."""

    versions: dict[str, str] = field(default_factory=dict)
    """The version of each champion that is served, by model."""
    faults: dict[str, str] = field(default_factory=dict)
    """The reason why a model is not served as the registry wants, by model."""


def served(model_server: str) -> ServerState:
    """Return what the model server serves; nothing while it does not respond."""
    found = _json(f"{model_server}/v1/models")
    return ServerState(
        versions={each["name"]: str(each["version"]) for each in found.get("models", [])},
        faults=found.get("faults", {}),
    )


def champion(name: str) -> str | None:
    """Return the version that the registry names champion; None without one."""
    query = urllib.parse.urlencode({"name": name, "alias": "champion"})
    mlflow, key = registry_keys.mlflow_address(), registry_keys.read_key_file().read_text()
    found = _json(f"{mlflow}/api/2.0/mlflow/registered-models/alias?{query}", key)
    version = found.get("model_version", {}).get("version")
    return None if version is None else str(version)


def _json(address: str, key: str = "") -> dict[str, Any]:
    """Return the response as JSON; empty if there is none, or it is an error."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as response:
            found: dict[str, Any] = json.load(response)
    except (OSError, urllib.error.URLError, ValueError):
        return {}
    return found


class ServingWatch:
    """Reports each registered starter when the model server serves it."""

    def __init__(
        self,
        training: StarterTraining,
        shown: StageProgress,
        *,
        model_server: str,
        first_served: Callable[[str], None],
    ) -> None:
        """Create a watch; `first_served` gets the first served project while others still train."""
        self._training, self._shown = training, shown
        self._model_server = model_server
        self._first_served = first_served
        self._since: dict[str, float] = {}
        self._first, self._announced = "", False
        self._ended: set[str] = set()

    def follow(self) -> None:
        """Return when all starters are trained, and all that are registered are served or given up.

        Raises:
            Exception: what ended the training too early.
        """
        while True:
            # Read before `registered`, so that its last entry is not missed.
            running = self._training.running
            self._look()
            if running and self._first and not self._announced and self._shown.stages_started:
                self._announced = True
                self._first_served(self._first)
            if not running and len(self._ended) == len(self._training.registered):
                break
            time.sleep(POLL_SECONDS)
        self._training.result()

    def _look(self) -> None:
        waiting = [each for each in self._training.registered if each not in self._ended]
        now = served(self._model_server) if waiting else ServerState()
        for name in waiting:
            seconds = time.monotonic() - self._since.setdefault(name, time.monotonic())
            version, wanted = now.versions.get(name), champion(name)
            if version is not None and version == wanted:
                self._first = self._first or name
                self._shown.served(name, version)
            elif reason := given_up(seconds, wanted, now.faults.get(name)):
                self._shown.not_served(name, reason)
            else:
                continue
            self._ended.add(name)


def given_up(seconds: float, wanted: str | None, fault: str | None) -> str:
    """Return why the watch stops waiting for a model; empty if it still waits."""
    if seconds > FAULT_SECONDS and fault is not None:
        return fault
    if seconds > FAULT_SECONDS and wanted is None:
        return "the registry names no champion"
    if seconds > SERVE_SECONDS:
        return f"the model server did not load it in {SERVE_SECONDS:.0f} s"
    return ""

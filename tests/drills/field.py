"""Callers under constant load, a version published meanwhile, and its outcome."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import yaml

from slipway import home
from slipway.registry import promotions
from tests.conftest import ROOT
from tests.services.fake_models import ModelRegistryFixture, Server, code
from tests.waiting import PATIENCE, until

CALLERS = 8
# Eight callers at 20 ms make up to 400 requests a second: bounded, and enough for a minute.
PAUSE_SECONDS = 0.02
# Generous, for a busy machine with two cores; the table shows the measured times.
WITHIN_SECONDS = 60.0

# It handles the example of the test load, 1.0, but fails for callers.
RAISES = code(
    """
    if any(each.number != 1.0 for each in model_input):
        raise RuntimeError("no")
    return [Answer(number=each.number, model="right") for each in model_input]
    """
)

PLAN = {
    "checks": [],
    "shadow": 0,
    "canary": [20, 50],
    "requests": 100,
    "seconds": 3,
    "baseline_requests": 100,
    "interval_seconds": 0.3,
}


def right(share: float, *, seconds: float = 0.0) -> str:
    """Return a model that is right for this share of the numbers, with this latency."""
    return code(
        f"""
        import time
        time.sleep({seconds})
        right = [(each.number * 7919) % 1 < {share} for each in model_input]
        names = ["right" if one else "wrong" for one in right]
        return [Answer(number=each.number, model=one) for each, one in zip(model_input, names)]
        """
    )


@dataclass
class Callers:
    """Calls one model within the block, and counts what callers see."""

    address: str
    name: str
    labels: bool = False
    """True if they send a label for each prediction."""
    statuses: Counter[int | str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    first: dict[str, float] = field(default_factory=dict)
    """Unix time of each version's first response; `last` of its last one."""
    last: dict[str, float] = field(default_factory=dict)
    slowest: float = 0.0

    @contextmanager
    def calling(self) -> Iterator["Callers"]:
        stopping = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._call(stopping)))
        thread.start()
        try:
            yield self
        finally:
            stopping.set()
            thread.join(PATIENCE)
            assert not thread.is_alive()

    async def _call(self, stopping: threading.Event) -> None:
        async with httpx.AsyncClient(base_url=self.address, timeout=60) as client:
            await asyncio.gather(*(self._one(client, stopping) for _ in range(CALLERS)))

    async def _one(self, client: httpx.AsyncClient, stopping: threading.Event) -> None:
        while not stopping.is_set():
            start = time.perf_counter()
            try:
                record = {"number": random.uniform(-1000, 1000)}
                response = await client.post(f"/v1/models/{self.name}/predict", json=record)
            except httpx.HTTPError as error:
                self.statuses[type(error).__name__] += 1
                continue
            self.statuses[response.status_code] += 1
            self.slowest = max(self.slowest, time.perf_counter() - start)
            if response.status_code == 200:
                body = response.json()
                now = time.time()
                self.versions[body["version"]] += 1
                self.first.setdefault(body["version"], now)
                self.last[body["version"]] = now
                if self.labels:
                    label = {"id": body["id"], "label": {"model": "right"}}
                    await client.post("/v1/feedback", json=label)
            await asyncio.sleep(PAUSE_SECONDS)

    @property
    def lost(self) -> int:
        """Return the number of requests without status 200."""
        return sum(count for status, count in self.statuses.items() if status != 200)

    def settled(self, version: str) -> None:
        """Wait until only this version has responded for a while: servers sync within a second."""

        def alone() -> bool:
            others = [when for name, when in self.last.items() if name != version]
            return bool(others) and time.time() - max(others) > 2

        until(alone, lambda: f"other versions than v{version} still respond: {self.versions}")


class Field:
    """A registry, the real server over it, and the `slipway` command."""

    def __init__(self, fake_models: ModelRegistryFixture, server: Server) -> None:
        self.fake_models, self.server = fake_models, server

    def publish(self, name: str, champion: str, challenger: str) -> None:
        """Register both versions and wait until the first serves as champion."""
        self.fake_models.add(name, champion)
        self.fake_models.add(name, challenger, alias=None)
        until(lambda: self.server.request(name).is_success, lambda: self.server.request(name).text)

    def plan(self, name: str, **more: object) -> Path:
        file = self.fake_models.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({**PLAN, **more}))
        return file

    def slipway(self, *words: object) -> "subprocess.Popen[str]":
        """Start the command in the background, in a separate process group."""
        return subprocess.Popen(
            [sys.executable, "-m", "slipway", *map(str, words)],
            cwd=ROOT,
            env={
                **os.environ,
                **self.fake_models.variables(),
                **home.TELEMETRY_OFF,
                "SLIPWAY_ROLLOUT_SERVERS": self.server.address,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def history(self, name: str) -> list[dict]:
        """Return the project's entries in the promotion log; raises if its chain is broken."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLIPWAY_HOME", str(self.fake_models.home))
            return promotions.history(name)

    def events(self, name: str) -> list[str]:
        return [entry["evidence"]["event"] for entry in self.history(name)]

    def registry_state(self, name: str) -> tuple[dict[str, str], str]:
        """Return the aliases and the policy's tag."""
        model = self.fake_models.client.get_registered_model(name)
        aliases = {alias: str(version) for alias, version in model.aliases.items()}
        return aliases, model.tags.get("slipway.policy", "")

    def failed(self, name: str) -> float:
        """Return the number of requests that version 2 failed and the champion served."""
        return self.server.metric(f'slipway_requests_total project="{name}" version="2" status="5')

    def ended(self, process: "subprocess.Popen[str]", seconds: float = 120) -> tuple[int, str]:
        """Wait for the command; return its status and output, or kill it."""
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            kill(process)
            output, _ = process.communicate()
            raise AssertionError(f"it did not end in {seconds} s:\n{output}") from None
        return process.returncode, output


def kill(process: "subprocess.Popen[str]") -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)


def row(drill: str, callers: Callers, history: list[dict], failed: float) -> str:
    """Format a line of the table."""
    published, decided = (history[place]["evidence"]["decided"] for place in (0, -1))
    return (
        f"{drill:34} {decided - published:7.1f} s {callers.statuses.total():9} "
        f"{callers.versions['2']:8} {failed:9.0f} {callers.lost:7} {callers.slowest:8.2f} s"
    )


HEAD = (
    f"{'drill':34} {'decided in':>9} {'requests':>8} {'by new':>8} {'it failed':>9} "
    f"{'errors':>7} {'slowest':>10}"
)


def check_rolled_back(field: Field, name: str, callers: Callers, *, rule: str) -> list[dict]:
    """Check the state after a bad version 2 was published; return the history."""
    history = field.history(name)
    events = [entry["evidence"]["event"] for entry in history]
    assert set(events[:-1]) == {"canary"}, events
    last = history[-1]["evidence"]
    assert (last["event"], last["rule"]) == ("rolled back", rule), history[-1]["reason"]
    assert not any(entry["promoted"] for entry in history)
    assert last["rules"][rule]
    assert last["decided"] - history[0]["evidence"]["decided"] < WITHIN_SECONDS
    if callers.versions["2"]:
        # The decision took effect: servers sync with the registry.
        assert callers.last["2"] - last["decided"] < WITHIN_SECONDS
    assert callers.lost == 0, callers.statuses
    aliases, policy = field.registry_state(name)
    assert aliases == {"champion": "1"}
    assert '"challenger"' not in policy
    assert {field.server.predict(name, 5.0)["version"] for _ in range(50)} == {"1"}
    return history

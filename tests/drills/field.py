"""Callers who never pause, a version published under their load, and what became of it."""

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
from tests.services.zoo import Server, Zoo, code
from tests.waiting import PATIENCE, until

CALLERS = 8
# Eight callers at 20 ms make up to 400 requests a second: bounded, and enough for a minute.
PAUSE_SECONDS = 0.02
# Generous, for a busy machine of two cores; the table says what was measured.
WITHIN_SECONDS = 60.0

# Its example of the try-out, 1.0, is answered: it is callers that it fails.
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
    """A model that is right about this share of the numbers, after so many seconds."""
    return code(
        f"""
        import time
        time.sleep({seconds})
        right = [(each.number * 7919) % 1 < {share} for each in model_input]
        told = ["right" if one else "wrong" for one in right]
        return [Answer(number=each.number, model=one) for each, one in zip(model_input, told)]
        """
    )


@dataclass
class Callers:
    """What callers of one model saw, while the block runs."""

    address: str
    name: str
    truths: bool = False
    """Whether they tell of each answer if it was right."""
    statuses: Counter[int | str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    first: dict[str, float] = field(default_factory=dict)
    """When each version first answered, Unix time; `last` when it last did."""
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
                body = {"number": random.uniform(-1000, 1000)}
                answer = await client.post(f"/v1/models/{self.name}/predict", json=body)
            except httpx.HTTPError as error:
                self.statuses[type(error).__name__] += 1
                continue
            self.statuses[answer.status_code] += 1
            self.slowest = max(self.slowest, time.perf_counter() - start)
            if answer.status_code == 200:
                told = answer.json()
                now = time.time()
                self.versions[told["version"]] += 1
                self.first.setdefault(told["version"], now)
                self.last[told["version"]] = now
                if self.truths:
                    truth = {"id": told["id"], "truth": {"model": "right"}}
                    await client.post("/v1/feedback", json=truth)
            await asyncio.sleep(PAUSE_SECONDS)

    @property
    def lost(self) -> int:
        """Requests that were not answered 200."""
        return sum(count for status, count in self.statuses.items() if status != 200)

    def settled(self, version: str) -> None:
        """Until callers have met nobody else for a while: servers follow within a second."""

        def alone() -> bool:
            others = [when for name, when in self.last.items() if name != version]
            return bool(others) and time.time() - max(others) > 2

        until(alone, lambda: f"others than v{version} still answer: {self.versions}")


class Field:
    """A registry, the real server over it, and the `slipway` command."""

    def __init__(self, zoo: Zoo, server: Server) -> None:
        self.zoo, self.server = zoo, server

    def published(self, name: str, champion: str, challenger: str) -> None:
        """Both registered, the first one champion and answering."""
        self.zoo.add(name, champion)
        self.zoo.add(name, challenger, alias=None)
        until(lambda: self.server.ask(name).is_success, lambda: self.server.ask(name).text)

    def plan(self, name: str, **more: object) -> Path:
        file = self.zoo.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({**PLAN, **more}))
        return file

    def slipway(self, *words: object) -> "subprocess.Popen[str]":
        """The command, in the background, in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "slipway", *map(str, words)],
            cwd=ROOT,
            env={
                **os.environ,
                **self.zoo.variables(),
                **home.TELEMETRY_OFF,
                "SLIPWAY_ROLLOUT_SERVERS": self.server.address,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def story(self, name: str) -> list[dict]:
        """The promotion log's entries of the project; raises when its chain is broken."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLIPWAY_HOME", str(self.zoo.home))
            return promotions.history(name)

    def events(self, name: str) -> list[str]:
        return [entry["evidence"]["event"] for entry in self.story(name)]

    def standing(self, name: str) -> tuple[dict[str, str], str]:
        """Aliases, and the policy's tag."""
        model = self.zoo.client.get_registered_model(name)
        aliases = {alias: str(version) for alias, version in model.aliases.items()}
        return aliases, model.tags.get("slipway.policy", "")

    def failed(self, name: str) -> float:
        """Requests of callers that version 2 failed, and the champion answered."""
        return self.server.metric(f'slipway_requests_total project="{name}" version="2" status="5')

    def ended(self, process: "subprocess.Popen[str]", seconds: float = 120) -> tuple[int, str]:
        """The status of the command, and what it said; killed when it does not end."""
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            kill(process)
            said, _ = process.communicate()
            raise AssertionError(f"it did not end in {seconds} s:\n{said}") from None
        return process.returncode, said


def kill(process: "subprocess.Popen[str]") -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)


def row(drill: str, callers: Callers, story: list[dict], failed: float) -> str:
    """A line of the table."""
    published, decided = (story[place]["evidence"]["decided"] for place in (0, -1))
    return (
        f"{drill:34} {decided - published:7.1f} s {callers.statuses.total():9} "
        f"{callers.versions['2']:8} {failed:9.0f} {callers.lost:7} {callers.slowest:8.2f} s"
    )


HEAD = (
    f"{'drill':34} {'decided in':>9} {'requests':>8} {'by new':>8} {'it failed':>9} "
    f"{'errors':>7} {'slowest':>10}"
)


def rolled_back(field: Field, name: str, callers: Callers, *, rule: str) -> list[dict]:
    """What must hold after a bad version 2 was published; the story of it."""
    story = field.story(name)
    events = [entry["evidence"]["event"] for entry in story]
    assert set(events[:-1]) == {"canary"}, events
    last = story[-1]["evidence"]
    assert (last["event"], last["rule"]) == ("rolled back", rule), story[-1]["reason"]
    assert not any(entry["promoted"] for entry in story)
    assert last["rules"][rule]
    assert last["decided"] - story[0]["evidence"]["decided"] < WITHIN_SECONDS
    if callers.versions["2"]:
        # The decision took effect: servers follow the registry.
        assert callers.last["2"] - last["decided"] < WITHIN_SECONDS
    assert callers.lost == 0, callers.statuses
    aliases, policy = field.standing(name)
    assert aliases == {"champion": "1"}
    assert '"challenger"' not in policy
    assert {field.server.answer(name, 5.0)["version"] for _ in range(50)} == {"1"}
    return story

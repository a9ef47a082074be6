"""The fuzzer finds planted faults, one at a time, and nothing in a sound service."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from slipway import home
from tests.conftest import running
from tests.drills.fuzz.grammar import Grammar
from tests.drills.fuzz.knowledge import Knowledge
from tests.drills.fuzz.request import Answer, Request
from tests.drills.fuzz.routes import Route, of_document
from tests.drills.fuzz.target import Result, Target, fuzz
from tests.drills.fuzz.verdict import MEBIBYTE, fault_of

# 500 requests, a third of them to the route with the fault, and a leak of a megabyte each.
SECONDS, MOST, MOST_GROWTH = 20.0, 250, 16 * MEBIBYTE
SEED = 1


ALL_BUT_STOPS = ("fails", "leaks", "restarts", "cuts", "forgets")


@contextmanager
def planted(folder: Path, *faults: str) -> Iterator[Target]:
    port = home.free_port()
    address = f"http://{home.LOOPBACK}:{port}"
    with (
        running(
            *(sys.executable, "-m", "tests.drills.fuzz.planted_server", str(port), *faults),
            env={},
            log=folder / "planted.log",
            ready=f"{address}/v1/ready",
        ) as process,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        body = {"number": 1.5, "text": "text"}
        yield Target(
            "planted",
            client,
            psutil.Process(process.pid),
            of_document(client.get("/openapi.json").json()),
            Knowledge({}),
            lambda: client.post("/numbers", json=body).json(),
        )


def run(target: Target, folder: Path) -> Result:
    kept = folder / "kept"
    return fuzz(target, SECONDS, kept, seed=SEED, most=MOST, most_growth=MOST_GROWTH)


def test_a_sound_service_passes(tmp_path: Path) -> None:
    with planted(tmp_path) as target:
        result = run(target, tmp_path)
    assert result.faults == []
    assert result.outcome.failed == 0
    assert {route for route, _ in result.outcome.statuses} == {
        "GET /v1/ready",
        "GET /metrics",
        "POST /numbers",
    }
    assert result.outcome.of("POST /numbers")[200] > 10
    assert result.outcome.of("POST /numbers")[422] > 10


def test_planted_faults_are_found(tmp_path: Path) -> None:
    with planted(tmp_path, *ALL_BUT_STOPS) as target:
        faults = run(target, tmp_path).faults
        for message in (
            "POST /numbers: 500 Internal error",
            "grew by",
            "workers restarted",
            "POST /numbers: 200, and the body is cut off",
            "an ordinary request got {'double': 0} instead of {'double': 3.0}",
        ):
            assert any(message in each for each in faults), (message, faults)
        [kept] = (each for each in faults if "500 Internal error" in each)
        replayed = subprocess.run(
            [sys.executable, *kept.rpartition("; python ")[2].split()],
            capture_output=True,
            text=True,
            check=False,
        )
    assert replayed.stdout.startswith("500")
    assert replayed.returncode == 1


def test_a_process_that_ends_is_found(tmp_path: Path) -> None:
    with planted(tmp_path, "stops") as target:
        assert "it ended" in run(target, tmp_path).faults


def test_a_seed_makes_the_same_requests() -> None:
    routes = [Route("POST", "/v1/models/{name}/predict"), Route("GET", "/v1/jobs/{id}", ("a",))]

    def made(seed: int) -> list[object]:
        grammar = Grammar(seed, routes, Knowledge({"name": ["a"]}), [])
        return [grammar.request(number) for number in range(100)]

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_only_full_queues_may_refuse_with_503() -> None:
    request = Request(0, "POST /v1/runs", "valid", b"")
    retry = {"retry-after": "60"}

    def found(service: str, title: str, headers: dict[str, str]) -> str:
        answer = Answer(503, headers, value={"title": title})
        return fault_of(service, request, answer)

    assert found("trainer", "Queue full", retry) == ""
    assert found("trainer", "Queue full", {}) == "503 Queue full"
    assert found("trainer", "Disk away", retry) == "503 Disk away"
    assert found("predict", "Queue full", retry) == "503 Queue full"

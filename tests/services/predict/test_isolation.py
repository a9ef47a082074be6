"""A model that misbehaves does not affect the other models of the server."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from tests.services.fake_models import ModelRegistryFixture, Server, code, echo
from tests.waiting import until

ECHO = "return [Answer(number=each.number, model='good') for each in model_input]"
# Each misbehaves for the number 666 only, so that it passes its try-out.
BAD = {
    "raises": "raise RuntimeError('secret insides')",
    "hangs": "while True: pass",
    "sleeps": "import time; time.sleep(3600)",
    "swallows": """
try:
    while True: pass
except Exception:
    pass
""",
    "eats": "hoard = [bytearray(2**24) for _ in range(10**6)]",
    "aborts": "import os; os.abort()",
    "leaves": "import os; os._exit(3)",
    "short": "return []",
}


def misbehaving(name: str) -> str:
    action = "\n    ".join(BAD[name].strip().splitlines())
    return code(f"if model_input[0].number == 666:\n    {action}\n{ECHO}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("isolation"))
    registry.add("good", echo("good"))
    for name in BAD:
        registry.add(name, misbehaving(name))
    for name in BAD:
        registry.client.set_registered_model_tag(name, "slipway.policy", '{"timeout_seconds": 1.5}')
    limits = {"model_bytes": 400 * 2**20, "stuck_seconds": 3}
    with registry.serving(**limits) as running:
        until(lambda: len(running.client.get("/v1/models").json()["models"]) == len(BAD) + 1)
        yield running


class Bystander:
    """Sends requests to the good model in a thread, and records errors and the slowest one."""

    def __init__(self, server: Server) -> None:
        self.server, self.faults, self.slowest, self.count = server, [], 0.0, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        import httpx

        with httpx.Client(base_url=self.server.address, timeout=30) as client:
            while not self._stop.is_set():
                start = time.monotonic()
                try:
                    response = client.post("/v1/models/good/predict", json={"number": 2})
                    if response.status_code != 200:
                        self.faults.append(response.text)
                except httpx.HTTPError as error:
                    self.faults.append(repr(error))
                self.slowest = max(self.slowest, time.monotonic() - start)
                self.count += 1

    def __enter__(self) -> "Bystander":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        seen = self.count
        until(lambda: self.count > seen + 20)
        self._stop.set()
        self._thread.join()


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("raises", {500}),
        ("short", {500}),
        ("hangs", {504}),
        ("sleeps", {504}),
        ("swallows", {504}),
        ("eats", {500, 504}),  # a slow machine reaches the timeout before the memory limit
    ],
)
def test_a_model_that_misbehaves_fails_alone(server: Server, name: str, statuses: set[int]) -> None:
    assert server.predict(name, 5)["predictions"][0]["number"] == 5
    with Bystander(server) as bystander:
        response = server.request(name, 666)
        assert response.status_code in statuses, response.text
        assert "secret" not in response.text
        assert "Traceback" not in response.text
        # It still predicts other inputs.
        until(lambda: server.request(name, 7).status_code == 200)
    assert bystander.faults == []
    # Blocked for about the inline limit of 0.1 s, not for as long as the model runs. The margin is
    # for a machine that is busy starting the model's own process.
    assert bystander.slowest < 3
    assert len(server.workers()) == 1


def test_a_model_that_hung_is_isolated(server: Server) -> None:
    listed = {each["name"]: each for each in server.client.get("/v1/models").json()["models"]}
    assert listed["hangs"]["isolated"]
    assert not listed["good"]["isolated"]
    assert server.metric("slipway_model_isolated hangs") == 1


def replaced(server: Server, before: int) -> bool:
    pids = [each.pid for each in server.workers()]
    return bool(pids) and before not in pids


@pytest.mark.parametrize("name", ["aborts", "leaves"])
def test_a_model_that_ends_the_process_is_isolated_afterwards(server: Server, name: str) -> None:
    """The first crash ends the worker, which is replaced; later ones end the model's process."""
    before = server.workers()[0].pid

    def ask() -> int:
        import httpx

        try:
            return server.request(name, 666).status_code
        except httpx.TransportError:
            return 0

    assert ask() == 0
    until(lambda: replaced(server, before))
    until(lambda: server.request("good").status_code == 200)
    assert server.predict(name, 3)["predictions"][0]["number"] == 3
    with Bystander(server) as bystander:
        assert ask() == 500
        until(lambda: server.request(name, 7).status_code == 200)
    assert bystander.faults == []


def test_a_stuck_worker_is_replaced(server: Server) -> None:
    worker = server.workers()[0]
    os.kill(worker.pid, signal.SIGSTOP)
    until(lambda: replaced(server, worker.pid))
    until(lambda: server.request("good").status_code == 200)
    assert server.metric("slipway_worker_restarts_total SIGKILL") >= 1


@pytest.mark.parametrize(
    ("action", "fault", "seconds"),
    [
        ("raise ImportError('no such thing')", "ModelRaised", 60),
        ("import os; os._exit(1)", "ModelProcessFailed", 60),
        ("while True: pass", "no response in 5 s", 5),
        # It runs out of memory within a second, or a few on a busy machine.
        ("hoard = [bytearray(2**24) for _ in range(10**6)]", "ModelRaised", 60),
    ],
)
def test_a_version_that_fails_its_try_out_is_never_served(
    tmp_path, action: str, fault: str, seconds: int
) -> None:
    registry = ModelRegistryFixture(tmp_path)
    registry.add("model", echo("first"))
    limits = {"load_seconds": seconds, "model_bytes": 300 * 2**20}
    with registry.serving(**limits) as server:
        registry.add("model", f"{action}\n{echo('second')}")
        # Until then the fault says that the version is still being tried out.
        until(lambda: fault in server.client.get("/v1/models").json()["faults"].get("model", ""))
        assert server.predict("model")["version"] == "1"
        assert server.client.get("/v1/ready").status_code == 200
        assert server.metric("slipway_model_faults model") == 1

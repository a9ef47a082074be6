"""Models that misbehave, each in its own way, beside one that does not: only they suffer."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from tests.services.zoo import Server, Zoo, code, echo
from tests.waiting import until

ECHO = "return [Answer(number=each.number, model='good') for each in model_input]"
# Each misbehaves when it is asked for 666, so that it passes its try-out.
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


def behaving(name: str) -> str:
    deed = "\n    ".join(BAD[name].strip().splitlines())
    return code(f"if model_input[0].number == 666:\n    {deed}\n{ECHO}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    zoo = Zoo(tmp_path_factory.mktemp("isolation"))
    zoo.add("good", echo("good"))
    for name in BAD:
        zoo.add(name, behaving(name))
    for name in BAD:
        zoo.client.set_registered_model_tag(name, "slipway.policy", '{"timeout_seconds": 1.5}')
    limits = {"model_bytes": 400 * 2**20, "stuck_seconds": 3}
    with zoo.serving(**limits) as running:
        until(lambda: len(running.client.get("/v1/models").json()["models"]) == len(BAD) + 1)
        yield running


class Bystander:
    """Asks the good model all the while, and notes what went wrong and how long it took."""

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
                    answer = client.post("/v1/models/good/predict", json={"number": 2})
                    if answer.status_code != 200:
                        self.faults.append(answer.text)
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
        ("eats", {500, 504}),  # a slow machine ends its time before its memory
    ],
)
def test_a_model_that_misbehaves_fails_alone(server: Server, name: str, statuses: set[int]) -> None:
    assert server.answer(name, 5)["predictions"][0]["number"] == 5
    with Bystander(server) as bystander:
        answer = server.ask(name, 666)
        assert answer.status_code in statuses, answer.text
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        # It goes on answering what it can answer.
        until(lambda: server.ask(name, 7).status_code == 200)
    assert bystander.faults == []
    # Held up for about the inline limit of 0.1 s, and not for as long as the model would like; the
    # rest is for a machine that is busy with starting the process of its own.
    assert bystander.slowest < 3
    assert len(server.workers()) == 1


def test_the_time_limit_isolates_what_hung(server: Server) -> None:
    listed = {each["name"]: each for each in server.client.get("/v1/models").json()["models"]}
    assert listed["hangs"]["isolated"]
    assert not listed["good"]["isolated"]
    assert server.metric("slipway_model_isolated hangs") == 1


def replaced(server: Server, before: int) -> bool:
    found = [each.pid for each in server.workers()]
    return bool(found) and before not in found


@pytest.mark.parametrize("name", ["aborts", "leaves"])
def test_a_model_that_ends_the_process_is_isolated_afterwards(server: Server, name: str) -> None:
    """The first time it takes the worker along, which is replaced; from then on itself alone."""
    before = server.workers()[0].pid

    def ask() -> int:
        import httpx

        try:
            return server.ask(name, 666).status_code
        except httpx.TransportError:
            return 0

    assert ask() == 0
    until(lambda: replaced(server, before))
    until(lambda: server.ask("good").status_code == 200)
    if name == "aborts":
        assert server.answer(name, 3)["predictions"][0]["number"] == 3
        with Bystander(server) as bystander:
            assert ask() == 500
            until(lambda: server.ask(name, 7).status_code == 200)
        assert bystander.faults == []


def test_a_worker_that_stands_still_is_replaced(server: Server) -> None:
    worker = server.workers()[0]
    os.kill(worker.pid, signal.SIGSTOP)
    until(lambda: replaced(server, worker.pid))
    until(lambda: server.ask("good").status_code == 200)
    assert server.metric("slipway_worker_restarts_total SIGKILL") >= 1


@pytest.mark.parametrize(
    ("deed", "told", "seconds"),
    [
        ("raise ImportError('no such thing')", "ModelRaised", 60),
        ("import os; os._exit(1)", "HostFailed", 60),
        ("while True: pass", "no answer in 5 s", 5),
        # It runs out of memory in less than a second, or in some on a busy machine.
        ("hoard = [bytearray(2**24) for _ in range(10**6)]", "ModelRaised", 60),
    ],
)
def test_a_version_that_fails_its_try_out_is_never_served(
    tmp_path, deed: str, told: str, seconds: int
) -> None:
    zoo = Zoo(tmp_path)
    zoo.add("model", echo("first"))
    limits = {"load_seconds": seconds, "model_bytes": 300 * 2**20}
    with zoo.serving(**limits) as server:
        zoo.add("model", f"{deed}\n{echo('second')}")
        until(lambda: server.client.get("/v1/models").json()["faults"])
        assert told in server.client.get("/v1/models").json()["faults"]["model"]
        assert server.answer("model")["version"] == "1"
        assert server.client.get("/v1/ready").status_code == 200
        assert server.metric("slipway_model_faults model") == 1

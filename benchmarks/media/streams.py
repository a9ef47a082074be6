"""The streaming model served, and alone in a process: time to first token, tokens a second.

`python -m benchmarks.media.streams FOLDER SECONDS` runs it alone and prints the figures.
"""

import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from benchmarks.media.subject import PROMPT, WRITER, MediaSubject
from benchmarks.rival import NotRun
from benchmarks.server import GENERATOR_CORE, SERVER_CORE, on_core
from slipway import home
from slipway.contract.shipped import Shipped

TOKENS = 64
BODY = json.dumps({"tokens": PROMPT, "more": TOKENS}).encode()
HEADERS = {"Content-Type": "application/json", "Accept": "text/event-stream"}


class StreamFigures(BaseModel):
    """The medians of the streams of one round, and all of their tokens."""

    model_config = ConfigDict(extra="forbid")

    first_ms: float
    """From the request to the first token."""
    per_second: float
    """Tokens of all streams a second, with the times to the first."""
    streams: int


def measure(run: Callable[[], Iterator[object]], seconds: float, at_once: int) -> StreamFigures:
    """Run streams one after the other, `at_once` of them side by side.

    Raises:
        NotRun: a stream failed.
    """
    firsts: list[float] = []
    faults: list[str] = []
    tokens = 0
    lock = threading.Lock()
    began = time.perf_counter()

    def repeat() -> None:
        nonlocal tokens
        try:
            while time.perf_counter() < began + seconds:
                start = time.perf_counter()
                for number, _ in enumerate(run()):
                    if number == 0:
                        first = time.perf_counter() - start
                with lock:
                    firsts.append(first)
                    tokens += number + 1
        except (OSError, NotRun, http.client.HTTPException) as error:
            faults.append(str(error))

    threads = [threading.Thread(target=repeat) for _ in range(at_once)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if faults:
        raise NotRun(faults[0])
    return StreamFigures(
        first_ms=statistics.median(firsts) * 1000,
        per_second=tokens / (time.perf_counter() - began),
        streams=len(firsts),
    )


def alone(subject: MediaSubject, seconds: float) -> StreamFigures:
    """Run the model without a server, on the servers' core."""
    with on_core(SERVER_CORE):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.media.streams", subject.writer.folder, str(seconds)],
            capture_output=True,
            check=True,
            cwd=home.root(),
            timeout=seconds + 60,
        )
    return StreamFigures.model_validate_json(done.stdout)


def served(port: int, seconds: float, at_once: int) -> StreamFigures:
    """Call the model server, whose tokens are server-sent events."""

    def run() -> Iterator[object]:
        connection = http.client.HTTPConnection(home.LOOPBACK, port, timeout=60)
        connection.request("POST", f"/v1/models/{WRITER}/predict", BODY, HEADERS)
        response = connection.getresponse()
        if response.status != 200:
            raise NotRun(f"the stream has status {response.status}: {response.read(200)!r}")
        event = b""
        for line in response:
            if line.startswith(b"event: "):
                event = line[7:].strip()
            elif line.startswith(b"data: ") and event == b"chunk":
                yield line
        connection.close()
        if event != b"prediction":
            raise NotRun(f"the stream ended with the event {event.decode()}")

    with on_core(GENERATOR_CORE):
        return measure(run, seconds, at_once)


def main(folder: str, seconds: float) -> None:
    """Print the figures of the model alone."""
    model = Shipped(Path(folder)).load()
    record = model.input_type().model_validate_json(BODY)

    def run() -> Iterator[object]:
        return iter(model.stream(record))  # type: ignore[attr-defined]

    list(run())
    print(measure(run, seconds, 1).model_dump_json())


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))

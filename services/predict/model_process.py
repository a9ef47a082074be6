"""Runs a model in a process of its own, which can be killed.

Used for try-outs, for shadow variants, and for models that crash or block a worker.
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import statistics
from collections import deque
from collections.abc import Callable
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import perf_counter
from typing import Any

from services.jobs.memory_limit import limit_memory
from services.predict.backend import VersionFiles
from services.predict.browser_graph import find_browser_graph
from services.predict.chunks import stream_prediction
from services.predict.engine import Engine, ModelResponse
from services.predict.explaining import explain_records, way_of
from services.predict.packages import check_packages, needed_groups
from services.predict.shipped_examples import check_examples
from services.predict.snapshot import Profile
from services.web.problem import Problem
from slipway.contract import StreamingModel, shared_code

# Imported once by the fork server, so that a model starts in milliseconds instead of a second.
PRELOADED = ["services.predict.model_process", "numpy", "onnxruntime", "pydantic"]
TIMED_CALLS, TIMED_BATCHES, TIMED_SECONDS = 20, 3, 2.0
BATCH = 16
STREAM, STOP = "stream", "stop"
# Chunks that are handed on together when the model is faster than its caller.
CHUNKS = 64
# How long a model may take for its current chunk when its caller has gone.
STOP_SECONDS = 2.0


class ModelProcessFailed(Exception):
    """Raised when the model's process ended, or did not respond in time."""


def _forkserver_context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def stop_fork_server() -> None:
    """End the fork server, which takes 47 MiB with its resource tracker.

    No model process of this process may run; the next one starts the fork server again. Python has
    no public function for this; its own tests use these two.
    """
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


class ModelProcess:
    """The parent's side of the process. Calls run one at a time; one that times out kills it."""

    def __init__(
        self, source: VersionFiles, *, memory: int, batch_rows: int, nice: int = 0
    ) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._pipe: Connection = ours
        self.calling = self.streaming = False
        """True while a call, or a stream, runs."""
        self._process: BaseProcess = _forkserver_context().Process(
            target=_serve, args=(theirs, source, memory, batch_rows, nice), daemon=True
        )
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.is_alive()

    def call(self, verb: str, argument: Any, *, seconds: float) -> Any:
        """Send a request and wait for the response. After a ModelProcessFailed the process is gone.

        Raises:
            ModelProcessFailed: the process ended, or took longer than `seconds`.
            Exception: raised by the model.
        """
        self.begin(verb, argument)
        succeeded, result = self._receive(seconds)
        self.calling = False
        if not succeeded:
            raise result
        return result

    def begin(self, verb: str, argument: Any) -> None:
        """Send a request without waiting for anything.

        Raises:
            ModelProcessFailed: the process has ended.
        """
        self.calling, self.streaming = True, verb == STREAM
        try:
            self._pipe.send((verb, argument))
        except OSError as error:
            raise self._failed() from error

    def receive_chunks(self, *, seconds: float) -> list[Any]:
        """Return what the stream has produced since the last call, at least one item.

        The items are chunks in bytes. The last item of a stream is its response, an exception of
        the model, or a ModelProcessFailed: the process ended, or took longer than `seconds`.
        """
        items: list[Any] = []
        while not items or (self.streaming and len(items) < CHUNKS and self._pipe.poll()):
            try:
                _, item = self._receive(seconds)
            except ModelProcessFailed as failure:
                item = failure  # the chunks before it are not lost
            items.append(item)
            if not isinstance(item, bytes):
                self.calling = self.streaming = False
        return items

    def request_stop(self) -> None:
        """Ask the model to end its stream after the current chunk."""
        with contextlib.suppress(OSError):
            self._pipe.send((STOP, None))

    def settle(self) -> None:
        """Wait until the stream that was requested to stop has ended; otherwise end the process."""
        while self.streaming:
            self.receive_chunks(seconds=STOP_SECONDS)

    def _receive(self, seconds: float) -> tuple[bool, Any]:
        try:
            if not self._pipe.poll(seconds):
                self.kill()
                raise ModelProcessFailed(f"no response in {seconds:g} s")
            message: tuple[bool, Any] = self._pipe.recv()
            return message
        except (OSError, EOFError) as error:
            raise self._failed() from error

    def _failed(self) -> ModelProcessFailed:
        self.kill()
        return ModelProcessFailed(_exit_reason(self._process.exitcode))

    async def ask(self, verb: str, argument: Any, *, seconds: float) -> Any:
        """Run `call` in a thread, for use from the event loop."""
        return await asyncio.to_thread(self.call, verb, argument, seconds=seconds)

    def terminate(self) -> None:
        """End the process at once, without waiting for it."""
        self._process.kill()

    def kill(self) -> None:
        """End the process and free what belongs to it."""
        self.calling = self.streaming = False
        self._process.kill()
        self._process.join(5)
        self._pipe.close()


def _exit_reason(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ", most likely out of memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with status {code}"


class ModelRaised(Exception):
    """An exception of the model, passed between processes as its type name and message."""


def _serve(pipe: Connection, source: VersionFiles, memory: int, batch_rows: int, nice: int) -> None:
    """Handle requests in the child process until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(nice)
    limit_memory(memory)
    engine: Engine | None = None
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            verb, argument = pipe.recv()
            try:
                result: Any
                if verb == "load":
                    engine = _load(source, batch_rows)
                    result = None
                elif verb == "try":
                    result = try_out(source, batch_rows)
                elif verb == STOP:  # the stream had just ended
                    continue
                elif verb == STREAM:
                    assert engine is not None
                    result = _send_chunks(pipe, engine, argument)
                else:
                    assert engine is not None
                    result = _handlers(engine, source)[verb](argument)
            except Problem as problem:
                pipe.send((False, problem))
            except BaseException as error:
                pipe.send((False, ModelRaised(f"{type(error).__name__}: {error}"[:2000])))
            else:
                pipe.send((True, result))


def _send_chunks(pipe: Connection, engine: Engine, body: bytes) -> ModelResponse | None:
    """Send the chunks as the model makes them; return the response, None if it was stopped."""
    with contextlib.closing(stream_prediction(engine, body)) as stream:
        for item in stream:
            if isinstance(item, ModelResponse):
                return item
            pipe.send((True, item))
            if pipe.poll():
                pipe.recv()
                return None
    raise AssertionError("a stream ends with its response")


def _handlers(engine: Engine, source: VersionFiles) -> dict[str, Callable[[Any], Any]]:
    return {
        "answer": engine.predict,
        "together": engine.predict_together,
        "explain": lambda request: deque(explain_records(engine, source, request), maxlen=1).pop(),
    }


def _load(source: VersionFiles, batch_rows: int) -> Engine:
    engine = Engine(source.load(), batch_rows=batch_rows, thumbnails=source.thumbnails)
    if not source.shipped.serving.slow:
        engine.use_columns([each["input"] for each in source.shipped.examples])
    return engine


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def try_out(source: VersionFiles, batch_rows: int) -> Profile:
    """Load the version, predict its own examples, compare and measure them.

    A slow model makes one call: its memory is allocated then, and its time is known.

    Raises:
        ServingGroupMissing: this server lacks a group of packages that the version needs.
        ExamplesDiffer: the version does not predict what it did when it was registered.
        Exception: raised by the version's code; the version must not be served then.
    """
    shipped = source.shipped
    serving = shipped.serving
    check_packages(serving.requires)
    before, start = _resident_bytes(), perf_counter()
    engine = _load(source, batch_rows)
    load_seconds = perf_counter() - start
    looked_up = type(engine.model).looked_up
    check_packages(needed_groups(serving.requires, looked_up))
    bodies = [json.dumps(each["input"]).encode() for each in shipped.examples]
    if not bodies:
        raise ValueError("about/examples.json holds no example to try the model with")
    if not serving.slow:
        engine.predict(bodies[0])  # the first call allocates
    singles = [engine.predict(body) for body in (bodies[:1] if serving.slow else bodies)]
    check_examples(shipped, [json.loads(each.predictions)[0] for each in singles])
    one_seconds = batch_seconds = statistics.median(each.infer_seconds for each in singles)
    if not serving.slow:
        until = start + load_seconds + TIMED_SECONDS
        one_seconds, batch_seconds = _timed(engine, bodies, singles, until)
    card = shipped.card
    way = way_of(engine.model, shipped)
    chunk = engine.model.chunk_type() if isinstance(engine.model, StreamingModel) else None
    return Profile(
        load_seconds=load_seconds,
        bytes=max(0, _resident_bytes() - before),
        validate_seconds=statistics.median(each.validate_seconds for each in singles),
        one_seconds=one_seconds,
        batch_seconds=batch_seconds,
        question=card.split("**")[1] if card.count("**") >= 2 else source.name,
        input_name=engine.input_type.__name__,
        output_name=engine.output_type.__name__,
        input_schema=engine.input_type.model_json_schema(),
        output_schema=engine.output_type.model_json_schema(mode="serialization"),
        explains=way is not None,
        explained_by=way,
        looked_up=looked_up,
        latency_seconds=serving.latency_seconds,
        threads=serving.threads,
        requires=serving.requires,
        media=serving.media,
        streams=chunk is not None,
        chunk_name=chunk.__name__ if chunk else None,
        chunk_schema=chunk.model_json_schema(mode="serialization") if chunk else None,
        browser=None
        if serving.slow
        else find_browser_graph(engine.model, shipped, [engine.parse(each)[0] for each in bodies]),
        code=shared_code.fingerprint(shipped.about),
    )


def _timed(
    engine: Engine, bodies: list[bytes], singles: list[ModelResponse], until: float
) -> tuple[float, float]:
    """Return the seconds of one record, alone and in a batch; add the single calls to `singles`."""
    while len(singles) < TIMED_CALLS and perf_counter() < until:
        singles.append(engine.predict(bodies[len(singles) % len(bodies)]))
    batch = [bodies[n % len(bodies)] for n in range(BATCH)]
    batches = engine.predict_together(batch)[:1]
    while len(batches) < TIMED_BATCHES and perf_counter() < until:
        batches += engine.predict_together(batch)[:1]
    succeeded = [each for each in batches if isinstance(each, ModelResponse)]
    return (
        statistics.median(each.infer_seconds for each in singles),
        statistics.median(each.infer_seconds for each in succeeded) / BATCH,
    )

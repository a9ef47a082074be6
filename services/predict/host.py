"""A model in a process of its own, which can be killed: for try-outs, shadows and misbehaviour."""

import asyncio
import contextlib
import json
import multiprocessing
import os
import resource
import signal
import statistics
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import perf_counter
from typing import Any

from services.predict.backend import Source
from services.predict.engine import Answered, Engine
from services.predict.explaining import explained
from services.predict.snapshot import Profile
from services.web.problem import Problem

# Imported once by a process that only forks: a model is up in milliseconds, not in a second.
PRELOADED = ["services.predict.host", "numpy", "onnxruntime", "pydantic"]
TIMED_CALLS, TIMED_BATCHES, TIMED_SECONDS = 20, 3, 2.0
BATCH = 16


class HostFailed(Exception):
    """The process of the model ended, or did not answer in time."""


def forks() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


class Host:
    """Parent's end. Calls go one after another; a call that takes too long ends the process."""

    def __init__(self, source: Source, *, memory: int, batch_rows: int, nice: int = 0) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._pipe: Connection = ours
        self._process: BaseProcess = forks().Process(
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
        """Ask and wait. After any HostFailed the process is gone.

        Raises:
            HostFailed: it ended, or took longer than `seconds`.
            Exception: what the model raised.
        """
        try:
            self._pipe.send((verb, argument))
            if not self._pipe.poll(seconds):
                self.kill()
                raise HostFailed(f"no answer in {seconds:g} s")
            fine, told = self._pipe.recv()
        except (OSError, EOFError) as error:
            self.kill()
            raise HostFailed(_ended(self._process.exitcode)) from error
        if not fine:
            raise told
        return told

    async def ask(self, verb: str, argument: Any, *, seconds: float) -> Any:
        """`call` from the event loop."""
        return await asyncio.to_thread(self.call, verb, argument, seconds=seconds)

    def kill(self) -> None:
        self._process.kill()
        self._process.join(5)
        self._pipe.close()


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ", out of memory most likely" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with status {code}"


class ModelRaised(Exception):
    """What the model raised, told across the process border by type and text alone."""


def _serve(pipe: Connection, source: Source, memory: int, batch_rows: int, nice: int) -> None:
    """The child: load on request, answer until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(nice)
    limit = _data() + memory
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    engine: Engine | None = None
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            verb, argument = pipe.recv()
            try:
                told: Any
                if verb == "load":
                    engine = _loaded(source, batch_rows)
                    told = None
                elif verb == "try":
                    told = tried(source, batch_rows)
                else:
                    assert engine is not None
                    told = _verbs(engine, source)[verb](argument)
            except Problem as problem:
                pipe.send((False, problem))
            except BaseException as error:
                pipe.send((False, ModelRaised(f"{type(error).__name__}: {error}"[:2000])))
            else:
                pipe.send((True, told))


def _verbs(engine: Engine, source: Source) -> dict[str, Callable[[Any], Any]]:
    return {
        "answer": engine.answer,
        "together": engine.together,
        "explain": lambda body: explained(engine, source, body),
    }


def _loaded(source: Source, batch_rows: int) -> Engine:
    return Engine(source.load(), batch_rows=batch_rows)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _data() -> int:
    """What RLIMIT_DATA counts: private writable memory, also what was never touched."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmData:")[2].split()[0]) * 1024


def tried(source: Source, batch_rows: int) -> Profile:
    """Load the version, ask it its own examples, and measure both.

    Raises:
        Exception: whatever its code raises; it must not be served then.
    """
    before, start = _resident(), perf_counter()
    engine = _loaded(source, batch_rows)
    load_seconds = perf_counter() - start
    shipped = source.shipped
    bodies = [json.dumps(each["input"]).encode() for each in shipped.examples]
    if not bodies:
        raise ValueError("about/examples.json holds no example to try the model with")
    engine.answer(bodies[0])  # the first call allocates
    singles = [engine.answer(body) for body in bodies]
    while len(singles) < TIMED_CALLS and perf_counter() - start < load_seconds + TIMED_SECONDS:
        singles.append(engine.answer(bodies[len(singles) % len(bodies)]))
    several = [bodies[n % len(bodies)] for n in range(BATCH)]
    batches = engine.together(several)[:1]
    while len(batches) < TIMED_BATCHES and perf_counter() - start < load_seconds + TIMED_SECONDS:
        batches += engine.together(several)[:1]
    answered = [each for each in batches if isinstance(each, Answered)]
    card = shipped.card
    return Profile(
        load_seconds=load_seconds,
        bytes=max(0, _resident() - before),
        validate_seconds=statistics.median(each.validate_seconds for each in singles),
        one_seconds=statistics.median(each.infer_seconds for each in singles),
        batch_seconds=statistics.median(each.infer_seconds for each in answered) / BATCH,
        question=card.split("**")[1] if card.count("**") >= 2 else source.name,
        input_name=engine.input_type.__name__,
        output_name=engine.output_type.__name__,
        input_schema=engine.input_type.model_json_schema(),
        output_schema=engine.output_type.model_json_schema(mode="serialization"),
        explains=type(engine.model).explained is not None and bool(shipped.reference),
        looked_up=type(engine.model).looked_up,
    )

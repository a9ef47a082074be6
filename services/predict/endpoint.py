"""POST /v1/models/{name}/predict: the path that every request takes, in as few steps as it can.

Measured on one core with a small model: uvicorn itself takes 31 of about 110 microseconds.
FastAPI's routing and validation alone would take 100 more, so this path goes around it.
"""

import asyncio
import contextlib
import logging
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from services.predict import body as bodies
from services.predict import metrics, routing
from services.predict.engine import Answered, Engine
from services.predict.fleet import Fleet, Served
from services.predict.form import as_json
from services.predict.recording import Recorder, trace_id
from services.predict.settings import Settings
from services.predict.unit import INLINE_BYTES, Unit
from services.predict.watch import Overrun, Watch
from services.web import logs
from services.web.guard import Guard
from services.web.problem import MEDIA_TYPE, Problem
from slipway.policy import CHAMPION

if TYPE_CHECKING:
    from services.predict.tracing import Tracer

log = logging.getLogger("slipway.predict")

SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", MEDIA_TYPE.encode())
OK = b"HTTP/1.1 200 OK\r\n%b: %b\r\n" % JSON
OK += b"".join(b"%b: %b\r\n" % each for each in SECURITY) + b"content-length: %d\r\n\r\n"
FAILED = Problem(500, "Internal error", "the server failed; its log says why")


def problem_bytes(problem: Problem) -> bytes:
    """The whole HTTP answer."""
    body = problem.body()
    more = "".join(f"{name}: {value}\r\n" for name, value in problem.headers().items())
    phrase = HTTPStatus(problem.status).phrase
    head = f"HTTP/1.1 {problem.status} {phrase}\r\n{more}content-length: {len(body)}\r\n"
    lines = b"".join(b"%b: %b\r\n" % each for each in (PROBLEM, *SECURITY))
    return head.encode() + lines + b"\r\n" + body


async def reply(
    send: Send, status: int, kind: tuple[bytes, bytes], body: bytes, *more: tuple[bytes, bytes]
) -> None:
    head = (kind, (b"content-length", b"%d" % len(body)), *SECURITY, *more)
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def reply_problem(send: Send, problem: Problem) -> None:
    more = [(key.encode(), value.encode()) for key, value in problem.headers().items()]
    await reply(send, problem.status, PROBLEM, problem.body(), *more)


def _payload(identifier: str, unit: Unit, answered: Answered) -> bytes:
    return b'{"id":"%b%b%b}' % (identifier.encode(), unit.middle, answered.predictions)


class Predict:
    """Answers from the fleet; what belongs to HTTP stands here, and nothing of models."""

    def __init__(
        self, fleet: Fleet, guard: Guard, recorder: Recorder, watch: Watch, settings: Settings
    ) -> None:
        self.fleet, self.guard, self.recorder = fleet, guard, recorder
        self.watch, self.settings = watch, settings
        self.lookups = fleet.lookups
        self.tracer: Tracer | None = None
        self._shadows: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def at_once(self, name: str, headers: dict[bytes, bytes], body: bytes) -> bytes | None:
        """The whole HTTP answer, when it can be given without waiting for anything.

        What it leaves `__call__` answers: it returns None before anything is counted.
        """
        start = perf_counter()
        served = self.fleet.served.get(name)
        if (
            served is None
            or len(body) > INLINE_BYTES
            or headers.get(b"content-type") != b"application/json"
            or b"content-encoding" in headers
        ):
            return None
        chosen, champion = routing.choose(served, headers, body), served.champion
        # The champion answers for a challenger that fails.
        for unit in (chosen,) if chosen is champion else (chosen, champion):
            engine = unit.engine
            if engine is None or not unit.direct or self.lookups.wanted(unit, body):
                return None
            unit.used = start
            logs.trace.set(trace_id(headers.get(b"traceparent")) or "")
            try:
                self.guard.admit(headers, "predict")
                answered = self._watched(unit, engine, body)
            except Overrun:
                return None
            except Problem as problem:
                unit.failed(problem.status)
                if problem.status < 500 or unit is champion:
                    return problem_bytes(problem)
                continue
            identifier = self.finished(served, unit, headers, body, answered, start)
            payload = _payload(identifier, unit, answered)
            return OK % len(payload) + payload
        return None

    async def __call__(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        start = perf_counter()
        unit: Unit | None = None
        try:
            headers = dict(scope["headers"])
            logs.trace.set(trace_id(headers.get(b"traceparent")) or "")
            self.guard.admit(headers, "predict")
            served = self.served(name)
            body = await self._body(scope, receive, headers)
            unit = routing.choose(served, headers, body)
            body = await self.lookups.filled(unit, body)
            answered, unit = await self.answered(served, unit, body)
            identifier = self.finished(served, unit, headers, body, answered, start)
        except Problem as problem:
            self.count(name, unit, problem)
            await reply_problem(send, problem)
        except bodies.Disconnected:
            metrics.REFUSED.labels(metrics.DISCONNECTED).inc()
        else:
            await reply(send, 200, JSON, _payload(identifier, unit, answered))

    def finished(
        self,
        served: Served,
        unit: Unit,
        headers: dict[bytes, bytes],
        body: bytes,
        answered: Answered,
        start: float,
    ) -> str:
        """The answer counted and on record: the id of the record."""
        seconds, traceparent = perf_counter() - start, headers.get(b"traceparent")
        if self.tracer:
            trace: str | None = self.tracer.answered(unit, traceparent, answered, seconds)
        else:
            trace = trace_id(traceparent)
        identifier = self.recorder.record(unit, body, answered, seconds, trace)
        unit.done.append(
            (seconds, answered.validate_seconds, answered.infer_seconds, answered.rows)
        )
        if served.policy.shadow:
            self._shadow(served, body, identifier, trace)
        return identifier

    def served(self, name: str) -> Served:
        """Raises Problem: no such model."""
        served = self.fleet.served.get(name)
        if served is None:
            raise self.missing(name)
        return served

    def missing(self, name: str) -> Problem:
        if name in self.fleet.faults:
            return Problem(503, "Model not loaded", f"{name}: {self.fleet.faults[name]}")
        if not self.fleet.ready:
            return Problem(503, "Not ready", self.fleet.not_ready_reason)
        known = ", ".join(sorted(self.fleet.served)[:50]) or "none"
        return Problem(404, "No such model", f"no model is called {name!r}; served: {known}")

    async def answered(self, served: Served, unit: Unit, body: bytes) -> tuple[Answered, Unit]:
        """The answer, and who gave it: a challenger that fails is not the caller's trouble.

        Raises:
            Problem: refused, or the champion failed.
        """
        try:
            return await self._asked(unit, body), unit
        except Problem as problem:
            if unit.variant == CHAMPION or problem.status < 500:
                raise
            unit.failed(problem.status)
            champion = served.champion
            return await self._asked(champion, body), champion

    async def _asked(self, unit: Unit, body: bytes) -> Answered:
        if not unit.loaded:
            await self.fleet.load(unit)
        unit.used = perf_counter()
        engine = unit.engine
        if engine is None or len(body) > INLINE_BYTES or not unit.direct:
            return await unit.answer(body)
        try:
            return self._watched(unit, engine, body)
        except Overrun:
            return await unit.answer(body)

    def _watched(self, unit: Unit, engine: Engine, body: bytes) -> Answered:
        """Answer on the event loop itself.

        Raises:
            Problem: refused, or the model failed.
            Overrun: it took too long and was moved to a process of its own.
        """
        try:
            # What the signal interrupts lies between these two lines and nowhere else.
            self.watch.enter(unit.digest)
            try:
                return engine.answer(body)
            finally:
                self.watch.leave()
        except Overrun:
            unit.move_out(f"a call took over {self.settings.inline_seconds:g} s")
            raise
        except Problem:
            raise
        except MemoryError as error:
            unit.move_out("a call ran out of memory")
            raise unit.raised(error) from None
        except Exception as error:
            raise unit.raised(error) from None

    async def _body(self, scope: Scope, receive: Receive, headers: dict[bytes, bytes]) -> bytes:
        """The JSON body; of a form with files, the JSON that it stands for.

        Raises:
            Problem: another content type, too large or damaged.
        """
        limit = self.settings.body_bytes
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind == b"application/json":
            return await bodies.read(receive, headers, limit)
        if kind == b"multipart/form-data":
            return await as_json(scope, receive, headers, limit)
        shown = kind.decode("latin-1")
        told = f"Content-Type must be application/json or multipart/form-data, got {shown!r}"
        raise Problem(415, "Unsupported content type", told)

    def count(self, name: str, unit: Unit | None, problem: Problem) -> None:
        """A refusal among the requests of its project, or of none."""
        if unit is None and name in self.fleet.served:
            unit = self.fleet.served[name].champion
        if unit is not None:
            unit.failed(problem.status)
        else:
            project = name if name in self.fleet.faults else metrics.UNKNOWN
            metrics.REQUESTS.labels(project, "", "", problem.status).inc()

    def _shadow(self, served: Served, body: bytes, identifier: str, trace: str | None) -> None:
        """Ask the shadow too, after the caller has the answer, and never more than its queue."""
        unit = routing.shadowed(served)
        if unit is None:
            return
        if self._shadows.get(served.name, 0) >= served.policy.queue:
            metrics.SHADOW_DROPPED.labels(served.name).inc()
            return
        self._shadows[served.name] = self._shadows.get(served.name, 0) + 1
        task = asyncio.create_task(self._ask_shadow(unit, body, identifier, trace))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask_shadow(
        self, unit: Unit, body: bytes, identifier: str, trace: str | None
    ) -> None:
        start = perf_counter()
        try:
            if not unit.loaded:
                await self.fleet.load(unit)
            answered = await unit.answer(body)
        except Problem as problem:
            unit.failed(problem.status)
        else:
            seconds = perf_counter() - start
            unit.done.append(
                (seconds, answered.validate_seconds, answered.infer_seconds, answered.rows)
            )
            self.recorder.record(unit, body, answered, seconds, trace, of=identifier)
        finally:
            self._shadows[unit.name] -= 1

    async def finish(self, seconds: float) -> None:
        """Let shadows that were begun end, for at most so long."""
        if self._tasks:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait(set(self._tasks), timeout=seconds)

"""One version in one worker: loaded when first asked, and run in the way that suits it."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeVar

from services.predict import metrics
from services.predict.artifacts import verify
from services.predict.backend import Source
from services.predict.engine import Answered, Engine
from services.predict.explaining import explained
from services.predict.host import Host, HostFailed, ModelRaised
from services.predict.oip.bounds import Bounds
from services.predict.oip.columns import Column, columns_of
from services.predict.settings import Settings
from services.predict.snapshot import Profile, Version
from services.web.problem import Problem
from slipway.contract.model import forget
from slipway.policy import SHADOW, Policy

log = logging.getLogger("slipway.predict")
T = TypeVar("T")

# Dearer calls would hold up the others on the event loop; a hop to a thread costs 0.1 ms.
INLINE_SECONDS = 0.001
# Bodies up to it are answered on the event loop when the model is cheap.
INLINE_BYTES = 32 * 2**10
# A batch is worth a thread of its own when a record's share of it falls below this.
BATCH_GAIN = 0.6
BATCH_WORTH_SECONDS = 0.0002
BATCH_REQUESTS = 32
# After so many failures in a row the process is not started again for a while.
FAILURES, PAUSE_SECONDS = 3, 5.0


def cheap(profile: Profile) -> bool:
    """Whether a call costs less than the way to a thread, and gains little from a batch."""
    if profile.one_seconds + profile.validate_seconds > INLINE_SECONDS:
        return False
    gains = profile.batch_seconds < BATCH_GAIN * profile.one_seconds
    return not (gains and profile.one_seconds > BATCH_WORTH_SECONDS)


class Unit:
    """Made on the event loop and used there; only loading and the model run in threads."""

    def __init__(
        self, name: str, variant: str, version: Version, settings: Settings, *, isolated: bool
    ) -> None:
        self.name, self.variant, self.version, self.settings = name, variant, version, settings
        self.policy = Policy()
        self.digest = version.digest.encode("ascii").ljust(64)[:64]
        self.used = 0.0
        self.calls = 0
        """Requests that are being answered away from the event loop."""
        self.engine: Engine | None = None
        self.batcher: Batcher | None = None
        self.isolated: Isolated | None = None
        self.isolate = isolated or variant == SHADOW
        self.direct = cheap(version.profile) and not settings.triton
        """Whether small requests are answered on the event loop itself."""
        lookup = version.profile.looked_up
        self.entity = f'"{lookup.entity}"'.encode() if lookup else None
        """Stands in the body of a caller who leaves features to be looked up."""
        self.middle = (
            f'","model":"{name}","version":"{version.version}","variant":"{variant}","predictions":'
        ).encode()
        labels = (name, version.version, variant)
        self.done: list[tuple[float, float, float, int]] = []
        """Of each answer since the last count: seconds, those of them for validation and for the
        model, rows. Counted together: one by one they would cost a tenth of the request."""
        self._latency = metrics.LATENCY.labels(*labels)
        self._validating = metrics.VALIDATE.labels(*labels)
        self.queueing = metrics.QUEUE.labels(*labels).observe
        self._inferring = metrics.INFER.labels(*labels)
        self._rows = metrics.ROWS.labels(*labels)
        self._answered = metrics.REQUESTS.labels(*labels, "200")
        metrics.answers(*labels)

    def count(self) -> None:
        """Bring the metrics up to date."""
        done, self.done = self.done, []
        if done:
            totals, validating, inferring, rows = (list(each) for each in zip(*done, strict=True))
            metrics.observe_many(self._latency, totals)
            metrics.observe_many(self._validating, validating)
            metrics.observe_many(self._inferring, inferring)
            self._rows.inc(sum(rows))
            self._answered.inc(len(done))

    @cached_property
    def inputs(self) -> tuple[Column, ...]:
        """The record as tensors."""
        return columns_of(self.version.profile.input_schema)

    @cached_property
    def outputs(self) -> tuple[Column, ...]:
        return columns_of(self.version.profile.output_schema)

    @cached_property
    def bounds(self) -> Bounds:
        return Bounds(self.inputs)

    @property
    def busy_now(self) -> bool:
        return self.calls > 0

    def serving(self, flag: int) -> None:
        metrics.SERVING.labels(self.name, self.version.version, self.variant).set(flag)

    def failed(self, status: int) -> None:
        metrics.REQUESTS.labels(self.name, self.version.version, self.variant, status).inc()

    @property
    def source(self) -> Source:
        version = self.version
        return Source(self.name, version.version, version.folder, self.settings.triton)

    @property
    def loaded(self) -> bool:
        return self.engine is not None or self.isolated is not None

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return self.version.profile.bytes

    def load(self) -> None:
        """In a thread. Verifies the bytes first: they lay on a disk.

        Raises:
            DigestMismatch: they are not those that were registered.
            Exception: whatever the version's own code raises.
        """
        start = time.perf_counter()
        verify(self.version.folder, self.version.digest)
        if self.isolate:
            self.isolated = Isolated(self)
        else:
            engine = Engine(self.source.load(), batch_rows=self.settings.batch_rows)
            # The first call of a session allocates; the first caller should not wait for it.
            for example in self.source.shipped.examples[:1]:
                engine.model.predict([engine.form(example["input"])])
            self.batcher = Batcher(self, engine)
            self.engine = engine
        metrics.LOAD_SECONDS.observe(time.perf_counter() - start)
        metrics.LOADED.labels(self.name, self.version.version).set(1)
        metrics.ISOLATED.labels(self.name, self.version.version).set(int(self.isolate))

    def unload(self) -> None:
        """Calls that run now end as they would have."""
        self.count()
        engine, self.engine = self.engine, None
        if engine:
            forget(engine.model)
        if self.batcher:
            self.batcher.close()
        if self.isolated:
            self.isolated.close()
        self.batcher = self.isolated = None
        metrics.LOADED.labels(self.name, self.version.version).set(0)

    def move_out(self, reason: str) -> "Isolated":
        """From now on it runs in a process of its own: it misbehaved here."""
        self.isolate = True
        if self.isolated is None:
            log.error("%s v%s is isolated: %s", self.name, self.version.version, reason)
            self.isolated = Isolated(self)
            engine, self.engine = self.engine, None
            if engine:
                forget(engine.model)
            if self.batcher:
                self.batcher.hand_over(self.isolated)
            self.batcher = None
            metrics.ISOLATED.labels(self.name, self.version.version).set(1)
        return self.isolated

    async def answer(self, body: bytes) -> Answered:
        """Answer a JSON body away from the event loop.

        Raises:
            Problem: refused, failed, too many waiting, or too slow.
        """
        self.calls += 1
        try:
            if self.isolated:
                return await self.isolated.answer(body)
            assert self.batcher is not None
            return await self.batcher.answer(body)
        finally:
            self.calls -= 1

    async def beside(self, work: Callable[..., T], *arguments: Any) -> T:
        """Other work with the loaded model, in its threads.

        Raises:
            Problem: refused, failed or too slow.
        """
        assert self.batcher is not None
        self.calls += 1
        try:
            return await self.batcher.beside(work, *arguments)
        finally:
            self.calls -= 1

    async def explain(self, body: bytes) -> bytes:
        """Why the model answers a record as it does: JSON.

        Raises:
            Problem: refused, failed, too many waiting, or too slow.
        """
        self.calls += 1
        try:
            if self.isolated:
                told: bytes = await self.isolated.asked("explain", body)
                return told
            assert self.engine is not None
            assert self.batcher is not None
            return await self.batcher.beside(explained, self.engine, self.source, body)
        finally:
            self.calls -= 1

    def raised(self, error: BaseException) -> Problem:
        """What the caller is told when the model raised `error`: nothing of its insides."""
        self._erred(metrics.Failure.RAISED)
        log.error(
            "%s v%s raised %s",
            *(self.name, self.version.version, type(error).__name__),
            exc_info=error,
        )
        return Problem(500, "Model failed", f"{self.name} could not answer")

    def ended(self) -> Problem:
        """What the caller is told when the model's process ended during the call."""
        self._erred(metrics.Failure.ENDED)
        return Problem(500, "Model failed", f"{self.name} could not answer")

    def _erred(self, failure: metrics.Failure) -> None:
        metrics.MODEL_ERRORS.labels(self.name, self.version.version, failure).inc()

    def busy(self, waiting: int) -> Problem:
        profile = self.version.profile
        seconds = waiting * min(profile.one_seconds, profile.batch_seconds)
        told = f"{waiting} requests wait for {self.name}; come back later"
        return Problem(503, "Too busy", told, retry_seconds=seconds)

    def late(self) -> Problem:
        self._erred(metrics.Failure.TIMEOUT)
        seconds = self.policy.timeout_seconds
        return Problem(504, "Model too slow", f"{self.name} did not answer in {seconds:g} s")


class Batcher:
    """Threads for one model, each taking up at once whatever waits.

    No timer: while a call runs the next batch gathers, so the batch grows with the load and a
    lone request never waits for company.
    """

    def __init__(self, unit: Unit, engine: Engine) -> None:
        self.unit, self.engine = unit, engine
        self._waiting: deque[tuple[bytes, asyncio.Future[Answered], float]] = deque()
        self._running = 0
        threads = unit.policy.concurrency
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"model-{unit.name}")

    async def answer(self, body: bytes) -> Answered:
        """Raises Problem."""
        unit, waiting = self.unit, self._waiting
        if len(waiting) >= unit.policy.queue:
            raise unit.busy(len(waiting))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answered] = loop.create_future()
        waiting.append((body, future, time.perf_counter()))
        metrics.WAITING.labels(unit.name).inc()
        self._dispatch(loop)
        try:
            async with asyncio.timeout(unit.policy.timeout_seconds):
                return await future
        except TimeoutError:
            # The thread cannot be ended; whatever is asked from now on goes to a process.
            unit.move_out(f"a call took over {unit.policy.timeout_seconds:g} s")
            raise unit.late() from None

    async def beside(self, work: Callable[..., T], *arguments: Any) -> T:
        """Other work with the model, in its threads.

        Raises:
            Problem: refused, failed or too slow.
        """
        loop, unit = asyncio.get_running_loop(), self.unit
        try:
            async with asyncio.timeout(unit.policy.timeout_seconds):
                return await loop.run_in_executor(self._pool, work, *arguments)
        except TimeoutError:
            raise unit.late() from None
        except Problem:
            raise
        except Exception as error:
            raise unit.raised(error) from None

    def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting and self._running < self.unit.policy.concurrency:
            batch: list[tuple[bytes, asyncio.Future[Answered]]] = []
            while self._waiting and len(batch) < BATCH_REQUESTS:
                body, future, since = self._waiting.popleft()
                metrics.WAITING.labels(self.unit.name).dec()
                if not future.done():
                    self.unit.queueing(time.perf_counter() - since)
                    batch.append((body, future))
            if batch:
                self._running += 1
                _keep(loop.create_task(self._run(loop, batch)))

    async def _run(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[bytes, "asyncio.Future[Answered]"]],
    ) -> None:
        try:
            bodies = [body for body, _ in batch]
            found = await loop.run_in_executor(self._pool, self._answers, bodies)
        except Exception as error:  # the pool was closed while this waited
            found = [error] * len(batch)
        finally:
            self._running -= 1
            self._dispatch(loop)
        metrics.BATCH.labels(self.unit.name, self.unit.version.version).observe(len(batch))
        for (_, future), told in zip(batch, found, strict=True):
            if future.done():
                continue
            if isinstance(told, Answered):
                future.set_result(told)
            else:
                problem = told if isinstance(told, Problem) else self.unit.raised(told)
                future.set_exception(problem)

    def _answers(self, bodies: list[bytes]) -> list[Answered | Exception]:
        """In a thread. When the batch fails each is asked alone: one may be to blame."""
        try:
            return list(self.engine.together(bodies))
        except Exception as error:
            if len(bodies) == 1:
                return [error]
        found: list[Answered | Exception] = []
        for body in bodies:
            try:
                found.append(self.engine.answer(body))
            except Exception as error:
                found.append(error)
        return found

    def hand_over(self, successor: "Isolated") -> None:
        """What waits is answered by `successor`; what runs now ends or is late."""
        while self._waiting:
            body, future, _ = self._waiting.popleft()
            metrics.WAITING.labels(self.unit.name).dec()
            _keep(asyncio.ensure_future(_forward(successor, body, future)))
        self.close()

    def close(self) -> None:
        self._pool.shutdown(wait=False)


async def _forward(successor: "Isolated", body: bytes, future: "asyncio.Future[Answered]") -> None:
    try:
        told = await successor.answer(body)
    except Problem as problem:
        if not future.done():
            future.set_exception(problem)
    else:
        if not future.done():
            future.set_result(told)


# The event loop holds tasks weakly.
_tasks: set[asyncio.Future[Any]] = set()


def _keep(task: "asyncio.Future[Any]") -> None:
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


class Isolated:
    """Processes for one model. One that hangs is killed, and started anew with the next call."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self._free: list[Host] = []
        self._waiting = 0
        self._room = asyncio.Semaphore(unit.policy.concurrency)
        # Own threads: a model that hangs must not use up those of the others.
        self._pool = ThreadPoolExecutor(
            unit.policy.concurrency, thread_name_prefix=f"host-{unit.name}"
        )
        self._failures = 0
        self._paused = 0.0
        self._closed = False

    async def answer(self, body: bytes) -> Answered:
        """Raises Problem."""
        told: Answered = await self.asked("answer", body)
        return told

    async def asked(self, verb: str, argument: Any) -> Any:
        """Raises Problem."""
        unit, start = self.unit, time.perf_counter()
        if time.monotonic() < self._paused:
            left = self._paused - time.monotonic()
            told = f"{unit.name} failed {FAILURES} times in a row and is given a pause"
            raise Problem(503, "Model failed", told, retry_seconds=left)
        if self._waiting >= unit.policy.queue:
            raise unit.busy(self._waiting)
        self._waiting += 1
        try:
            async with asyncio.timeout(unit.policy.timeout_seconds):
                await self._room.acquire()
        except TimeoutError:
            raise unit.late() from None
        finally:
            self._waiting -= 1
        unit.queueing(time.perf_counter() - start)
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._call, verb, argument)
        except HostFailed as failure:
            raise self._failed(failure) from None
        except ModelRaised as error:
            raise unit.raised(error) from None
        finally:
            self._room.release()

    def _call(self, verb: str, argument: Any) -> Any:
        """In a thread."""
        settings, policy = self.unit.settings, self.unit.policy
        host = self._free.pop() if self._free else None
        if host is None or not host.alive():
            shadow = self.unit.variant == SHADOW
            host = Host(
                self.unit.source,
                memory=settings.model_bytes,
                batch_rows=settings.batch_rows,
                nice=10 if shadow else 0,
            )
            host.call("load", None, seconds=settings.load_seconds)
        try:
            told = host.call(verb, argument, seconds=policy.timeout_seconds)
        finally:
            if self._closed or not host.alive():
                host.kill()
            else:
                self._free.append(host)
                self._failures = 0
        return told

    def _failed(self, failure: HostFailed) -> Problem:
        unit = self.unit
        self._failures += 1
        if self._failures >= FAILURES:
            self._paused, self._failures = time.monotonic() + PAUSE_SECONDS, 0
        log.error("%s v%s: %s", unit.name, unit.version.version, failure)
        if "no answer" in str(failure):
            return unit.late()
        return unit.ended()

    def close(self) -> None:
        self._closed = True
        self._pool.shutdown(wait=False)
        while self._free:
            self._free.pop().kill()

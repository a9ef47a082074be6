"""One model version in one worker, loaded at its first request and run in the way that suits it."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from services.predict import metrics
from services.predict.artifacts import verify
from services.predict.backend import Source
from services.predict.engine import Engine, ModelResponse
from services.predict.explaining import explain_records
from services.predict.model_process import ModelProcess, ModelProcessFailed, ModelRaised
from services.predict.settings import Settings
from services.predict.snapshot import Profile, Version
from services.web.problem import Problem
from slipway.contract.model import forget
from slipway.policy import SHADOW, Policy

log = logging.getLogger("slipway.predict")
T = TypeVar("T")

# A longer call would hold up the other requests on the event loop; a hop to a thread costs 0.1 ms.
INLINE_SECONDS = 0.001
# Bodies up to this size run on the event loop when the model is cheap.
INLINE_BYTES = 32 * 2**10
# A batch is worth a thread when a record's share of its time is below this part of a single call.
BATCH_GAIN = 0.6
BATCH_WORTH_SECONDS = 0.0002
BATCH_REQUESTS = 32
# After this many failures in a row the process is not started again for `PAUSE_SECONDS`.
FAILURES, PAUSE_SECONDS = 3, 5.0


def cheap(profile: Profile) -> bool:
    """Return whether a call costs less than the hop to a thread and gains little from a batch."""
    if profile.one_seconds + profile.validate_seconds > INLINE_SECONDS:
        return False
    gains = profile.batch_seconds < BATCH_GAIN * profile.one_seconds
    return not (gains and profile.one_seconds > BATCH_WORTH_SECONDS)


class LoadedModel:
    """A model version, loaded or ready to be loaded.

    It is created and used on the event loop; only loading and the model itself run in threads.
    """

    def __init__(
        self, name: str, variant: str, version: Version, settings: Settings, *, isolated: bool
    ) -> None:
        self.name, self.variant, self.version, self.settings = name, variant, version, settings
        self.policy = Policy()
        self.digest = version.digest.encode("ascii").ljust(64)[:64]
        self.last_used = 0.0
        self.calls = 0
        """Requests that run away from the event loop now."""
        self.engine: Engine | None = None
        self.batcher: RequestBatcher | None = None
        self.isolated: IsolatedModel | None = None
        self.is_isolated = isolated or variant == SHADOW
        """True if it runs in a process of its own, once it is loaded."""
        self.inline = cheap(version.profile) and not settings.triton
        """True if small requests run on the event loop itself."""
        lookup = version.profile.looked_up
        self.entity_key = f'"{lookup.entity}"'.encode() if lookup else None
        """The JSON key that is in the body when features are to be looked up."""
        self.payload_middle = (
            f'","model":"{name}","version":"{version.version}","variant":"{variant}","predictions":'
        ).encode()
        labels = (name, version.version, variant)
        self.completed: list[tuple[float, float, float, int]] = []
        """One entry for each response since `update_metrics`: total, validation and inference
        seconds, and rows. Observed together: one by one would cost a tenth of the request."""
        self._latency = metrics.LATENCY.labels(*labels)
        self._validate = metrics.VALIDATE.labels(*labels)
        self.observe_queue = metrics.QUEUE.labels(*labels).observe
        self._infer = metrics.INFER.labels(*labels)
        self._rows = metrics.ROWS.labels(*labels)
        self._succeeded = metrics.REQUESTS.labels(*labels, "200")
        metrics.initialize_version(*labels)

    def update_metrics(self) -> None:
        """Observe the responses since the last update."""
        completed, self.completed = self.completed, []
        if completed:
            totals, validate, infer, rows = (list(each) for each in zip(*completed, strict=True))
            metrics.observe_many(self._latency, totals)
            metrics.observe_many(self._validate, validate)
            metrics.observe_many(self._infer, infer)
            self._rows.inc(sum(rows))
            self._succeeded.inc(len(completed))

    @property
    def busy(self) -> bool:
        return self.calls > 0

    def report_serving(self, flag: int) -> None:
        """Report to Prometheus whether this version serves its variant, 1 or 0."""
        metrics.SERVING.labels(self.name, self.version.version, self.variant).set(flag)

    def count_failure(self, status: int) -> None:
        """Count a request that ended with this HTTP status."""
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
        """The bytes of memory that it takes."""
        return self.version.profile.bytes

    def load(self) -> None:
        """Verify the files and load the model; called in a thread.

        Raises:
            DigestMismatch: the files are not those that were registered.
            Exception: whatever the version's own code raises.
        """
        start = time.perf_counter()
        verify(self.version.folder, self.version.digest)
        if self.is_isolated:
            self.isolated = IsolatedModel(self)
        else:
            engine = Engine(self.source.load(), batch_rows=self.settings.batch_rows)
            # The first call of a session allocates memory; the first caller should not wait for it.
            for example in self.source.shipped.examples[:1]:
                engine.model.predict([engine.parse_form(example["input"])])
            self.batcher = RequestBatcher(self, engine)
            self.engine = engine
        metrics.LOAD_SECONDS.observe(time.perf_counter() - start)
        metrics.LOADED.labels(self.name, self.version.version).set(1)
        metrics.ISOLATED.labels(self.name, self.version.version).set(int(self.is_isolated))

    def unload(self) -> None:
        """Free the memory; calls that run now end normally."""
        self.update_metrics()
        engine, self.engine = self.engine, None
        if engine:
            forget(engine.model)
        if self.batcher:
            self.batcher.close()
        if self.isolated:
            self.isolated.close()
        self.batcher = self.isolated = None
        metrics.LOADED.labels(self.name, self.version.version).set(0)

    def isolate(self, reason: str) -> "IsolatedModel":
        """Move the model to a process of its own, because it misbehaved in this one."""
        self.is_isolated = True
        if self.isolated is None:
            log.error("%s v%s is isolated: %s", self.name, self.version.version, reason)
            self.isolated = IsolatedModel(self)
            engine, self.engine = self.engine, None
            if engine:
                forget(engine.model)
            if self.batcher:
                self.batcher.hand_over(self.isolated)
            self.batcher = None
            metrics.ISOLATED.labels(self.name, self.version.version).set(1)
        return self.isolated

    async def predict(self, body: bytes) -> ModelResponse:
        """Return the predictions for a JSON body, made away from the event loop.

        Raises:
            Problem: refused, failed, too many waiting, or too slow.
        """
        self.calls += 1
        try:
            if self.isolated:
                return await self.isolated.predict(body)
            assert self.batcher is not None
            return await self.batcher.predict(body)
        finally:
            self.calls -= 1

    async def run_in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Return the result of other work with the loaded model, done in its threads.

        Raises:
            Problem: refused, failed or too slow.
        """
        assert self.batcher is not None
        self.calls += 1
        try:
            return await self.batcher.run_in_thread(work, *arguments)
        finally:
            self.calls -= 1

    async def explain(self, body: bytes) -> bytes:
        """Return the explanations of the predictions for a JSON body, as JSON.

        Raises:
            Problem: refused, failed, too many waiting, or too slow.
        """
        self.calls += 1
        try:
            if self.isolated:
                explanations: bytes = await self.isolated.call("explain", body)
                return explanations
            assert self.engine is not None
            assert self.batcher is not None
            return await self.batcher.run_in_thread(explain_records, self.engine, self.source, body)
        finally:
            self.calls -= 1

    def error_problem(self, error: BaseException) -> Problem:
        """Count and log an error of the model; return the problem for the caller.

        The problem says nothing about the model's code.
        """
        self._count_error(metrics.Failure.RAISED)
        log.error(
            "%s v%s raised %s",
            *(self.name, self.version.version, type(error).__name__),
            exc_info=error,
        )
        return Problem(500, "Model failed", f"{self.name} could not make a prediction")

    def process_ended_problem(self) -> Problem:
        """Count that the model's process ended during a call; return the problem for the caller."""
        self._count_error(metrics.Failure.ENDED)
        return Problem(500, "Model failed", f"{self.name} could not make a prediction")

    def _count_error(self, failure: metrics.Failure) -> None:
        metrics.MODEL_ERRORS.labels(self.name, self.version.version, failure).inc()

    def queue_problem(self, waiting: int) -> Problem:
        """Return the problem for a caller whose request finds the queue full."""
        profile = self.version.profile
        seconds = waiting * min(profile.one_seconds, profile.batch_seconds)
        message = f"{waiting} requests wait for {self.name}; come back later"
        return Problem(503, "Too busy", message, retry_seconds=seconds)

    def timeout_problem(self) -> Problem:
        """Count a call that took too long; return the problem for the caller."""
        self._count_error(metrics.Failure.TIMEOUT)
        seconds = self.policy.timeout_seconds
        return Problem(504, "Model too slow", f"{self.name} did not respond in {seconds:g} s")


class RequestBatcher:
    """Threads for one model; each call takes all requests that wait by then.

    There is no timer: the next batch gathers while a call runs, so batches grow with the load and
    a single request never waits for others.
    """

    def __init__(self, model: LoadedModel, engine: Engine) -> None:
        self.model, self.engine = model, engine
        self._waiting: deque[tuple[bytes, asyncio.Future[ModelResponse], float]] = deque()
        self._running = 0
        threads = model.policy.concurrency
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"model-{model.name}")

    async def predict(self, body: bytes) -> ModelResponse:
        """Return the predictions for a JSON body.

        Raises:
            Problem: refused, failed, too many waiting, or too slow.
        """
        model, waiting = self.model, self._waiting
        if len(waiting) >= model.policy.queue:
            raise model.queue_problem(len(waiting))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ModelResponse] = loop.create_future()
        waiting.append((body, future, time.perf_counter()))
        metrics.WAITING.labels(model.name).inc()
        self._dispatch(loop)
        try:
            async with asyncio.timeout(model.policy.timeout_seconds):
                return await future
        except TimeoutError:
            # The thread cannot be ended; requests from now on go to a process.
            model.isolate(f"a call took over {model.policy.timeout_seconds:g} s")
            raise model.timeout_problem() from None

    async def run_in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Return the result of other work with the model, done in its threads.

        Raises:
            Problem: refused, failed or too slow.
        """
        loop, model = asyncio.get_running_loop(), self.model
        try:
            async with asyncio.timeout(model.policy.timeout_seconds):
                return await loop.run_in_executor(self._pool, work, *arguments)
        except TimeoutError:
            raise model.timeout_problem() from None
        except Problem:
            raise
        except Exception as error:
            raise model.error_problem(error) from None

    def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting and self._running < self.model.policy.concurrency:
            batch: list[tuple[bytes, asyncio.Future[ModelResponse]]] = []
            while self._waiting and len(batch) < BATCH_REQUESTS:
                body, future, since = self._waiting.popleft()
                metrics.WAITING.labels(self.model.name).dec()
                if not future.done():
                    self.model.observe_queue(time.perf_counter() - since)
                    batch.append((body, future))
            if batch:
                self._running += 1
                _keep(loop.create_task(self._run(loop, batch)))

    async def _run(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[bytes, "asyncio.Future[ModelResponse]"]],
    ) -> None:
        try:
            bodies = [body for body, _ in batch]
            outcomes = await loop.run_in_executor(self._pool, self._predict_all, bodies)
        except Exception as error:  # the pool was closed while this waited
            outcomes = [error] * len(batch)
        finally:
            self._running -= 1
            self._dispatch(loop)
        metrics.BATCH.labels(self.model.name, self.model.version.version).observe(len(batch))
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue
            if isinstance(outcome, ModelResponse):
                future.set_result(outcome)
            elif isinstance(outcome, Problem):
                future.set_exception(outcome)
            else:
                future.set_exception(self.model.error_problem(outcome))

    def _predict_all(self, bodies: list[bytes]) -> list[ModelResponse | Exception]:
        """Return a response or an error for each body; called in a thread.

        When the batch fails each request runs alone: one of them may be the cause.
        """
        try:
            return list(self.engine.predict_together(bodies))
        except Exception as error:
            if len(bodies) == 1:
                return [error]
        outcomes: list[ModelResponse | Exception] = []
        for body in bodies:
            try:
                outcomes.append(self.engine.predict(body))
            except Exception as error:
                outcomes.append(error)
        return outcomes

    def hand_over(self, successor: "IsolatedModel") -> None:
        """Pass the requests that wait to `successor`; calls that run now end or time out."""
        while self._waiting:
            body, future, _ = self._waiting.popleft()
            metrics.WAITING.labels(self.model.name).dec()
            _keep(asyncio.ensure_future(_forward(successor, body, future)))
        self.close()

    def close(self) -> None:
        self._pool.shutdown(wait=False)


async def _forward(
    successor: "IsolatedModel", body: bytes, future: "asyncio.Future[ModelResponse]"
) -> None:
    try:
        response = await successor.predict(body)
    except Problem as problem:
        if not future.done():
            future.set_exception(problem)
    else:
        if not future.done():
            future.set_result(response)


# The event loop holds only weak references to tasks.
_tasks: set[asyncio.Future[Any]] = set()


def _keep(task: "asyncio.Future[Any]") -> None:
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


class IsolatedModel:
    """Processes for one model. A process that hangs is killed; the next call starts a new one."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self._free: list[ModelProcess] = []
        self._waiting = 0
        self._slots = asyncio.Semaphore(model.policy.concurrency)
        # Threads of its own: a model that hangs must not use up those of the others.
        self._pool = ThreadPoolExecutor(
            model.policy.concurrency, thread_name_prefix=f"host-{model.name}"
        )
        self._failures = 0
        self._paused = 0.0
        self._closed = False

    async def predict(self, body: bytes) -> ModelResponse:
        """Return the predictions for a JSON body.

        Raises:
            Problem: refused, failed, too many waiting, or too slow.
        """
        response: ModelResponse = await self.call("answer", body)
        return response

    async def call(self, verb: str, argument: Any) -> Any:
        """Return the result of a verb of `model_process`.

        Raises:
            Problem: refused, failed, too many waiting, or too slow.
        """
        model, start = self.model, time.perf_counter()
        if time.monotonic() < self._paused:
            left = self._paused - time.monotonic()
            message = f"{model.name} failed {FAILURES} times in a row and is given a pause"
            raise Problem(503, "Model failed", message, retry_seconds=left)
        if self._waiting >= model.policy.queue:
            raise model.queue_problem(self._waiting)
        self._waiting += 1
        try:
            async with asyncio.timeout(model.policy.timeout_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise model.timeout_problem() from None
        finally:
            self._waiting -= 1
        model.observe_queue(time.perf_counter() - start)
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._call, verb, argument)
        except ModelProcessFailed as failure:
            raise self._failure_problem(failure) from None
        except ModelRaised as error:
            raise model.error_problem(error) from None
        finally:
            self._slots.release()

    def _call(self, verb: str, argument: Any) -> Any:
        """Call a free process, or a new one; called in a thread."""
        settings, policy = self.model.settings, self.model.policy
        process = self._free.pop() if self._free else None
        if process is None or not process.alive():
            shadow = self.model.variant == SHADOW
            process = ModelProcess(
                self.model.source,
                memory=settings.model_bytes,
                batch_rows=settings.batch_rows,
                nice=10 if shadow else 0,
            )
            process.call("load", None, seconds=settings.load_seconds)
        try:
            result = process.call(verb, argument, seconds=policy.timeout_seconds)
        finally:
            if self._closed or not process.alive():
                process.kill()
            else:
                self._free.append(process)
                self._failures = 0
        return result

    def _failure_problem(self, failure: ModelProcessFailed) -> Problem:
        model = self.model
        self._failures += 1
        if self._failures >= FAILURES:
            self._paused, self._failures = time.monotonic() + PAUSE_SECONDS, 0
        log.error("%s v%s: %s", model.name, model.version.version, failure)
        if "no response" in str(failure):
            return model.timeout_problem()
        return model.process_ended_problem()

    def close(self) -> None:
        self._closed = True
        self._pool.shutdown(wait=False)
        while self._free:
            self._free.pop().kill()

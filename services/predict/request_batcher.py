"""Threads for one model; each call takes all requests that wait by then."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from services.predict import metrics
from services.predict.engine import Engine, ModelResponse
from services.predict.isolated_model import IsolatedModel
from services.predict.kept_tasks import keep
from services.predict.served_version import ServedVersion
from services.web.problem import Problem

T = TypeVar("T")

BATCH_REQUESTS = 32


class Call:
    """A call of the model in a thread; its time starts when a thread is free for it."""

    def __init__(self) -> None:
        self.started: float | None = None

    def start(self) -> None:
        self.started = time.perf_counter()

    def run(self, work: Callable[..., T], *arguments: Any) -> T:
        self.start()
        return work(*arguments)


@dataclass(slots=True)
class WaitingRequest:
    """A request that waits for a call of the model, which it may share with others."""

    body: bytes
    future: "asyncio.Future[ModelResponse]"
    since: float = field(default_factory=time.perf_counter)
    call: Call = field(default_factory=Call)

    def started(self) -> float | None:
        return self.call.started


class RequestBatcher:
    """Threads for one model; each call takes all requests that wait by then.

    There is no timer: the next batch gathers while a call runs, so batches grow with the load and
    a single request never waits for others.
    """

    def __init__(
        self, model: ServedVersion, engine: Engine, on_overrun: Callable[[str], object]
    ) -> None:
        """`on_overrun` is called with the reason when a call took too long."""
        self.model, self.engine, self._on_overrun = model, engine, on_overrun
        self._waiting: deque[WaitingRequest] = deque()
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
        request = WaitingRequest(body, loop.create_future())
        waiting.append(request)
        metrics.WAITING.labels(model.name).inc()
        self._dispatch(loop)
        try:
            await self._wait(request.future, request.started)
            return request.future.result()
        except TimeoutError:
            # The thread cannot be ended; requests from now on go to a process.
            self._on_overrun(f"a call took over {model.timeout_seconds:g} s")
            raise model.timeout_problem() from None
        finally:
            # Its exception holds this frame, which must not hold the request's body for it.
            del request

    async def run_in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Return the result of other work with the model, done in its threads.

        Raises:
            Problem: refused, failed, too many waiting, or too slow.
        """
        loop, model = asyncio.get_running_loop(), self.model
        call = Call()
        future = loop.run_in_executor(self._pool, call.run, work, *arguments)
        try:
            await self._wait(future, lambda: call.started)
            result: T = future.result()
            return result
        except TimeoutError:
            raise model.timeout_problem() from None
        except Problem:
            raise
        except Exception as error:
            raise model.error_problem(error) from None
        finally:
            del future

    async def _wait(
        self, future: "asyncio.Future[Any]", started: Callable[[], float | None]
    ) -> None:
        """Wait until the future is done. The time in the queue is not the model's own time.

        Raises:
            Problem: no thread was free for as long as a call may take.
            TimeoutError: the call took too long.
        """
        limit = self.model.timeout_seconds
        began = time.perf_counter()
        try:
            while not future.done():
                left = (started() or began) + limit - time.perf_counter()
                if left > 0:
                    await asyncio.wait((future,), timeout=left)
                elif started() is None:
                    raise self.model.queue_problem(len(self._waiting))
                else:
                    raise TimeoutError
        finally:
            if not future.done():
                future.cancel()

    def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting and self._running < self.model.policy.concurrency:
            batch: list[WaitingRequest] = []
            while self._waiting and len(batch) < BATCH_REQUESTS:
                request = self._waiting.popleft()
                metrics.WAITING.labels(self.model.name).dec()
                if not request.future.done():
                    self.model.observe_queue(time.perf_counter() - request.since)
                    batch.append(request)
            if batch:
                self._running += 1
                keep(loop.create_task(self._run(loop, batch)))

    async def _run(self, loop: asyncio.AbstractEventLoop, batch: list["WaitingRequest"]) -> None:
        try:
            bodies, call = [request.body for request in batch], Call()
            for request in batch:
                request.call = call
            outcomes = await loop.run_in_executor(self._pool, call.run, self._predict_all, bodies)
        except Exception as error:  # the pool was closed while this waited
            outcomes = [error] * len(batch)
        finally:
            self._running -= 1
            self._dispatch(loop)
        metrics.BATCH.labels(self.model.name, self.model.version.version).observe(len(batch))
        for request, outcome in zip(batch, outcomes, strict=True):
            future = request.future
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
            except Problem as problem:
                outcomes.append(problem.with_traceback(None))
            except Exception as error:
                outcomes.append(error)
        return outcomes

    def hand_over(self, successor: IsolatedModel) -> None:
        """Pass the requests that wait to `successor`; calls that run now end or time out."""
        while self._waiting:
            request = self._waiting.popleft()
            metrics.WAITING.labels(self.model.name).dec()
            request.call.start()
            keep(asyncio.ensure_future(_forward(successor, request.body, request.future)))
        self.close()

    def close(self) -> None:
        self._pool.shutdown(wait=False)


async def _forward(
    successor: IsolatedModel, body: bytes, future: "asyncio.Future[ModelResponse]"
) -> None:
    try:
        response = await successor.predict(body)
    except Problem as problem:
        if not future.done():
            future.set_exception(problem)
    else:
        if not future.done():
            future.set_result(response)

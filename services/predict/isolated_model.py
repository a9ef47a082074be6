"""Processes for one model. A process that hangs is killed; the next call starts a new one."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from services.predict.engine import ModelResponse
from services.predict.kept_tasks import keep
from services.predict.model_process import STREAM, ModelProcess, ModelProcessFailed, ModelRaised
from services.predict.served_version import ServedVersion
from services.web.problem import Problem
from slipway.policy import SHADOW

log = logging.getLogger("slipway.predict")
T = TypeVar("T")

# After this many failures in a row the process is not started again for `PAUSE_SECONDS`.
FAILURES, PAUSE_SECONDS = 3, 5.0

Items = list[bytes | ModelResponse]
"""Chunks of a stream as JSON, in order; the response ends the stream."""


class IsolatedModel:
    """The processes of one version, as many as its policy's concurrency."""

    def __init__(self, model: ServedVersion) -> None:
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

    async def call(self, verb: str, argument: Any, *, seconds: float | None = None) -> Any:
        """Return the result of a verb of `model_process`. Cancelling the call ends its process.

        It may take `seconds`, without them the time limit of a prediction.

        Raises:
            Problem: refused, failed, too many waiting, or too slow.
        """
        async with self._process() as process:
            limit = seconds or self.model.timeout_seconds
            return await self._in_thread(lambda: process.call(verb, argument, seconds=limit))

    async def stream(self, body: bytes) -> AsyncGenerator[Items, None]:
        """Yield the chunks of the prediction for one JSON record, and last its response.

        The model runs ahead of the caller until the pipe is full. Closing the generator stops it.

        Raises:
            Problem: refused, failed, too many waiting, or too slow for the next chunk.
        """
        async with self._process() as process:
            await self._in_thread(process.begin, STREAM, body)
            while True:
                items = await self._in_thread(self._receive, process)
                last = items[-1]
                if isinstance(last, Exception):
                    if items[:-1]:
                        yield items[:-1]
                    raise last
                yield items
                if isinstance(last, ModelResponse):
                    return

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[ModelProcess]:
        """Wait for a slot and yield a loaded process; take it back if its call has ended.

        Raises:
            Problem: paused, too many waiting, or whatever the model's failure means to the caller.
        """
        await self._take_slot()
        try:
            while not (self._free and self._free[-1].alive()):
                self._discard_dead()
                await self._in_thread(self.start_process)
            process = self._free.pop()
        except ModelProcessFailed as failure:
            self._slots.release()
            raise self._failure_problem(failure) from None
        except ModelRaised as error:
            self._slots.release()
            raise self.model.error_problem(error) from None
        except BaseException:
            self._slots.release()
            raise
        try:
            yield process
            self._failures = 0
        except ModelProcessFailed as failure:
            raise self._failure_problem(failure) from None
        except ModelRaised as error:
            self._failures = 0
            raise self.model.error_problem(error) from None
        finally:
            self._take_back(process)

    async def _take_slot(self) -> None:
        model, start = self.model, time.perf_counter()
        if time.monotonic() < self._paused:
            left = self._paused - time.monotonic()
            message = f"{model.name} failed {FAILURES} times in a row and is given a pause"
            raise Problem(503, "Model failed", message, retry_seconds=left)
        if self._waiting >= model.policy.queue:
            raise model.queue_problem(self._waiting)
        self._waiting += 1
        try:
            async with asyncio.timeout(model.timeout_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise model.timeout_problem() from None
        finally:
            self._waiting -= 1
        model.observe_queue(time.perf_counter() - start)

    def start_process(self) -> None:
        """Add a process that has loaded the model to the free ones; called in a thread.

        Raises:
            ModelProcessFailed: it ended, or the load took too long.
            ModelRaised: the version's own code failed.
        """
        settings, shadow = self.model.settings, self.model.variant == SHADOW
        process = ModelProcess(
            self.model.source,
            memory=settings.model_bytes,
            batch_rows=settings.batch_rows,
            nice=10 if shadow else 0,
        )
        try:
            process.call("load", None, seconds=settings.load_seconds)
        except BaseException:
            process.kill()
            raise
        if self._closed:
            process.kill()
            raise ModelProcessFailed("the model was unloaded while its process started")
        self._free.append(process)

    def _discard_dead(self) -> None:
        dead = [each for each in self._free if not each.alive()]
        self._free = [each for each in self._free if each not in dead]
        for each in dead:
            each.kill()

    def _take_back(self, process: ModelProcess) -> None:
        """Free the slot once the process has ended its call, or was stopped."""
        if process.streaming:
            # The caller has gone: the model may finish its chunk, and stays loaded.
            process.request_stop()
            keep(asyncio.ensure_future(self._settle(process)))
            return
        if process.calling:
            # Only ending the process ends such a call. The thread that waits for it sees that.
            process.terminate()
        if process.calling or self._closed or not process.alive():
            self._reap(process)
        else:
            self._free.append(process)
        self._slots.release()

    async def _settle(self, process: ModelProcess) -> None:
        try:
            await self._in_thread(process.settle)
            if self._closed or not process.alive():
                self._reap(process)
            else:
                self._free.append(process)
        except RuntimeError:  # the pool was closed
            process.kill()
        finally:
            self._slots.release()

    def _reap(self, process: ModelProcess) -> None:
        """Wait for the end of the process in a thread: freeing its memory takes time."""
        keep(asyncio.ensure_future(asyncio.to_thread(process.kill)))

    def _receive(self, process: ModelProcess) -> list[Any]:
        return process.receive_chunks(seconds=self.model.timeout_seconds)

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

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

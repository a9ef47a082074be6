"""Runs every prediction request, from admission to record, whatever its protocol.

The caller is admitted, a version is chosen, it runs under watch, and the response is counted and
recorded. A protocol brings a `PredictionRequest` and encodes the `Prediction` that comes back.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic_core import to_json

from services.predict import metrics, routing
from services.predict.engine import ColumnBatch, ModelResponse
from services.predict.isolated_model import Items
from services.predict.loaded_model import INLINE_BYTES, LoadedModel
from services.predict.mirroring import Mirroring
from services.predict.model_store import ModelStore, ServedProject
from services.predict.recording import Recorder, purpose_of, trace_id
from services.predict.settings import Settings
from services.predict.watch import Overrun, Watch
from services.web import logs
from services.web.guard import Guard
from services.web.problem import Problem
from slipway.access.scopes import Scope
from slipway.policy import CHAMPION

if TYPE_CHECKING:
    from services.predict.tracing import Tracer

SCOPE = Scope.PREDICT
# A batch of columns that takes longer runs in a thread: a thousand rows of a small model take a
# millisecond.
INLINE_BATCH_SECONDS = 0.005
Headers = dict[bytes, bytes]
# A status of nginx: the caller disconnected before its response was ready.
GONE = 499
Argument = TypeVar("Argument")
Result = TypeVar("Result")


class PredictionRequest(Protocol):
    """A request in the form of its own protocol; the methods are called in this order."""

    headers: Headers

    async def read(self, served: ServedProject) -> None:
        """Read and decode the request, now that its caller is admitted.

        Raises:
            Problem: it is refused.
        """

    def choose(self, served: ServedProject) -> LoadedModel:
        """Return the version that should respond."""

    def columns(self, model: LoadedModel) -> ColumnBatch | None:
        """Return the request as whole columns, if `model` can run it so."""

    def records(self, model: LoadedModel) -> Awaitable[bytes]:
        """Return the request as a JSON record or list of records, with looked-up features.

        Raises:
            Problem: the features of a record cannot be looked up.
        """

    def recorded(self) -> bytes:
        """Return what the prediction log keeps of a request that ran as whole columns."""

    def disconnected(self) -> Awaitable[object]:
        """Return when the caller has gone; a protocol that cancels the request never returns."""


# A response on record: the version that gave it, the response, and the id of its record. A plain
# tuple: one is made for each request.
Prediction = tuple[LoadedModel, ModelResponse, str]


class Predictor:
    """Runs requests on the models of one worker; it knows no protocol."""

    def __init__(
        self,
        models: ModelStore,
        guard: Guard,
        recorder: Recorder,
        watch: Watch,
        settings: Settings,
    ) -> None:
        self.models, self.guard, self.recorder = models, guard, recorder
        self.watch, self.settings = watch, settings
        self.lookups = models.lookups
        self.tracer: Tracer | None = None
        self.mirroring = Mirroring(models, recorder)

    async def predict(self, name: str, request: PredictionRequest) -> Prediction:
        """Respond to a request for the project `name`.

        Raises:
            Problem: the request is refused, or the model failed; it is counted.
        """
        start = perf_counter()
        model: LoadedModel | None = None
        try:
            headers = request.headers
            self.guard.admit(headers, SCOPE)
            served = self.project(name)
            await request.read(served)
            model = request.choose(served)
            batch = request.columns(model)
            if batch is None:
                body = await request.records(model)
                response, model = await self._run_or_fall_back(served, model, body, request)
            else:
                response = await self._run_columns(model, batch)
                body = request.recorded()
            return self._finish(served, model, headers, body, response, start)
        except Problem as problem:
            self._count_failure(name, model, problem.status)
            raise
        except asyncio.CancelledError:
            self._count_failure(name, model, GONE)
            raise

    async def stream(
        self, name: str, request: PredictionRequest
    ) -> AsyncGenerator[list[bytes] | Prediction, None]:
        """Yield the chunks of the prediction for a request, and last the prediction on record.

        The version is chosen before the first chunk. Closing the generator stops the model; the
        request then counts as one whose caller has gone, and is not recorded.

        Raises:
            Problem: the request is refused, or the model failed; it is counted.
        """
        start = perf_counter()
        model: LoadedModel | None = None
        prediction: Prediction | None = None
        try:
            headers = request.headers
            self.guard.admit(headers, SCOPE)
            served = self.project(name)
            await request.read(served)
            model = request.choose(served)
            body = await request.records(model)
            first = True
            async with aclosing(self._stream_or_fall_back(served, model, body)) as stream:
                async for model, items in stream:
                    if first:
                        model.first_chunk.observe(perf_counter() - start)
                        first = False
                    response = items[-1]
                    chunks = [each for each in items if isinstance(each, bytes)]
                    model.chunks.inc(len(chunks))
                    if chunks:
                        yield chunks
                    if isinstance(response, ModelResponse):
                        prediction = self._finish(served, model, headers, body, response, start)
                        yield prediction
        except Problem as problem:
            self._count_failure(name, model, problem.status)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            if prediction is None:
                self._count_failure(name, model, GONE)
            raise

    def predict_inline(self, name: str, headers: Headers, body: bytes) -> Prediction | None:
        """Respond to JSON records without waiting for anything.

        Returns None, before anything is counted, when `predict` has to do it.

        Raises:
            Problem: the request is refused, or the model failed; it is counted.
        """
        start = perf_counter()
        served = self.models.served.get(name)
        if served is None or len(body) > INLINE_BYTES:
            return None
        chosen, champion = routing.choose(served, headers, body), served.champion
        # The champion responds in the place of a challenger that fails.
        for model in (chosen,) if chosen is champion else (chosen, champion):
            engine = model.engine
            if engine is None or not model.inline or self.lookups.needed(model, body):
                return None
            model.last_used = start
            traceparent = headers.get(b"traceparent")
            logs.trace.set(trace_id(traceparent) or "" if traceparent else "")
            try:
                self.guard.admit(headers, SCOPE)
                response = self._run_watched(model, engine.predict, body)
            except Overrun:
                return None
            except Problem as problem:
                model.count_failure(problem.status)
                if problem.status < 500 or model is champion:
                    raise
                continue
            return self._finish(served, model, headers, body, response, start)
        return None

    def project(self, name: str) -> ServedProject:
        """Return the project called `name`.

        Raises:
            Problem: 404 or 503, it is not served.
        """
        served = self.models.served.get(name)
        if served is None:
            raise self._missing(name)
        return served

    def _missing(self, name: str) -> Problem:
        models = self.models
        if name in models.faults:
            return Problem(503, "Model not loaded", f"{name}: {models.faults[name]}")
        if not models.ready:
            return Problem(503, "Not ready", models.not_ready_reason)
        known = ", ".join(sorted(models.served)[:50]) or "none"
        return Problem(404, "No such model", f"no model is called {name!r}; served: {known}")

    async def _stream_or_fall_back(
        self, served: ServedProject, model: LoadedModel, body: bytes
    ) -> AsyncGenerator[tuple[LoadedModel, Items], None]:
        """Yield what `model` streams, or the champion in place of a challenger that cannot start.

        A challenger that fails after its first chunk is not replaced: the caller has that chunk.

        Raises:
            Problem: the request is refused, or the version failed.
        """
        started = False
        try:
            if model.streams or model.variant == CHAMPION:
                async with aclosing(self._stream(model, body)) as stream:
                    async for items in stream:
                        started = True
                        yield model, items
                return
        except Problem as problem:
            if started or model.variant == CHAMPION or problem.status < 500:
                raise
            model.count_failure(problem.status)
        champion = served.champion
        async with aclosing(self._stream(champion, body)) as stream:
            async for items in stream:
                yield champion, items

    async def _stream(self, model: LoadedModel, body: bytes) -> AsyncGenerator[Items, None]:
        if not model.loaded:
            await self.models.load(model)
        model.last_used = perf_counter()
        async with aclosing(model.stream(body)) as stream:
            async for items in stream:
                yield items

    async def _run_or_fall_back(
        self,
        served: ServedProject,
        model: LoadedModel,
        body: bytes,
        request: PredictionRequest,
    ) -> tuple[ModelResponse, LoadedModel]:
        """Run `model`, or the champion in place of a challenger that fails.

        Returns the response and the version that gave it.

        Raises:
            Problem: the request is refused, or the champion failed.
        """
        try:
            return await self._run(model, body, request), model
        except Problem as problem:
            if model.variant == CHAMPION or problem.status < 500:
                raise
            model.count_failure(problem.status)
            champion = served.champion
            return await self._run(champion, body, request), champion

    async def _run(
        self, model: LoadedModel, body: bytes, request: PredictionRequest
    ) -> ModelResponse:
        if not model.loaded:
            await self.models.load(model)
        model.last_used = perf_counter()
        if model.is_isolated:
            return await stop_with_caller(request, model.predict(body))
        engine = model.engine
        if engine is None or len(body) > INLINE_BYTES or not model.inline:
            return await model.predict(body)
        try:
            return self._run_watched(model, engine.predict, body)
        except Overrun:
            return await model.predict(body)

    async def _run_columns(self, model: LoadedModel, batch: ColumnBatch) -> ModelResponse:
        engine = model.engine
        assert engine is not None
        model.last_used = perf_counter()
        if model.inline and batch.rows * model.version.profile.batch_seconds < INLINE_BATCH_SECONDS:
            try:
                result = self._run_watched(model, engine.predict_columns, batch)
            except Overrun:
                raise model.timeout_problem() from None
        else:
            result = await model.run_in_thread(engine.predict_columns, batch)
        outputs, validate_seconds, infer_seconds = result
        predictions = to_json(
            {name: values.tolist() for name, values in outputs.items()}, inf_nan_mode="null"
        )
        return ModelResponse(predictions, batch.rows, validate_seconds, infer_seconds, outputs)

    def _run_watched(
        self, model: LoadedModel, call: Callable[[Argument], Result], argument: Argument
    ) -> Result:
        """Call the model on the event loop itself.

        Raises:
            Problem: the request is refused, or the model failed.
            Overrun: the call took too long; the model was moved to a process of its own.
        """
        try:
            # The signal of the watch interrupts what lies between these two lines, nothing else.
            self.watch.enter(model.digest)
            try:
                return call(argument)
            finally:
                self.watch.leave()
        except Overrun:
            model.isolate(f"a call took over {self.settings.inline_seconds:g} s")
            raise
        except Problem:
            raise
        except MemoryError as error:
            model.isolate("a call ran out of memory")
            raise model.error_problem(error) from None
        except Exception as error:
            raise model.error_problem(error) from None

    def _finish(
        self,
        served: ServedProject,
        model: LoadedModel,
        headers: Headers,
        body: bytes,
        response: ModelResponse,
        start: float,
    ) -> Prediction:
        """Record and count the response, and mirror the request to the shadow."""
        seconds, traceparent = perf_counter() - start, headers.get(b"traceparent")
        if self.tracer:
            trace: str | None = self.tracer.record(model, traceparent, response, seconds)
        else:
            trace = trace_id(traceparent) if traceparent else None
        purpose = purpose_of(headers)
        identifier = self.recorder.record(model, body, response, seconds, trace, purpose=purpose)
        model.completed.append(
            (seconds, response.validate_seconds, response.infer_seconds, response.rows)
        )
        if served.policy.shadow:
            self.mirroring.mirror(served, body, identifier, trace)
        return model, response, identifier

    def _count_failure(self, name: str, model: LoadedModel | None, status: int) -> None:
        """Count the failure for the version; if none was chosen, for the project's champion."""
        if model is None and name in self.models.served:
            model = self.models.served[name].champion
        if model is not None:
            model.count_failure(status)
        else:
            project = name if name in self.models.faults else metrics.UNKNOWN
            metrics.REQUESTS.labels(project, "", "", status).inc()


async def stop_with_caller(request: PredictionRequest, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of the model, unless the caller disconnects before: that stops the model.

    Raises:
        Problem: the caller has gone, or whatever `work` raises.
    """
    running = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.disconnected())
    try:
        await asyncio.wait((running, gone), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        raise Problem(GONE, "Caller gone", "the caller disconnected, so the model was stopped")
    finally:
        running.cancel()
        gone.cancel()
        # The task holds its exception, whose traceback holds this frame: without this, the cycle
        # would keep the bodies of refused requests until the next garbage collection.
        del running, gone, work

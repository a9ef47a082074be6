"""Mirrors requests to the shadow of a project; no caller waits for it."""

import asyncio
from time import perf_counter

from services.predict import metrics, routing
from services.predict.loaded_model import LoadedModel
from services.predict.model_store import ModelStore, ServedProject
from services.predict.recording import Recorder
from services.web.problem import Problem


class Mirroring:
    """The mirrored requests of one worker."""

    def __init__(self, models: ModelStore, recorder: Recorder) -> None:
        self.models, self.recorder = models, recorder
        self._running: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def mirror(
        self, served: ServedProject, body: bytes, identifier: str, trace: str | None
    ) -> None:
        """Mirror the request to the shadow, unless its queue is full."""
        shadow = routing.choose_shadow(served)
        if shadow is None:
            return
        if self._running.get(served.name, 0) >= served.policy.queue:
            metrics.SHADOW_DROPPED.labels(served.name).inc()
            return
        self._running[served.name] = self._running.get(served.name, 0) + 1
        task = asyncio.create_task(self._run(shadow, body, identifier, trace))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(
        self, shadow: LoadedModel, body: bytes, identifier: str, trace: str | None
    ) -> None:
        start = perf_counter()
        try:
            if not shadow.loaded:
                await self.models.load(shadow)
            response = await shadow.predict(body)
        except Problem as problem:
            shadow.count_failure(problem.status)
        else:
            seconds = perf_counter() - start
            shadow.completed.append(
                (seconds, response.validate_seconds, response.infer_seconds, response.rows)
            )
            self.recorder.record(shadow, body, response, seconds, trace, mirror_of=identifier)
        finally:
            self._running[shadow.name] -= 1

    async def drain(self, seconds: float) -> None:
        """Wait until the mirrored requests that run now have ended, `seconds` at most."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)

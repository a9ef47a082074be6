"""One model version in one worker, loaded at its first request and run in the way that suits it."""

import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from pydantic_core import to_json

from services.predict import metrics
from services.predict.artifacts import verify
from services.predict.engine import Engine, ModelResponse
from services.predict.explaining import Explained, ExplainRequest, explain_records
from services.predict.isolated_model import IsolatedModel, Items
from services.predict.request_batcher import RequestBatcher
from services.predict.served_version import ServedVersion
from services.predict.settings import Settings
from services.predict.snapshot import Profile, Version
from services.web.problem import Problem
from slipway.contract.model import forget
from slipway.policy import SHADOW

log = logging.getLogger("slipway.predict")
T = TypeVar("T")

# Explanations of one version that a worker makes at the same time.
MAX_EXPLANATIONS = 4
# A longer call would hold up the other requests on the event loop; a hop to a thread costs 0.1 ms.
INLINE_SECONDS = 0.001
# Bodies up to this size run on the event loop when the model is cheap.
INLINE_BYTES = 32 * 2**10
# A batch is worth a thread when a record's share of its time is below this part of a single call.
BATCH_GAIN = 0.6
BATCH_WORTH_SECONDS = 0.0002


def cheap(profile: Profile) -> bool:
    """Return whether a call costs less than the hop to a thread and gains little from a batch."""
    if profile.one_seconds + profile.validate_seconds > INLINE_SECONDS:
        return False
    gains = profile.batch_seconds < BATCH_GAIN * profile.one_seconds
    return not (gains and profile.one_seconds > BATCH_WORTH_SECONDS)


class LoadedModel(ServedVersion):
    """A model version, loaded or ready to be loaded.

    It is created and used on the event loop; only loading and the model itself run in threads.
    """

    def __init__(
        self, name: str, variant: str, version: Version, settings: Settings, *, isolated: bool
    ) -> None:
        super().__init__(name, variant, version, settings)
        self.last_used = 0.0
        self.calls = 0
        """Requests that run away from the event loop now."""
        self.explanations = 0
        """Explanations that are being made now."""
        self.engine: Engine | None = None
        self.batcher: RequestBatcher | None = None
        self.isolated: IsolatedModel | None = None
        self.is_isolated = isolated or variant == SHADOW or self.streams or self.slow
        """True if it runs in a process of its own, once it is loaded."""
        self.inline = cheap(version.profile) and not settings.triton and not self.is_isolated
        """True if small requests run on the event loop itself."""
        lookup = version.profile.looked_up
        self.entity_key = f'"{lookup.entity}"'.encode() if lookup else None
        """The JSON key that is in the body when features are to be looked up."""
        self.payload_middle = (
            f'","model":"{name}","version":"{version.version}","variant":"{variant}","predictions":'
        ).encode()

    @property
    def busy(self) -> bool:
        return self.calls > 0

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
            isolated = IsolatedModel(self)
            if self.streams or self.slow:
                # Its first caller should not wait for the weights.
                isolated.start_process()
            self.isolated = isolated
        else:
            source = self.source
            engine = Engine(
                source.load(), batch_rows=self.settings.batch_rows, thumbnails=source.thumbnails
            )
            # The first call of a session allocates memory; the first caller should not wait for it.
            for example in source.shipped.examples[:1]:
                engine.predict(to_json(example["input"]))
            engine.use_columns([example["input"] for example in source.shipped.examples])
            self.batcher = RequestBatcher(self, engine, self.isolate)
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

    def isolate(self, reason: str) -> IsolatedModel:
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

    async def stream(self, body: bytes) -> AsyncGenerator[Items, None]:
        """Yield the chunks of the prediction for one JSON record, and last its response.

        Closing the generator stops the model.

        Raises:
            Problem: refused, failed, too many waiting, or too slow.
        """
        assert self.isolated is not None
        self.calls += 1
        try:
            async with aclosing(self.isolated.stream(body)) as stream:
                async for items in stream:
                    yield items
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

    async def explain(self, body: bytes, *, as_picture: bool = False) -> Explained:
        """Return the explanations of the predictions for a JSON body.

        Raises:
            Problem: refused, failed, too many waiting, or too slow.
        """
        if self.explanations >= MAX_EXPLANATIONS:
            message = f"{self.explanations} explanations of {self.name} are being made"
            raise Problem(503, "Too busy", message, retry_seconds=self.explanation_seconds)
        request = ExplainRequest(body, self.explanation_seconds, as_picture)
        self.calls += 1
        self.explanations += 1
        try:
            if self.isolated:
                seconds = max(self.timeout_seconds, 2 * request.seconds)
                found: Explained = await self.isolated.call("explain", request, seconds=seconds)
                return found
            assert self.engine is not None
            assert self.batcher is not None
            batcher, steps = self.batcher, explain_records(self.engine, self.source, request)
            # One call of the model at a time, so that predictions run between them.
            explained: Explained | None = None
            while explained is None:
                explained = await batcher.run_in_thread(lambda: next(steps))
            return explained
        finally:
            self.calls -= 1
            self.explanations -= 1

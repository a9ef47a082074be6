"""Looks up features that a caller did not send, online, by the entity that a record names."""

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from services.predict import metrics
from services.predict.batching import Batcher
from services.predict.loaded_model import LoadedModel
from services.predict.metrics import LookedUp
from services.predict.settings import Settings
from services.web.problem import Problem

if TYPE_CHECKING:
    from slipway.features.online import Online

log = logging.getLogger("slipway.predict")

# Requests with at most this many keys share calls: a single key takes 0.2 ms of the processor, one
# of ten keys half of that.
BATCHED_KEYS = 20
# A caller waits for the call that runs, for connecting and for its own call, each of which ends
# after `feature_seconds`. Name resolution does not: it takes 10 s if the Redis is gone.
WAITS = 3


class Lookups:
    """Fills in missing features from the online store, which is opened at the first lookup."""

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.feature_seconds
        self._online: Online | None = None
        self._warm: set[str] = set()
        # Separate pools, so that large batches do not hold up requests with one key.
        self._small_pool = ThreadPoolExecutor(1, thread_name_prefix="features")
        self._large_pool = ThreadPoolExecutor(1, thread_name_prefix="many features")
        self._waiting = 0
        self._batchers: dict[tuple[str, str], Batcher[Any, dict[str, Any] | None]] = {}

    def needed(self, model: LoadedModel, body: bytes) -> bool:
        """Return whether the body seems to name an entity; a false hit only costs a parse."""
        return model.entity_key is not None and model.entity_key in body

    async def fill(self, model: LoadedModel, body: bytes) -> bytes:
        """Return the body of the request, each record with the features of its entity.

        Raises:
            Problem: the store has no features of an entity, or does not respond.
        """
        lookup = model.version.profile.looked_up
        if lookup is None or not self.needed(model, body):
            return body
        try:
            sent = from_json(body)
        except ValueError:
            return body  # the model's own validation reports what is wrong with it
        records = [
            each
            for each in (sent if isinstance(sent, list) else [sent])
            if isinstance(each, dict) and lookup.entity in each
        ]
        keys = [each[lookup.entity] for each in records]
        for key in keys:
            if isinstance(key, bool) or not isinstance(key, int | str):
                raise _invalid(lookup.entity, "must be a text or a whole number")
        if not keys:
            return body
        rows = await self._look_up(model, lookup.service, lookup.entity, keys)
        is_field = lookup.entity in model.version.profile.input_schema.get("properties", {})
        for record, features in zip(records, rows, strict=True):
            if features is None:
                metrics.LOOKUPS.labels(model.name, LookedUp.UNKNOWN).inc()
                message = "the store has no such key; send the record's fields themselves"
                raise _invalid(lookup.entity, message)
            own = dict(record)
            if not is_field:
                del own[lookup.entity]
            record.clear()
            record.update(features | own)
        return to_json(sent)

    async def _look_up(
        self, model: LoadedModel, service: str, entity: str, keys: list[Any]
    ) -> list[dict[str, Any] | None]:
        if self._waiting >= model.policy.queue:
            raise model.queue_problem(self._waiting)
        self._waiting += 1
        start = perf_counter()
        try:
            async with asyncio.timeout(model.policy.timeout_seconds):
                rows = await self._fetch(service, entity, keys)
        except TimeoutError:
            metrics.LOOKUPS.labels(model.name, LookedUp.UNAVAILABLE).inc()
            message = "the feature store did not respond in time"
            raise Problem(503, "Features away", message) from None
        except Exception as error:
            # Whatever the store's client raises, the caller can only try again later.
            metrics.LOOKUPS.labels(model.name, LookedUp.UNAVAILABLE).inc()
            log.error("%s: features cannot be looked up: %s", model.name, error)
            message = (
                f"the features of {entity} cannot be looked up now; send the fields themselves"
            )
            raise Problem(503, "Features away", message) from None
        finally:
            self._waiting -= 1
        metrics.LOOKUP_SECONDS.labels(model.name).observe(perf_counter() - start)
        known = sum(each is not None for each in rows)
        metrics.LOOKUPS.labels(model.name, LookedUp.FOUND).inc(known)
        return rows

    async def _fetch(
        self, service: str, entity: str, keys: list[Any]
    ) -> list[dict[str, Any] | None]:
        if len(keys) > BATCHED_KEYS:
            return await self._in_thread(self._large_pool, service, entity, keys)
        batcher = self._batchers.get((service, entity))
        if batcher is None:
            call = partial(self._in_thread, self._small_pool, service, entity)
            batcher = self._batchers[service, entity] = Batcher(call, max_keys=BATCHED_KEYS)
        # The first lookup imports Feast for 3 s.
        limit = WAITS * self._seconds if service in self._warm else None
        async with asyncio.timeout(limit):
            return await batcher.get(keys)

    async def _in_thread(
        self, pool: ThreadPoolExecutor, service: str, entity: str, keys: list[Any]
    ) -> list[dict[str, Any] | None]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, self._query, service, entity, keys)

    def _query(self, service: str, entity: str, keys: list[Any]) -> list[dict[str, Any] | None]:
        return self._open(service).look_up(service, entity, keys)

    def _open(self, service: str) -> "Online":
        if self._online is None:
            from slipway.features.online import Online

            self._online = Online(timeout=self._seconds)
        if service not in self._warm:
            self._online.warm(service)
            self._warm.add(service)
        return self._online

    async def warm(self, model: LoadedModel) -> None:
        """Open the store now, so that no caller waits for its import, which takes 3 s."""
        lookup = model.version.profile.looked_up
        if lookup is not None:
            with contextlib.suppress(Exception):
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._small_pool, self._open, lookup.service)

    def close(self) -> None:
        """Drop the lookups that wait."""
        for pool in (self._small_pool, self._large_pool):
            pool.shutdown(wait=False, cancel_futures=True)


def _invalid(field: str, message: str) -> Problem:
    return Problem(
        422, "Invalid input", f"{field}: {message}", errors=[{"field": field, "message": message}]
    )

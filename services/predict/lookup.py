"""Features that a caller did not send, looked up online by whom the record is about."""

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from services.predict import metrics
from services.predict.gathering import Gathering
from services.predict.metrics import LookedUp
from services.predict.settings import Settings
from services.predict.unit import Unit
from services.web.problem import Problem

if TYPE_CHECKING:
    from slipway.features.online import Online

log = logging.getLogger("slipway.predict")

# Callers with so few keys are gathered: a key alone takes 0.2 ms of the processor, one among ten
# half of that.
FEW = 20
# The call under way, connecting and asking: each waits `feature_seconds` at most. What knows no
# such limit must not keep callers either: the name of a Redis that is gone is resolved for 10 s.
WAITS = 3


class Lookups:
    """Bodies with the fields that were missing. The store is opened when first needed."""

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.feature_seconds
        self._online: Online | None = None
        self._warm: set[str] = set()
        # Apart, so that two large batches do not hold up whoever asks for one key.
        self._few = ThreadPoolExecutor(1, thread_name_prefix="features")
        self._many = ThreadPoolExecutor(1, thread_name_prefix="many features")
        self._waiting = 0
        self._gatherings: dict[tuple[str, str], Gathering[Any, dict[str, Any] | None]] = {}

    def wanted(self, unit: Unit, body: bytes) -> bool:
        """Whether the body names whom it is about; a needle in a text at worst costs a look."""
        return unit.entity is not None and unit.entity in body

    async def filled(self, unit: Unit, body: bytes) -> bytes:
        """The body of the request, each record with the features of its entity.

        Raises:
            Problem: nothing is stored of an entity, or the store does not answer.
        """
        lookup = unit.version.profile.looked_up
        if lookup is None or not self.wanted(unit, body):
            return body
        try:
            sent = from_json(body)
        except ValueError:
            return body  # the model's own validation says what is wrong with it
        records = [
            each
            for each in (sent if isinstance(sent, list) else [sent])
            if isinstance(each, dict) and lookup.entity in each
        ]
        keys = [each[lookup.entity] for each in records]
        for key in keys:
            if isinstance(key, bool) or not isinstance(key, int | str):
                raise _wrong(lookup.entity, "must be a text or a whole number")
        if not keys:
            return body
        found = await self._found(unit, lookup.service, lookup.entity, keys)
        is_field = lookup.entity in unit.version.profile.input_schema.get("properties", {})
        for record, features in zip(records, found, strict=True):
            if features is None:
                metrics.LOOKUPS.labels(unit.name, LookedUp.UNKNOWN).inc()
                told = "nothing is stored of it; send the record's fields themselves"
                raise _wrong(lookup.entity, told)
            own = dict(record)
            if not is_field:
                del own[lookup.entity]
            record.clear()
            record.update(features | own)
        return to_json(sent)

    async def _found(
        self, unit: Unit, service: str, entity: str, keys: list[Any]
    ) -> list[dict[str, Any] | None]:
        if self._waiting >= unit.policy.queue:
            raise unit.busy(self._waiting)
        self._waiting += 1
        start = perf_counter()
        try:
            async with asyncio.timeout(unit.policy.timeout_seconds):
                found = await self._asked(service, entity, keys)
        except TimeoutError:
            metrics.LOOKUPS.labels(unit.name, LookedUp.UNAVAILABLE).inc()
            told = "the feature store did not answer in time"
            raise Problem(503, "Features away", told) from None
        except Exception as error:
            # Whatever the store's client raises: the caller can only come back later.
            metrics.LOOKUPS.labels(unit.name, LookedUp.UNAVAILABLE).inc()
            log.error("%s: features cannot be looked up: %s", unit.name, error)
            told = f"the features of {entity} cannot be looked up now; send the fields themselves"
            raise Problem(503, "Features away", told) from None
        finally:
            self._waiting -= 1
        metrics.LOOKUP_SECONDS.labels(unit.name).observe(perf_counter() - start)
        there = sum(each is not None for each in found)
        metrics.LOOKUPS.labels(unit.name, LookedUp.FOUND).inc(there)
        return found

    async def _asked(
        self, service: str, entity: str, keys: list[Any]
    ) -> list[dict[str, Any] | None]:
        if len(keys) > FEW:
            return await self._in_thread(self._many, service, entity, keys)
        gathering = self._gatherings.get((service, entity))
        if gathering is None:
            ask = partial(self._in_thread, self._few, service, entity)
            gathering = self._gatherings[service, entity] = Gathering(ask, most=FEW)
        # The first one imports for 3 s.
        patience = WAITS * self._seconds if service in self._warm else None
        async with asyncio.timeout(patience):
            return await gathering.ask(keys)

    async def _in_thread(
        self, pool: ThreadPoolExecutor, service: str, entity: str, keys: list[Any]
    ) -> list[dict[str, Any] | None]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, self._ask, service, entity, keys)

    def _ask(self, service: str, entity: str, keys: list[Any]) -> list[dict[str, Any] | None]:
        return self._opened(service).look_up(service, entity, keys)

    def _opened(self, service: str) -> "Online":
        if self._online is None:
            from slipway.features.online import Online

            self._online = Online(timeout=self._seconds)
        if service not in self._warm:
            self._online.warm(service)
            self._warm.add(service)
        return self._online

    async def warm(self, unit: Unit) -> None:
        """Open the store before the first caller waits for it: importing it takes 3 s."""
        lookup = unit.version.profile.looked_up
        if lookup is not None:
            with contextlib.suppress(Exception):
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._few, self._opened, lookup.service)

    def close(self) -> None:
        for pool in (self._few, self._many):
            pool.shutdown(wait=False, cancel_futures=True)


def _wrong(field: str, message: str) -> Problem:
    return Problem(
        422, "Invalid input", f"{field}: {message}", errors=[{"field": field, "message": message}]
    )

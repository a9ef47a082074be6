"""Online look-ups for the model server. Feast is imported when it is first needed."""

import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    from slipway.features.definitions import FeaturePlan
    from slipway.features.marks import Mark
    from slipway.features.online_stores import Opened, Rows

# How often the marks are read again; they only set the store's clock.
MARKS_SECONDS = 5.0
INT64 = range(-(2**63), 2**63)


class FeaturesUnavailable(Exception):
    """Raised when the online store does not respond in time; the message says why."""


class Online:
    """The online store: Redis if $SLIPWAY_REDIS_URL is set, or else the SQLite file in `store`.

    It is thread-safe. With Redis, a look-up of any number of keys is one round trip.
    """

    def __init__(self, *, store: Path | None = None, timeout: float = 0.2) -> None:
        """`store` is a folder, by default Slipway's own; `timeout` limits each wait, in seconds."""
        if timeout <= 0:
            raise ValueError(f"timeout must be above 0 seconds, got {timeout:g}")
        self._folder = store
        self._timeout = timeout
        self._lock = threading.Lock()
        self._plans: dict[str, FeaturePlan] = {}
        self._shared: Opened | None = None
        self._own = threading.local()
        self._marks: dict[str, Mark] = {}
        self._marks_read = float("-inf")

    def warm(self, service: str) -> None:
        """Import, connect and read once, so that the first look-up is as fast as later ones.

        Raises:
            KeyError: there is no such feature service.
            FeaturesUnavailable: the store cannot be reached; everything else is warm.
        """
        plan = self._plan(service)
        self.look_up(service, plan.key, [0])

    def look_up(
        self, service: str, entity: str, keys: list[str | int]
    ) -> list[dict[str, Any] | None]:
        """Return the features of each key by name, in order; None for an unknown key.

        A missing feature value is None. `entity` is the name of the join key.

        Raises:
            KeyError: there is no such feature service.
            ValueError: `entity` is not the service's join key.
            FeaturesUnavailable: the store does not respond within the timeout.
        """
        from slipway.features.online_stores import StoreUnreachable, faults

        plan = self._plan(service)
        if entity != plan.key:
            raise ValueError(f"feature service {service} is looked up by {plan.key}, not {entity}")
        entity_keys = [_entity_key(plan, key) for key in keys]
        valid = [key for key in entity_keys if key is not None]
        if not valid:
            return [None] * len(keys)
        try:
            with faults():
                opened = self._opened()
                views = opened.read(plan.reads, valid)
                now = self._now(plan, opened)
        except StoreUnreachable as error:
            self._close_own()
            raise FeaturesUnavailable(f"feature service {service}: {error}") from error
        rows = iter(_features(plan, views, now))
        return [None if key is None else next(rows) for key in entity_keys]

    def _plan(self, service: str) -> "FeaturePlan":
        plan = self._plans.get(service)
        if plan is None:
            from slipway.features import definitions

            with self._lock:
                plan = self._plans[service] = definitions.load().plan(service)
        return plan

    def _opened(self) -> "Opened":
        """Return the open store: a Redis client for all threads, or a SQLite file per thread."""
        own: Opened | None = self._shared or getattr(self._own, "opened", None)
        if own is not None and own.current():
            return own
        from slipway.features.online_stores import open_store

        self._close_own()
        with self._lock:
            if self._shared is not None:
                return self._shared
            opened = open_store(self._folder, timeout=self._timeout)
            if opened.shared:
                self._shared = opened
            else:
                self._own.opened = opened
        return opened

    def _close_own(self) -> None:
        """Close this thread's SQLite file, to open it again; Redis clients reconnect themselves."""
        own: Opened | None = getattr(self._own, "opened", None)
        if own is not None:
            self._own.opened = None
            own.close()

    def _now(self, plan: "FeaturePlan", opened: "Opened") -> datetime | None:
        """Return the time by the store's clock, if a transformation needs it."""
        if not plan.request_fields:
            return None
        from slipway.features import marks

        if time.monotonic() - self._marks_read > MARKS_SECONDS:
            self._marks = opened.marks.read()
            self._marks_read = time.monotonic()
        known = self._marks
        return marks.clock(
            [known[read.view.name] for read in plan.reads if read.view.name in known],
            datetime.now(UTC),
        )


def _entity_key(plan: "FeaturePlan", key: str | int) -> "EntityKey | None":
    """Return the key as Feast stores it; None if `key` is invalid for the key's type."""
    from feast import ValueType
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    if plan.key_type is ValueType.STRING:
        value = Value(string_val=str(key))
    else:
        try:
            number = int(key)
        except ValueError:
            return None
        if number not in INT64:
            return None
        value = Value(int64_val=number)
    return EntityKey(join_keys=[plan.key], entity_values=[value])


def _features(
    plan: "FeaturePlan", views: "list[Rows]", now: datetime | None
) -> list[dict[str, Any] | None]:
    """Return the service's features, one row per key; `views` holds each view's rows by key."""
    from slipway.features.definitions import transformation_of
    from slipway.features.online_stores import decoded

    count = len(views[0])
    known = [any(rows[place][1] is not None for rows in views) for place in range(count)]
    columns: dict[str, list[Any]] = {}
    for read, rows in zip(plan.reads, views, strict=True):
        for name in read.features:
            columns[name] = [None if row is None else decoded(row.get(name)) for _, row in rows]
    for field in plan.request_fields:
        columns[field] = [now] * count
    for view in plan.transformations:
        columns |= transformation_of(view).udf(columns)
    return [
        {name: _present(columns[name][place]) for name in plan.names} if known[place] else None
        for place in range(count)
    ]


def _present(value: Any) -> Any:
    """Return None for NaN, by which transformations and float columns mark missing values."""
    return None if value != value else value

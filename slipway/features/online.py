"""What a model server asks: the features of a key, now. Feast is imported when first needed."""

import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    from slipway.features.definitions import Plan
    from slipway.features.marks import Mark
    from slipway.features.online_stores import Opened, Rows

# How long it may go unnoticed that the store was filled anew; only the clock comes from its marks.
MARKS_SECONDS = 5.0
INT64 = range(-(2**63), 2**63)


class FeaturesUnavailable(Exception):
    """The online store cannot be reached, or not in time; the message says why."""


class Online:
    """The online store: a Redis if $SLIPWAY_REDIS_URL is set, else the SQLite file in `store`.

    Any thread may call it. With Redis a look-up of any number of keys is one round trip.
    """

    def __init__(self, *, store: Path | None = None, timeout: float = 0.2) -> None:
        """`store` is a folder, Slipway's own by default; `timeout` in seconds bounds each wait."""
        if timeout <= 0:
            raise ValueError(f"timeout must be above 0 seconds, got {timeout:g}")
        self._folder = store
        self._timeout = timeout
        self._lock = threading.Lock()
        self._plans: dict[str, Plan] = {}
        self._shared: Opened | None = None
        self._own = threading.local()
        self._marks: dict[str, Mark] = {}
        self._marks_read = float("-inf")

    def warm(self, service: str) -> None:
        """Import, connect and read once, so that the first look-up costs what any other does.

        Raises:
            KeyError: there is no such feature service.
            FeaturesUnavailable: the store cannot be reached; all else is warm.
        """
        plan = self._plan(service)
        self.look_up(service, plan.key, [0])

    def look_up(
        self, service: str, entity: str, keys: list[str | int]
    ) -> list[dict[str, Any] | None]:
        """For each key in order the features by name; None for one that the store does not know.

        A feature whose value is missing is None. `entity` is the name of the join key.

        Raises:
            KeyError: there is no such feature service.
            ValueError: `entity` is not its join key.
            FeaturesUnavailable: the store cannot be reached within the timeout.
        """
        from slipway.features.online_stores import StoreUnreachable, faults

        plan = self._plan(service)
        if entity != plan.key:
            raise ValueError(f"feature service {service} is looked up by {plan.key}, not {entity}")
        asked = [_entity_key(plan, key) for key in keys]
        valid = [key for key in asked if key is not None]
        if not valid:
            return [None] * len(keys)
        try:
            with faults():
                opened = self._opened()
                views = opened.read(plan.reads, valid)
                moment = self._moment(plan, opened)
        except StoreUnreachable as error:
            self._close_own()
            raise FeaturesUnavailable(f"feature service {service}: {error}") from error
        found = iter(_features(plan, views, moment))
        return [None if key is None else next(found) for key in asked]

    def _plan(self, service: str) -> "Plan":
        plan = self._plans.get(service)
        if plan is None:
            from slipway.features import definitions

            with self._lock:
                plan = self._plans[service] = definitions.load().plan(service)
        return plan

    def _opened(self) -> "Opened":
        """Redis' client serves all threads; of SQLite each thread has a connection of its own."""
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
        """This thread's SQLite, to be opened anew; a Redis client mends itself."""
        own: Opened | None = getattr(self._own, "opened", None)
        if own is not None:
            self._own.opened = None
            own.close()

    def _moment(self, plan: "Plan", opened: "Opened") -> datetime | None:
        """The moment that it is in the store, if a transformation asks for it."""
        if not plan.asks:
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


def _entity_key(plan: "Plan", key: str | int) -> "EntityKey | None":
    """As Feast writes it; None for what cannot be a key of this kind."""
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
    plan: "Plan", views: "list[Rows]", moment: datetime | None
) -> list[dict[str, Any] | None]:
    """The promised features, a row a key; `views` holds each view's rows by key."""
    from slipway.features.definitions import transformation_of
    from slipway.features.online_stores import decoded

    count = len(views[0])
    known = [any(rows[place][1] is not None for rows in views) for place in range(count)]
    columns: dict[str, list[Any]] = {}
    for read, rows in zip(plan.reads, views, strict=True):
        for name in read.features:
            columns[name] = [None if row is None else decoded(row.get(name)) for _, row in rows]
    for field in plan.asks:
        columns[field] = [moment] * count
    for view in plan.transformations:
        columns |= transformation_of(view).udf(columns)
    return [
        {name: _present(columns[name][place]) for name in plan.names} if known[place] else None
        for place in range(count)
    ]


def _present(value: Any) -> Any:
    """None for nan, as which transformations, and tables of floats, write what is missing."""
    return None if value != value else value

"""Feast's online stores, SQLite and Redis, opened with bounded waiting times."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from slipway.features import definitions, places
from slipway.features.definitions import Read
from slipway.features.marks import Marks, RedisMarks, SqliteMarks
from slipway.features.without_torch import without_torch

with without_torch():
    from feast.infra.online_stores.redis import RedisOnlineStore
    from feast.infra.online_stores.sqlite import SqliteOnlineStore
    from feast.type_map import feast_value_type_to_python_type

if TYPE_CHECKING:
    from feast import RepoConfig
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

Rows: TypeAlias = "list[tuple[datetime | None, dict[str, Value] | None]]"
"""A view's rows, one per key: timestamp and values by feature; None for an unknown key."""


class StoreUnreachable(Exception):
    """Raised when the online store does not respond in time."""


@dataclass(frozen=True)
class Opened:
    """An open online store."""

    config: "RepoConfig"
    feast: "OnlineStore"
    marks: Marks
    read: "Callable[[Sequence[Read], list[EntityKey]], list[Rows]]"
    """Read the rows of each view for the same keys."""
    close: Callable[[], None]
    shared: bool
    """True if all threads may use the store."""
    current: Callable[[], bool]
    """Return whether the open store is still the one at its address."""


@contextmanager
def faults() -> Iterator[None]:
    """Turn the stores' own errors into StoreUnreachable inside the block."""
    try:
        yield
    except (redis.RedisError, sqlite3.Error, OSError) as error:
        message = str(error).strip() or type(error).__name__
        raise StoreUnreachable(message) from error


def open_store(folder: Path | None = None, *, timeout: float) -> Opened:
    """Open the Redis at $SLIPWAY_REDIS_URL, or else the SQLite file in `folder`.

    Raises:
        StoreUnreachable: the SQLite file is missing; Redis is not contacted before the first read.
        ValueError: the address is malformed.
    """
    if url := places.redis_url():
        return _open_redis(url, timeout)
    file = places.online_file(folder)
    if not file.is_file():
        raise StoreUnreachable(f"no {file.name} in {file.parent}: run slipway features materialize")
    return open_sqlite(file, timeout)


def open_sqlite(file: Path, timeout: float) -> Opened:
    """Open the file for the calling thread; create it if it is missing."""
    store = SqliteOnlineStore()
    config = definitions.config(places.registry(), {"type": "sqlite", "path": str(file)})
    connection = store._get_conn(config)
    connection.execute(f"PRAGMA busy_timeout = {int(timeout * 1000)}")
    number = file.stat().st_ino

    def read(reads: Sequence[Read], keys: "list[EntityKey]") -> "list[Rows]":
        return [store.online_read(config, each.view, keys, list(each.features)) for each in reads]

    def current() -> bool:
        try:
            return file.stat().st_ino == number
        except FileNotFoundError:
            return False

    marks = SqliteMarks(connection)
    return Opened(config, store, marks, read, connection.close, shared=False, current=current)


class BoundedRedis(RedisOnlineStore):
    """Feast's Redis store with bounded waits, and one round trip for all views."""

    def __init__(self, url: str, timeout: float) -> None:
        # No retries: the pool replaces a connection that the server closed before using it, and
        # retries with backoff would add up to many times the timeout.
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )

    @property
    def client(self) -> redis.Redis:
        """The Redis client."""
        assert isinstance(self._client, redis.Redis)
        return self._client

    def read_views(
        self, config: "RepoConfig", reads: Sequence[Read], keys: "list[EntityKey]"
    ) -> "list[Rows]":
        """Read several views of one entity, whose values Feast stores in one hash."""
        by_view = [
            self._generate_hset_keys_for_features(read.view, list(read.features)) for read in reads
        ]
        fields = [field for _, own in by_view for field in own]
        hashes = self._generate_redis_keys_for_entities(config, keys)
        found = self._read_hash_fields(config, [(each, fields) for each in hashes])
        views, start = [], 0
        for read, (names, own) in zip(reads, by_view, strict=True):
            values = [row[start : start + len(own)] for row in found]
            start += len(own)
            rows = self._convert_redis_values_to_protobuf(values, read.view.name, names)
            views.append([_known(*row) for row in rows])
        return views


def _known(
    when: datetime | None, values: "dict[str, Value] | None"
) -> "tuple[datetime | None, dict[str, Value] | None]":
    """Return (None, None) for an unknown key, for which Feast returns nulls stamped 1970."""
    return (when, values) if when and when.timestamp() else (None, None)


def _open_redis(url: str, timeout: float) -> Opened:
    store = BoundedRedis(url, timeout)
    config = definitions.config(places.registry(), {"type": "redis"})

    def read(reads: Sequence[Read], keys: "list[EntityKey]") -> "list[Rows]":
        return store.read_views(config, reads, keys)

    marks = RedisMarks(store.client)
    return Opened(config, store, marks, read, store.client.close, shared=True, current=lambda: True)


# For these types, Feast's own conversion is unnecessary; it takes a tenth of the look-up time.
PLAIN = frozenset({"bool_val", "double_val", "float_val", "int32_val", "int64_val", "string_val"})


def decoded(value: "Value | None") -> Any:
    """Return the value in Python; None if it is missing."""
    if value is None:
        return None
    kind = value.WhichOneof("val")
    return getattr(value, kind) if kind in PLAIN else feast_value_type_to_python_type(value)

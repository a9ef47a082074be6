"""Feast's online stores, SQLite and Redis, opened so that a reader never waits for long."""

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
"""Of one view, a row a key: when, and what by feature; None where the key is unknown."""


class StoreUnreachable(Exception):
    """The online store did not answer, or not in time."""


@dataclass(frozen=True)
class Opened:
    """An online store that is ready to be read and written."""

    config: "RepoConfig"
    feast: "OnlineStore"
    marks: Marks
    read: "Callable[[Sequence[Read], list[EntityKey]], list[Rows]]"
    """The rows of each view, for the same keys."""
    close: Callable[[], None]
    shared: bool
    """Whether all threads may use it."""
    current: Callable[[], bool]
    """Whether it is still what its address leads to."""


@contextmanager
def faults() -> Iterator[None]:
    """Within the block a store's own errors come as StoreUnreachable."""
    try:
        yield
    except (redis.RedisError, sqlite3.Error, OSError) as error:
        told = str(error).strip() or type(error).__name__
        raise StoreUnreachable(told) from error


def open_store(folder: Path | None = None, *, timeout: float) -> Opened:
    """The Redis that $SLIPWAY_REDIS_URL names, else the SQLite file in `folder`, ours by default.

    Raises:
        StoreUnreachable: there is no such file; a Redis is not called before the first read.
        ValueError: the address is malformed.
    """
    if url := places.redis_url():
        return _open_redis(url, timeout)
    file = places.online_file(folder)
    if not file.is_file():
        raise StoreUnreachable(f"no {file.name} in {file.parent}: run slipway features materialize")
    return open_sqlite(file, timeout)


def open_sqlite(file: Path, timeout: float) -> Opened:
    """The file, made if it is missing; for the thread that calls this."""
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
    """Feast's Redis store with a client of ours: bounded waits, one round trip for all views."""

    def __init__(self, url: str, timeout: float) -> None:
        # One attempt: the pool replaces a connection that the server closed before it is used, and
        # attempts more, with pauses between, would add up to many times the timeout.
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )

    @property
    def client(self) -> redis.Redis:
        assert isinstance(self._client, redis.Redis)
        return self._client

    def read_views(
        self, config: "RepoConfig", reads: Sequence[Read], keys: "list[EntityKey]"
    ) -> "list[Rows]":
        """`online_read` of several views of one entity, whose values Feast keeps in one hash."""
        asked = [
            self._generate_hset_keys_for_features(read.view, list(read.features)) for read in reads
        ]
        fields = [field for _, own in asked for field in own]
        hashes = self._generate_redis_keys_for_entities(config, keys)
        found = self._read_hash_fields(config, [(each, fields) for each in hashes])
        views, start = [], 0
        for read, (names, own) in zip(reads, asked, strict=True):
            values = [row[start : start + len(own)] for row in found]
            start += len(own)
            rows = self._convert_redis_values_to_protobuf(values, read.view.name, names)
            views.append([_known(*row) for row in rows])
        return views


def _known(
    when: datetime | None, values: "dict[str, Value] | None"
) -> "tuple[datetime | None, dict[str, Value] | None]":
    """Of a key that Redis does not know Feast makes a row of missing values stamped 1970."""
    return (when, values) if when and when.timestamp() else (None, None)


def _open_redis(url: str, timeout: float) -> Opened:
    store = BoundedRedis(url, timeout)
    config = definitions.config(places.registry(), {"type": "redis"})

    def read(reads: Sequence[Read], keys: "list[EntityKey]") -> "list[Rows]":
        return store.read_views(config, reads, keys)

    marks = RedisMarks(store.client)
    return Opened(config, store, marks, read, store.client.close, shared=True, current=lambda: True)


# Feast asks a dozen questions of each value: a tenth of the time of a look-up, for these in vain.
PLAIN = frozenset({"bool_val", "double_val", "float_val", "int32_val", "int64_val", "string_val"})


def decoded(value: "Value | None") -> Any:
    """The value in Python; None where it is missing."""
    if value is None:
        return None
    kind = value.WhichOneof("val")
    return getattr(value, kind) if kind in PLAIN else feast_value_type_to_python_type(value)

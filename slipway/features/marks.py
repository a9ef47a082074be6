"""What was put into the online store when, kept in the store itself: whoever empties it, says so.

A mark also tells the store's clock. Data that end in 2011 are as of then, and the time since the
last purchase is counted from there: the clock shows `until` when the store was filled, and runs on.
For data that arrive as they happen that is the time of day.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import sqlite3

    import redis


@dataclass(frozen=True)
class Mark:
    """The last materialization of a view; moments in UTC."""

    view: str
    definition: str
    """Fingerprint of the view that was written."""
    until: datetime
    """Rows stamped later were left out."""
    materialized_at: datetime
    rows: int
    """Entities whose values were written, over all runs since the view was last emptied."""
    newest: datetime | None
    """Stamp of the newest row that was written."""

    def clock(self, now: datetime) -> datetime:
        return self.until + (now - self.materialized_at)

    def dumped(self) -> str:
        return json.dumps(asdict(self), default=datetime.isoformat, sort_keys=True)

    @classmethod
    def parsed(cls, text: str | bytes) -> "Mark":
        told: dict[str, Any] = json.loads(text)
        moments = {
            key: datetime.fromisoformat(told[key]) if told[key] else None
            for key in ("until", "materialized_at", "newest")
        }
        return cls(**{**told, **moments})


def clock(marks: Iterable[Mark], now: datetime | None = None) -> datetime:
    """The moment that it is for data so marked: the latest of their clocks; without any, now."""
    now = now or datetime.now(UTC)
    return max((mark.clock(now) for mark in marks), default=now)


class Marks(Protocol):
    """Where marks are kept."""

    def read(self) -> dict[str, Mark]:
        """By view."""

    def write(self, mark: Mark) -> None: ...

    def remove(self, view: str) -> None: ...


class SqliteMarks:
    """A table beside Feast's, in the same file."""

    def __init__(self, connection: "sqlite3.Connection") -> None:
        self._connection = connection

    def read(self) -> dict[str, Mark]:
        found = self._connection.execute(
            "SELECT name FROM sqlite_master WHERE name = 'slipway_marks'"
        ).fetchone()
        if not found:
            return {}
        rows = self._connection.execute("SELECT view, mark FROM slipway_marks").fetchall()
        return {view: Mark.parsed(text) for view, text in rows}

    def write(self, mark: Mark) -> None:
        with self._connection as connection:
            self._have_table()
            connection.execute(
                "INSERT OR REPLACE INTO slipway_marks (view, mark) VALUES (?, ?)",
                (mark.view, mark.dumped()),
            )

    def remove(self, view: str) -> None:
        with self._connection as connection:
            self._have_table()
            connection.execute("DELETE FROM slipway_marks WHERE view = ?", (view,))

    def _have_table(self) -> None:
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS slipway_marks (view TEXT PRIMARY KEY, mark TEXT NOT NULL)"
        )


class RedisMarks:
    """A hash beside Feast's keys."""

    KEY = "slipway:features:marks"

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def read(self) -> dict[str, Mark]:
        found: dict[bytes, bytes] = self._client.hgetall(self.KEY)  # type: ignore[assignment]
        return {view.decode(): Mark.parsed(text) for view, text in found.items()}

    def write(self, mark: Mark) -> None:
        self._client.hset(self.KEY, mark.view, mark.dumped())

    def remove(self, view: str) -> None:
        self._client.hdel(self.KEY, view)

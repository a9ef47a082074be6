"""Marks of materializations, kept in the online store itself, so that they are emptied with it.

A mark also sets the store's clock. Data that end in 2011 are valid as of 2011, and the time since
the last purchase is counted to then: the clock shows `until` at the materialization, and runs on
from there. For live data the clock shows the current time.
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
    """The last materialization of a view; times are in UTC."""

    view: str
    definition: str
    """The fingerprint of the view's definition."""
    until: datetime
    """Rows with later timestamps were left out."""
    materialized_at: datetime
    rows: int
    """Rows written in all runs since the view was last emptied."""
    newest: datetime | None
    """The timestamp of the newest row that was written."""

    def clock(self, now: datetime) -> datetime:
        """Return the time by the store's clock."""
        return self.until + (now - self.materialized_at)

    def dumped(self) -> str:
        """Return the mark as JSON."""
        return json.dumps(asdict(self), default=datetime.isoformat, sort_keys=True)

    @classmethod
    def parsed(cls, text: str | bytes) -> "Mark":
        """Return the mark from its JSON."""
        content: dict[str, Any] = json.loads(text)
        times = {
            key: datetime.fromisoformat(content[key]) if content[key] else None
            for key in ("until", "materialized_at", "newest")
        }
        return cls(**{**content, **times})


def clock(marks: Iterable[Mark], now: datetime | None = None) -> datetime:
    """Return the latest time by the clocks of `marks`; `now` if there are none."""
    now = now or datetime.now(UTC)
    return max((mark.clock(now) for mark in marks), default=now)


class Marks(Protocol):
    """A store of marks."""

    def read(self) -> dict[str, Mark]:
        """Return the marks by view."""

    def write(self, mark: Mark) -> None:
        """Add the mark, or replace the view's earlier one."""

    def remove(self, view: str) -> None:
        """Remove the view's mark, if there is one."""


class SqliteMarks:
    """Marks in a table in Feast's SQLite file."""

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
            self._create_table()
            connection.execute(
                "INSERT OR REPLACE INTO slipway_marks (view, mark) VALUES (?, ?)",
                (mark.view, mark.dumped()),
            )

    def remove(self, view: str) -> None:
        with self._connection as connection:
            self._create_table()
            connection.execute("DELETE FROM slipway_marks WHERE view = ?", (view,))

    def _create_table(self) -> None:
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS slipway_marks (view TEXT PRIMARY KEY, mark TEXT NOT NULL)"
        )


class RedisMarks:
    """Marks in a Redis hash next to Feast's keys."""

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

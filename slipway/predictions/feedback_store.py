"""Feedback: ground truth attached to the id of a prediction, and the score it gives."""

import json
import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from slipway.predictions.facts import is_facts
from slipway.predictions.ids import MalformedId, NotLogged
from slipway.predictions.reader import find, seconds

__all__ = [
    "Attached",
    "BadLabel",
    "FeedbackEvent",
    "FeedbackRecord",
    "FeedbackStore",
    "MalformedId",
    "NotLogged",
    "Revision",
    "UnknownPrediction",
    "VariantScore",
]

FILE = "feedback.db"
BUSY_SECONDS = 10.0

# The column `truth` holds the labels as JSON. It keeps its first name, since old and new processes
# share the file while servers are replaced one by one.
_TABLES = """
CREATE TABLE IF NOT EXISTS feedback (
    id TEXT NOT NULL, row INTEGER NOT NULL,
    project TEXT NOT NULL, version TEXT NOT NULL, variant TEXT NOT NULL,
    predicted REAL NOT NULL, received REAL NOT NULL,
    truth TEXT NOT NULL, reward REAL, score REAL, revision INTEGER NOT NULL,
    PRIMARY KEY (id, row)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS feedback_by_time ON feedback (project, predicted);
CREATE TABLE IF NOT EXISTS history (
    id TEXT NOT NULL, row INTEGER NOT NULL, revision INTEGER NOT NULL,
    received REAL NOT NULL, truth TEXT NOT NULL, reward REAL, score REAL,
    PRIMARY KEY (id, row, revision)
) WITHOUT ROWID;
-- The order in which labels were committed, for consumers that follow: a clock may step back, and
-- `received` is read before the write lock is acquired. A trigger, so that no writer can omit it.
CREATE TABLE IF NOT EXISTS said (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL, row INTEGER NOT NULL, revision INTEGER NOT NULL
);
INSERT INTO said (id, row, revision)
    SELECT id, row, revision FROM history WHERE NOT EXISTS (SELECT 1 FROM said) ORDER BY received;
CREATE TRIGGER IF NOT EXISTS number_what_is_said AFTER INSERT ON history BEGIN
    INSERT INTO said (id, row, revision) VALUES (NEW.id, NEW.row, NEW.revision);
END;
"""


_EVENT_COLUMNS = (
    *("number", "id", "row", "revision", "project", "version", "variant"),
    *("predicted", "received", "reward", "score"),
)


class UnknownPrediction(LookupError):
    """Raised when no prediction record has the id."""


class BadLabel(ValueError):
    """Raised when a label does not fit the prediction; the message names the field."""


@dataclass(frozen=True)
class Attached:
    """The result of attaching feedback to a prediction."""

    status: Literal["recorded", "replaced", "unchanged"]
    project: str
    version: str
    variant: str
    score: float | None
    revision: int
    """1 for the first feedback of the row."""
    previous: dict[str, Any] | None
    """The ground truth before this feedback; None if there was none."""


@dataclass(frozen=True)
class Revision:
    """One feedback of a row, whether or not it was replaced since."""

    revision: int
    received: float
    """Unix time."""
    label: dict[str, Any]
    reward: float | None
    score: float | None


@dataclass(frozen=True)
class FeedbackRecord:
    """The current ground truth of one row of a prediction."""

    id: str
    row: int
    version: str
    variant: str
    predicted: float
    """Unix time of the prediction."""
    received: float
    """Unix time at which the feedback was received."""
    label: dict[str, Any]
    score: float | None
    revision: int


@dataclass(frozen=True)
class FeedbackEvent:
    """A feedback as it was received, whether or not another replaced it since."""

    number: int
    """Increases with every feedback in the order of the commits; numbers may be skipped."""
    id: str
    row: int
    revision: int
    project: str
    version: str
    variant: str
    predicted: float
    """Unix time of the prediction."""
    received: float
    """Unix time at which the feedback was received."""
    label: dict[str, Any]
    reward: float | None
    score: float | None


@dataclass(frozen=True)
class VariantScore:
    """The scores of a version; `variance` divides by n - 1, None for fewer than two scores."""

    version: str
    variant: str
    n: int
    mean: float
    variance: float | None


class FeedbackStore:
    """Database of feedback beside the prediction log in `folder`.

    Threads and processes can share it. Feedback is on disk when `attach` returns, so `attach`
    waits for the disk and must not be called on an event loop.

    Raises:
        OSError: the folder cannot be created.
        sqlite3.Error: the disk is full, dead or read-only; all methods raise it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = threading.Lock()
        self._database = _open(folder / FILE)
        self._opened = _identity(folder / FILE)

    def attach(
        self,
        *,
        id: str,
        label: dict[str, Any] | None = None,
        row: int = 0,
        reward: float | None = None,
    ) -> Attached:
        """Attach the ground truth to row `row` of a prediction; later feedback replaces it.

        `label` holds some of the prediction's fields. The score is `reward` if there is one, else
        the mean over these fields: 1 or 0 for labels, strings and integers, minus the absolute
        error for other numbers. It is None when nothing can be compared.

        Raises:
            MalformedId: the id is not a UUID.
            NotLogged: the prediction was made while the log was down.
            UnknownPrediction: no record has the id.
            BadLabel: the label does not fit the prediction.
        """
        record = find(self.folder, id)
        if record is None:
            raise UnknownPrediction(
                f"no prediction {id} in the log: the id was never given, its record was dropped, "
                "or it is older than the days that records are kept"
            )
        label = label or {}
        score = _score(label, _prediction(record["outputs"], row), reward)
        return self._store(record, row=row, text=_text(label), reward=reward, score=score)

    def history(self, *, id: str, row: int = 0) -> list[Revision]:
        """Return all feedback on a row of a prediction, oldest first."""
        found = self._read(
            "SELECT revision, received, truth, reward, score FROM history "
            "WHERE id = ? AND row = ? ORDER BY revision",
            (id.lower(), row),
        )
        return [
            Revision(revision, received, json.loads(label), reward, score)
            for revision, received, label, reward, score in found
        ]

    def summary(self, project: str, *, since: float = 0.0) -> list[VariantScore]:
        """Return the scores by version and variant of predictions made from `since`, Unix time."""
        found = self._read(
            """
            WITH scored AS (
                SELECT version, variant, score FROM feedback
                -- Larger scores were refused only later, and their squares are infinite.
                WHERE project = ? AND predicted >= ? AND score BETWEEN -1e9 AND 1e9
            ), means AS (
                SELECT version, variant, COUNT(*) AS n, AVG(score) AS mean
                FROM scored GROUP BY version, variant
            )
            SELECT version, variant, n, mean,
                CASE WHEN n > 1 THEN SUM((score - mean) * (score - mean)) / (n - 1) END
            FROM means JOIN scored USING (version, variant)
            GROUP BY version, variant ORDER BY version, variant
            """,
            (project, since),
        )
        return [VariantScore(*each) for each in found]

    def current_feedback(
        self, project: str, *, since: float = 0.0, until: float = math.inf, limit: int = 100_000
    ) -> list[FeedbackRecord]:
        """Return the current feedback on predictions made from `since` to before `until`.

        These are the newest `limit`, oldest first. Each takes about 1 KB of memory.
        """
        found = self._read(
            "SELECT id, row, version, variant, predicted, received, truth, score, revision "
            "FROM feedback WHERE project = ? AND predicted >= ? AND predicted < ? "
            "ORDER BY predicted DESC, id DESC, row DESC LIMIT ?",
            (project, since, until, limit),
        )
        return [
            FeedbackRecord(
                id=id,
                row=row,
                version=version,
                variant=variant,
                predicted=predicted,
                received=received,
                label=json.loads(label),
                score=score,
                revision=revision,
            )
            for id, row, version, variant, predicted, received, label, score, revision in reversed(
                found
            )
        ]

    def said_after(self, number: int, *, limit: int) -> list[FeedbackEvent]:
        """Return the first `limit` feedback events after that number, in the order of commits."""
        found = self._read(
            "SELECT history.truth, number, id, row, said.revision, project, version, variant, "
            "predicted, history.received, history.reward, history.score "
            "FROM said JOIN history USING (id, row, revision) JOIN feedback USING (id, row) "
            "WHERE number > ? ORDER BY number LIMIT ?",
            (number, limit),
        )
        return [
            FeedbackEvent(label=json.loads(label), **dict(zip(_EVENT_COLUMNS, rest, strict=True)))
            for label, *rest in found
        ]

    def has_labels(self, project: str, *, received_since: float, predicted_since: float) -> bool:
        """Return whether ground truth came from then on, for predictions from then on."""
        found = self._read(
            "SELECT 1 FROM feedback WHERE project = ? AND predicted >= ? AND received >= ? "
            "AND truth != '{}' LIMIT 1",
            (project, predicted_since, received_since),
        )
        return bool(found)

    def last_number(self) -> int:
        """Return the number of the newest feedback event; 0 if there is none."""
        return int(self._read("SELECT COALESCE(MAX(number), 0) FROM said", ())[0][0])

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _read(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock:
            return self._linked().execute(query, values).fetchall()

    def _linked(self) -> sqlite3.Connection:
        """Return the connection to the file that has the database's name now.

        SQLite goes on writing into a file that was removed or replaced, where nobody finds it.
        """
        if _identity(self.folder / FILE) != self._opened:
            self._database.close()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._database = _open(self.folder / FILE)
            self._opened = _identity(self.folder / FILE)
        return self._database

    def _store(
        self,
        record: dict[str, Any],
        *,
        row: int,
        text: str,
        reward: float | None,
        score: float | None,
    ) -> Attached:
        about = {name: record[name] for name in ("project", "version", "variant")}
        key, now = (record["id"], row), time.time()
        with self._lock, _writing(self._linked()):
            before = self._database.execute(
                "SELECT truth, reward, revision FROM feedback WHERE id = ? AND row = ?", key
            ).fetchone()
            revision = 1 if before is None else before[2] + 1
            previous = None if before is None else json.loads(before[0])
            if before is not None and before[:2] == (text, reward):
                return Attached(
                    "unchanged", **about, score=score, revision=before[2], previous=previous
                )
            self._database.execute(
                "INSERT OR REPLACE INTO feedback VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *key,
                    *about.values(),
                    *(seconds(record["time"]), now, text, reward, score, revision),
                ),
            )
            self._database.execute(
                "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*key, revision, now, text, reward, score),
            )
        status: Literal["recorded", "replaced"] = "recorded" if before is None else "replaced"
        return Attached(status, **about, score=score, revision=revision, previous=previous)


def labels_came(
    folder: Path, project: str, *, received_since: float, predicted_since: float
) -> bool:
    """Return whether ground truth of the project came from `received_since`, Unix time.

    Only that of predictions from `predicted_since` counts. Nothing is created.

    Raises:
        OSError, sqlite3.Error: the disk is unavailable.
    """
    if not (folder / FILE).is_file():
        return False
    store = FeedbackStore(folder)
    try:
        return store.has_labels(
            project, received_since=received_since, predicted_since=predicted_since
        )
    finally:
        store.close()


def _prediction(outputs: list[Any], row: int) -> dict[str, Any]:
    if not 0 <= row < len(outputs):
        rows = "one row: 0" if len(outputs) == 1 else f"rows 0 to {len(outputs) - 1}"
        raise BadLabel(f"row: the prediction has {rows}; got {row}")
    prediction = outputs[row]
    if not isinstance(prediction, dict):
        raise BadLabel("label: the prediction has no fields; send a reward instead")
    return prediction


def _score(label: dict[str, Any], prediction: dict[str, Any], reward: float | None) -> float | None:
    fields = ", ".join(sorted(prediction))
    for name in label:
        if name not in prediction:
            raise BadLabel(f"label.{name}: not a field of the prediction, which has {fields}")
    if not label and reward is None:
        raise BadLabel(
            f"label: must hold at least one field of the prediction ({fields}), or send a reward"
        )
    scores = [_field_score(name, value, prediction[name]) for name, value in label.items()]
    if reward is not None:
        return _finite("reward", reward)
    known = [each for each in scores if each is not None]
    return math.fsum(known) / len(known) if known else None


def _field_score(name: str, label: Any, predicted: Any) -> float | None:
    """Return the score of one field; None for lists, objects and a number predicted as null.

    Also None where only facts about the prediction are on record.
    """
    if is_facts(predicted):
        return None
    place = f"label.{name}"
    if label is not None and predicted is not None and _kind(label) != _kind(predicted):
        raise BadLabel(
            f"{place}: must be {_kind(predicted)} like the prediction, got {label!r:.40}"
        )
    if isinstance(predicted, float):
        if label is None:
            raise BadLabel(f"{place}: must be a number; leave it out while it is unknown")
        return 0.0 - abs(_finite(place, label) - predicted)
    if isinstance(label, list | dict) or isinstance(predicted, list | dict):
        return None
    if isinstance(label, float) and predicted is None:
        return None
    return float(label == predicted)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"


def _finite(place: str, value: Any) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if isinstance(value, bool) or not math.isfinite(number):
        raise BadLabel(f"{place}: must be a finite number, got {number}")
    return number


def _text(label: dict[str, Any]) -> str:
    try:
        return json.dumps(label, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise BadLabel(f"label: must hold finite numbers only: {error}") from error


def _identity(file: Path) -> tuple[int, int] | None:
    """Return what distinguishes a file from another of the same name; None if there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _open(file: Path) -> sqlite3.Connection:
    """Open the database, creating its tables.

    It retries, since two processes that create it at once can find it locked in spite of the busy
    timeout.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        database = sqlite3.connect(
            file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
            return database
        except sqlite3.OperationalError as error:
            database.close()
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextmanager
def _writing(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    # A COMMIT that fails leaves the transaction open, and the next BEGIN would fail on it.
    try:
        database.execute("COMMIT")
    except sqlite3.Error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise

"""Join of predictions with their labels, for predictions old enough to have one."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from slipway.predictions import ids
from slipway.predictions.feedback_store import FILE
from slipway.predictions.reader import find
from slipway.predictions.segment import COMPACTED

Key = tuple[str, int]
"""The id of a prediction and the row in it."""


@dataclass(frozen=True)
class LabelledPrediction:
    """A prediction with its ground truth."""

    label: dict[str, Any]
    """The ground truth of some of the prediction's fields, from the newest feedback."""
    score: float | None
    prediction: dict[str, Any]
    protected: dict[str, Any]
    """The record's protected fields."""


class MatureLabels(NamedTuple):
    """The labels of a period."""

    rows: list[LabelledPrediction]
    total: int
    """The labels of the period, of which `rows` are the newest."""


class _Prediction(NamedTuple):
    prediction: dict[str, Any]
    protected: dict[str, Any]


class Labels:
    """The labels of one version, joined with the log; a cache holds at most `limit` rows."""

    def __init__(
        self,
        folder: Path,
        *,
        project: str,
        version: str,
        protected: Iterable[str] = (),
        limit: int = 5000,
    ) -> None:
        self.folder, self.project, self.version = folder, project, version
        self.protected, self.limit = tuple(protected), limit
        self._known: dict[Key, _Prediction | None] = {}

    def mature(self, *, since: float, until: float) -> MatureLabels:
        """Return the labels of the champion's predictions from `since` to before `until`.

        Raises:
            sqlite3.Error: the feedback cannot be read.
        """
        if not (self.folder / FILE).is_file():
            return MatureLabels([], 0)
        labels, total = self._feedback(since, until)
        self._known = {key: joined for key, joined in self._known.items() if key in labels}
        self._join([key for key in labels if key not in self._known])
        rows = []
        for key, (text, score) in labels.items():
            joined = self._known.get(key)
            label = json.loads(text)
            if joined is not None and isinstance(label, dict):
                rows.append(LabelledPrediction(label, score, joined.prediction, joined.protected))
        return MatureLabels(rows, total)

    def _feedback(
        self, since: float, until: float
    ) -> tuple[dict[Key, tuple[str, float | None]], int]:
        where = (
            "FROM feedback WHERE project = ? AND predicted >= ? AND predicted < ? "
            "AND version = ? AND variant = 'champion'"
        )
        values = (self.project, since, until, self.version)
        address = f"{(self.folder / FILE).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=10)) as database:
            rows = database.execute(
                f"SELECT id, row, truth, score {where} ORDER BY predicted DESC LIMIT ?",
                (*values, self.limit),
            ).fetchall()
            (total,) = database.execute(f"SELECT COUNT(*) {where}", values).fetchone()
        return {(id, row): (label, score) for id, row, label, score in rows}, total

    def _join(self, keys: list[Key]) -> None:
        """Read the predictions, one segment at a time.

        In Parquet a read by id would read 10,000 rows for each prediction.
        """
        wanted: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for id, row in keys:
            self._known[id, row] = None
            try:
                place = ids.place(id)
            except (ids.MalformedId, ids.NotLogged):
                continue
            if place is not None:
                wanted[f"{place.segment:08x}"][id].append(row)
        for name, rows in wanted.items():
            for record in _records(self.folder, name, rows):
                for row in rows.get(record["id"], ()):
                    self._known[record["id"], row] = self._prediction(record, row)

    def _prediction(self, record: dict[str, Any], row: int) -> _Prediction | None:
        outputs, inputs = record["outputs"], record["inputs"] or []
        if row >= len(outputs) or not isinstance(outputs[row], dict):
            return None
        sent = inputs[row] if row < len(inputs) and isinstance(inputs[row], dict) else {}
        return _Prediction(outputs[row], {name: sent.get(name) for name in self.protected})


def _records(folder: Path, name: str, wanted: Iterable[str]) -> Iterable[dict[str, Any]]:
    compacted = folder / (name + COMPACTED)
    if not compacted.exists():
        found = [find(folder, id) for id in wanted]
        return [record for record in found if record is not None]
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from pydantic_core import from_json

    keys, records = pa.array(list(wanted)), []
    with pq.ParquetFile(compacted) as file:
        for group in range(file.num_row_groups):
            wanted_rows = pc.is_in(file.read_row_group(group, ["id"])["id"], keys)
            if not pc.any(wanted_rows).as_py():
                continue
            table = file.read_row_group(group, ["id", "inputs", "outputs"]).filter(wanted_rows)
            for row in table.to_pylist():
                content = {name: from_json(row[name]) for name in ("inputs", "outputs")}
                records.append({"id": row["id"], **content})
    return records

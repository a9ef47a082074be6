"""Windows as arrays: a week of hours and the day that followed."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from .model import AHEAD, BACK, HOUR, History, logged

EPOCH = datetime(2006, 12, 1)


@dataclass(frozen=True)
class Windows:
    """Histories with the day that followed, in order of time; powers are logarithms."""

    records: list[History]
    past: np.ndarray
    """(rows, 168)"""
    future: np.ndarray
    """(rows, 24)"""

    @classmethod
    def from_labelled(cls, records: list[History], labels: list[list[float]]) -> "Windows":
        past = np.array([each.kilowatts for each in records])
        return cls(records, logged(past), logged(np.array([list(each) for each in labels])))

    @property
    def at(self) -> np.ndarray:
        """The first forecast hour of each row (rows,), in hours since `EPOCH`."""
        times = [datetime.strptime(each.first_hour, HOUR) for each in self.records]
        return np.array([int((time - EPOCH).total_seconds()) // 3600 for time in times])

    def where(self, kept: np.ndarray) -> "Windows":
        records = [each for each, keep in zip(self.records, kept, strict=True) if keep]
        return Windows(records, self.past[kept], self.future[kept])

    def series(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the hours that the windows cover and their logarithms; both are (hours,)."""
        at = self.at
        values = np.full(int(at.max()) + AHEAD, np.nan)
        for row, place in enumerate(at):
            values[place - BACK : place] = self.past[row]
            values[place : place + AHEAD] = self.future[row]
        hours = np.arange(len(values))[at.min() - BACK :]
        return hours, values[hours]

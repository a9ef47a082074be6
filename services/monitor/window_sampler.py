"""A uniform sample of a stream of rows in bounded memory, from which windows are drawn."""

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

Row = TypeVar("Row")


class WindowSample(NamedTuple, Generic[Row]):
    """The sampled rows of a window."""

    rows: list[Row]
    total: int
    """Rows of the window, sampled or not."""
    unreadable: int
    since: float
    """Unix time at which the window starts."""


@dataclass
class _Bucket(Generic[Row]):
    count: int = 0
    unreadable: int = 0
    sample: list[Row] = field(default_factory=list)


class WindowSampler(Generic[Row]):
    """Buckets of time, each with a reservoir of `reservoir` rows, and the `newest` rows.

    The reservoirs use Vitter's algorithm R with a seed. Rows are also counted in steps of
    `count_seconds`, which reach farther back than the samples.

    A time window is drawn from its buckets in proportion to their numbers of rows: at most
    `reservoir` rows, each row of the window with the same probability. It starts with a bucket.
    """

    def __init__(
        self,
        *,
        bucket_seconds: float,
        reservoir: int,
        newest: int,
        count_seconds: float = 60.0,
        seed: int = 0,
    ) -> None:
        self.count_seconds = count_seconds
        self._counts: Counter[int] = Counter()
        self.bucket_seconds, self.reservoir, self.newest = bucket_seconds, reservoir, newest
        self._random = random.Random(seed)
        self._seed = seed
        self._buckets: dict[int, _Bucket[Row]] = {}
        # By time, oldest first, since the segments of the workers are read one after another.
        self._heap: list[tuple[float, int, Callable[[], Row]]] = []
        self._turn = 0

    def add(self, at: float, read: Callable[[], Row]) -> None:
        """Add a row predicted at Unix time `at`; `read` is called once, if the row is sampled.

        Raises:
            Exception: what `read` raises; the row then counts as unreadable.
        """
        bucket = self._bucket(at)
        bucket.count += 1
        self._turn += 1
        kept: list[Row] = []

        def once() -> Row:
            if not kept:
                kept.append(read())
            return kept[0]

        place = bucket.count - 1
        if place >= self.reservoir:
            place = self._random.randrange(bucket.count)
        if place < self.reservoir:
            try:
                row = once()
            except Exception:
                bucket.count -= 1
                bucket.unreadable += 1
                raise
            if place == len(bucket.sample):
                bucket.sample.append(row)
            else:
                bucket.sample[place] = row
        self._counts[int(at // self.count_seconds)] += 1
        entry = (at, self._turn, once)
        if len(self._heap) < self.newest:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def miss(self, at: float) -> None:
        """Count a row that cannot be read."""
        self._bucket(at).unreadable += 1

    def settle(self) -> None:
        """Read the newest rows now, so that their sources can be freed."""
        settled = []
        for at, turn, once in self._heap:
            try:
                row = once()
            except Exception:
                self.miss(at)
                continue
            settled.append((at, turn, _constant(row)))
        self._heap = settled
        heapq.heapify(self._heap)

    def forget(self, *, rows_before: float, counts_before: float) -> None:
        """Delete old samples, and older counts; the newest rows stay."""
        for place in [k for k in self._buckets if (k + 1) * self.bucket_seconds <= rows_before]:
            del self._buckets[place]
        for step in [k for k in self._counts if (k + 1) * self.count_seconds <= counts_before]:
            del self._counts[step]

    def since(self, start: float) -> WindowSample[Row]:
        """Return a sample of the rows from the start of the bucket that holds `start`."""
        first = self._place(start)
        buckets = {place: each for place, each in self._buckets.items() if place >= first}
        total = sum(each.count for each in buckets.values())
        shares = _proportional({k: v.count for k, v in buckets.items()}, self.reservoir)
        # Seeded by the bucket: two checks of an unchanged window draw the same rows.
        rows = [
            row
            for place in sorted(buckets)
            for row in random.Random(f"{self._seed} {place}").sample(
                buckets[place].sample, min(shares[place], len(buckets[place].sample))
            )
        ]
        unreadable = sum(each.unreadable for each in buckets.values())
        return WindowSample(rows, total, unreadable, first * self.bucket_seconds)

    def latest(self, *, since: float) -> WindowSample[Row]:
        """Return the newest rows, none from before `since`."""
        found = sorted((each for each in self._heap if each[0] >= since), key=lambda each: each[:2])
        rows = [once() for _, _, once in found]
        return WindowSample(rows, len(rows), 0, found[0][0] if found else since)

    def count(self, start: float, end: float) -> tuple[int, float, float]:
        """Return the number of rows from `start` to before `end`, rounded outwards to steps."""
        first, last = math.floor(start / self.count_seconds), math.ceil(end / self.count_seconds)
        total = sum(count for step, count in self._counts.items() if first <= step < last)
        return total, first * self.count_seconds, last * self.count_seconds

    def _place(self, at: float) -> int:
        return int(at // self.bucket_seconds)

    def _bucket(self, at: float) -> _Bucket[Row]:
        return self._buckets.setdefault(self._place(at), _Bucket())


def _constant(row: Any) -> Callable[[], Any]:
    return lambda: row


def _proportional(counts: dict[int, int], most: int) -> dict[int, int]:
    """Return `most` parts divided in proportion to the counts, by largest remainders."""
    total = sum(counts.values())
    if total <= most:
        return dict(counts)
    exact = {place: most * count / total for place, count in counts.items()}
    shares = {place: int(each) for place, each in exact.items()}
    left = most - sum(shares.values())
    for place in sorted(exact, key=lambda place: shares[place] - exact[place])[:left]:
        shares[place] += 1
    return shares

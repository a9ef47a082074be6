"""A fair sample of a stream of rows, in bounded memory, from which windows are drawn."""

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

Row = TypeVar("Row")


class Drawn(NamedTuple, Generic[Row]):
    rows: list[Row]
    total: int
    """Rows that were in the window."""
    unreadable: int
    since: float
    """Unix time from which they are."""


@dataclass
class _Bucket(Generic[Row]):
    count: int = 0
    unreadable: int = 0
    sample: list[Row] = field(default_factory=list)


class Strata(Generic[Row]):
    """Time in buckets, each with a reservoir of `reservoir` rows (Vitter's algorithm R, seeded),
    and apart from them the `newest` rows.

    Rows are also counted in steps of `count_seconds`, which go further back than samples do.

    A window of time is drawn from its buckets in proportion to how many rows each saw: at most
    `reservoir` rows, each row of the window as likely as any other. Its start is that of a bucket.
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
        # By time, the oldest first, since workers' segments are read one after another.
        self._heap: list[tuple[float, int, Callable[[], Row]]] = []
        self._turn = 0

    def add(self, at: float, read: Callable[[], Row]) -> None:
        """One row, answered at Unix time `at`; `read` is called once, if the row is drawn.

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
        """A row that cannot be read."""
        self._bucket(at).unreadable += 1

    def settle(self) -> None:
        """Read the newest rows now, so that what they were read from can go."""
        settled = []
        for at, turn, once in self._heap:
            try:
                row = once()
            except Exception:
                self.miss(at)
                continue
            settled.append((at, turn, _given(row)))
        self._heap = settled
        heapq.heapify(self._heap)

    def forget(self, *, rows_before: float, counts_before: float) -> None:
        """Samples go first, later their counts too; the newest rows stay."""
        for place in [k for k in self._buckets if (k + 1) * self.bucket_seconds <= rows_before]:
            del self._buckets[place]
        for step in [k for k in self._counts if (k + 1) * self.count_seconds <= counts_before]:
            del self._counts[step]

    def since(self, start: float) -> Drawn[Row]:
        """A sample of the rows from `start`, or a little before: from its bucket's start."""
        first = self._place(start)
        held = {place: each for place, each in self._buckets.items() if place >= first}
        total = sum(each.count for each in held.values())
        shares = _proportional({k: v.count for k, v in held.items()}, self.reservoir)
        # The same rows as long as the bucket stays as it is: a window that is looked at twice
        # must not differ by the luck of the draw.
        rows = [
            row
            for place in sorted(held)
            for row in random.Random(f"{self._seed} {place}").sample(
                held[place].sample, min(shares[place], len(held[place].sample))
            )
        ]
        unreadable = sum(each.unreadable for each in held.values())
        return Drawn(rows, total, unreadable, first * self.bucket_seconds)

    def latest(self, *, since: float) -> Drawn[Row]:
        """The newest rows, none from before `since`."""
        found = sorted((each for each in self._heap if each[0] >= since), key=lambda each: each[:2])
        rows = [once() for _, _, once in found]
        return Drawn(rows, len(rows), 0, found[0][0] if found else since)

    def count(self, start: float, end: float) -> tuple[int, float, float]:
        """How many rows from `start` to before `end`, which are moved apart to whole steps."""
        first, last = math.floor(start / self.count_seconds), math.ceil(end / self.count_seconds)
        total = sum(count for step, count in self._counts.items() if first <= step < last)
        return total, first * self.count_seconds, last * self.count_seconds

    def _place(self, at: float) -> int:
        return int(at // self.bucket_seconds)

    def _bucket(self, at: float) -> _Bucket[Row]:
        return self._buckets.setdefault(self._place(at), _Bucket())


def _given(row: Any) -> Callable[[], Any]:
    return lambda: row


def _proportional(counts: dict[int, int], most: int) -> dict[int, int]:
    """`most` parts dealt by count, by largest remainders; all of them when they are fewer."""
    total = sum(counts.values())
    if total <= most:
        return dict(counts)
    exact = {place: most * count / total for place, count in counts.items()}
    shares = {place: int(each) for place, each in exact.items()}
    left = most - sum(shares.values())
    for place in sorted(exact, key=lambda place: shares[place] - exact[place])[:left]:
        shares[place] += 1
    return shares

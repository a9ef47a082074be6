"""Shapley values of the parts of one record, such as the cells of a picture or words of a text.

Unlike `shapley.py`, which compares with many reference rows, it compares with one record in which
every part is absent. A call of such models is long, so the calls are bounded in rows and seconds,
and other requests can run between them: the functions are generators that yield after each call.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from slipway.contract.model import Model
from slipway.contract.record import Record
from slipway.explain.coalitions import Exact, Sampled, Shares, exact_rows
from slipway.explain.explanation import NotExplainable
from slipway.explain.scores import Score, find_score

# Twenty rounds of 192 rows for 49 parts: 0.6 s of a small network. On pictures of Fashion-MNIST the
# largest standard error is then a tenth of the largest value; four times as many would halve it.
MAX_ROWS = 4000
# An order, its reverse, and the same again: two pairs are the least that have a standard error.
PAIRS = 2
# A busy machine may be slower than it was at the first calls, but not without end.
OVERRUN = 4

Make = Callable[[np.ndarray], list[Record]]
"""Makes the records in which only the flagged parts (rows, n) are present."""


class TookTooLong(Exception):
    """Raised when an explanation that had begun exceeded its seconds by far."""


@dataclass(frozen=True)
class Budget:
    """The limits of one explanation; what is left out for time shows in the standard errors."""

    seconds: float
    rows: int = MAX_ROWS
    clock: Callable[[], float] = perf_counter


@dataclass
class Evaluations:
    """The predictions made for one explanation, counted and timed."""

    model: Model
    budget: Budget
    batch: int
    """Rows of one call."""
    rows: int = 0
    calls: int = 0
    row_seconds: float = field(init=False, default=0.0)
    """The time of a row, from the first calls."""

    def __post_init__(self) -> None:
        self._start = self.budget.clock()

    @property
    def spent(self) -> float:
        """The seconds since the beginning, the time of other requests between calls included."""
        return self.budget.clock() - self._start

    def ends(
        self, whole: Record, bare: Record
    ) -> Generator[None, None, tuple[Score, float, float]]:
        """Return the number to explain, and its worth with every part and with none.

        Raises:
            NotExplainable: the prediction has no such number.
        """
        before = self.spent
        [full] = self._predict([whole])
        score = find_score(self.model, full)
        yield
        # The first call allocates; the second one's time is that of those to come.
        middle = self.spent
        [empty] = self._predict([bare])
        self.row_seconds = min(middle - before, self.spent - middle)
        yield
        return score, self._number(score, full), self._number(score, empty)

    def affords(self, rows: float) -> bool:
        """Return whether so many more rows are within the budget, as far as can be known."""
        if self.rows + rows > self.budget.rows:
            return False
        return self.spent + rows * self.row_seconds <= self.budget.seconds

    def worths(self, score: Score, records: list[Record]) -> np.ndarray:
        """Return the numbers (rows,) in the predictions for the records of one call.

        Raises:
            TookTooLong: the budget is exceeded by far; the machine is busy.
        """
        if self.spent > OVERRUN * self.budget.seconds:
            raise TookTooLong(
                f"{self.rows} predictions took {self.spent:.0f} s of {self.budget.seconds:.0f} s"
            )
        return np.array([self._number(score, each) for each in self._predict(records)])

    def _predict(self, records: list[Record]) -> list[Record]:
        try:
            predictions = self.model.predict(records)
        except ValueError as error:
            name = type(self.model).__name__
            raise NotExplainable(f"{name} rejects a record without some parts: {error}") from error
        if len(predictions) != len(records):
            raise ValueError(
                f"{len(records)} records sent, {len(predictions)} predictions came back"
            )
        self.rows += len(records)
        self.calls += 1
        return predictions

    def _number(self, score: Score, prediction: Record) -> float:
        number = score.read(prediction)
        if not isinstance(number, int | float) or not np.isfinite(number):
            raise NotExplainable(
                f"{type(self.model).__name__} predicted {number!r} for {score.explained!r}, which "
                "is not a finite number"
            )
        return float(number)


def least_rows(parts: int) -> int:
    """Return the rows that so many parts take at least."""
    return int(min(exact_rows(np.array([parts]))[0], 2 * PAIRS * max(parts - 1, 0)))


def divide(
    parts: int,
    make: Make,
    evaluations: Evaluations,
    score: Score,
    *,
    empty: float,
    full: float,
    seed: int = 0,
) -> Generator[None, None, Shares]:
    """Return the share of each part in `full - empty`; they add up to it.

    All coalitions are evaluated if the budget allows it. Otherwise parts join in random orders,
    two pairs of an order and its reverse in each round, until the budget is spent; one round is
    made in any case.
    """
    if parts < 2:
        return Shares(np.full(parts, full - empty), np.zeros(parts))
    everything = exact_rows(np.array([parts]))[0]
    if evaluations.affords(everything):
        exact = Exact(parts)
        worths = yield from _evaluate(exact.coalitions, make, evaluations, score)
        return exact.shares(worths, empty=empty, full=full)
    rng = np.random.default_rng(seed)
    rounds: list[Shares] = []
    while not rounds or evaluations.affords(least_rows(parts)):
        sampled = Sampled.draw(parts, pairs=PAIRS, rng=rng)
        before, start = evaluations.spent, evaluations.rows
        worths = yield from _evaluate(sampled.coalitions, make, evaluations, score)
        rounds.append(sampled.shares(worths, empty=empty, full=full))
        evaluations.row_seconds = (evaluations.spent - before) / (evaluations.rows - start)
    values = np.mean([each.values for each in rounds], axis=0)
    variances = np.mean([each.variances for each in rounds], axis=0) / len(rounds)
    return Shares(values, variances)


def _evaluate(
    coalitions: np.ndarray, make: Make, evaluations: Evaluations, score: Score
) -> Generator[None, None, np.ndarray]:
    found = []
    for start in range(0, len(coalitions), evaluations.batch):
        records = make(coalitions[start : start + evaluations.batch])
        found.append(evaluations.worths(score, records))
        yield
    return np.concatenate(found)

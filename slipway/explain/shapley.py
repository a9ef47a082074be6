"""Shapley values of a prediction over the fields of its record, for any model."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress, islice
from typing import Any

import numpy as np

from slipway.contract.model import Model
from slipway.contract.record import Record
from slipway.explain.coalitions import Game, game, pairs_within
from slipway.explain.explanation import Explanation, NotExplainable

# A row of nine fields takes 8.5 microseconds, most of it to build and read records: 0.14 s in all.
MAX_ROWS = 16_000
# Records of at most this many fields are always exact: 2^8 - 2 = 254 rows per reference row.
EXACT_FIELDS = 8
# 100 pairs, so that ten fields (1,022 coalitions) are still exact where the rows allow it.
PERMUTATIONS = 200
# With batches of 2,000 rows garbage collection adds a quarter to the time.
BATCH = 250
# A row usually takes 0.1 ms, a recommender's 10 ms.
SECONDS = 5.0
TIMED_ROWS, TIMED_CALLS = 10, 5


@dataclass(frozen=True)
class _Comparison:
    """The record and one reference row: a game of the fields in which they differ."""

    reference: int
    fields: np.ndarray
    game: Game


class Shapley:
    """Explainer that divides the number `type(model).explained` among the fields of a record.

    The worth of a set of fields is the mean prediction where these are the record's and all others
    a reference row's (the interventional value: Janzing, Minorics and Bloebaum 2020, "Feature
    relevance quantification in explainable AI"). It is computed for each reference row separately;
    only the fields that differ are players. If their coalitions are few, all are evaluated; else
    random orders in pairs, as many as `max_rows` rows allow and at most `permutations`. The number
    of reference rows is limited so that each gets all coalitions of up to eight fields, or two
    pairs of orders of more fields. They come first in an order that `seed` alone decides, so fewer
    rows mean the first of the same reference rows.

    Raises:
        NotExplainable: the model names no number to explain, or there is no reference row.
        ValueError: `max_rows` is too few for the fields, or `permutations` is below 4.
    """

    def __init__(
        self,
        model: Model,
        reference: Sequence[Record],
        *,
        seed: int = 0,
        permutations: int = PERMUTATIONS,
        max_rows: int = MAX_ROWS,
    ) -> None:
        self._model = model
        self._explained = _explained(model)
        self._fields = tuple(model.input_type().model_fields)
        self._seed, self._max_rows = seed, max_rows
        if permutations < 4:
            raise ValueError(f"permutations must be 4 or more, two pairs, got {permutations}")
        self._most_pairs = permutations // 2
        if not reference:
            raise NotExplainable(
                f"{type(model).__name__} has no reference rows to compare with: register some"
            )
        used = reference_rows(reference, fields=len(self._fields), max_rows=max_rows, seed=seed)
        self._reference_values = self._predict(used)
        self._rows = [_values(row, self._fields) for row in used]
        self._templates = [without_cached(row) for row in used]

    @classmethod
    def within_seconds(
        cls,
        model: Model,
        reference: Sequence[Record],
        *,
        max_rows: int = MAX_ROWS,
        seconds: float = SECONDS,
    ) -> "Shapley":
        """Return an explainer whose explanations take about `seconds` at most.

        Only a slow model gets fewer rows, half of them or a quarter and so on, so that a busy
        moment changes nothing. The server and the dashboard explain by this one choice.
        """
        if not reference:
            return cls(model, reference)
        sample, fields = list(reference[:TIMED_ROWS]), len(model.input_type().model_fields)
        # The first call allocates. The fastest of the next ones shows how fast the model can be.
        model.predict(sample)
        spent = min(_seconds(model, sample) for _ in range(TIMED_CALLS)) / len(sample)
        while max_rows * spent > seconds and max_rows // 2 > _least_rows(fields):
            max_rows //= 2
        return cls(model, reference, max_rows=max_rows)

    def explain(self, record: Record) -> Explanation:
        """Explain one record; equal records get equal explanations.

        Raises:
            NotExplainable: a prediction has no finite number to divide.
        """
        own = _values(record, self._fields)
        differs = np.array(
            [[not _same(*pair) for pair in zip(own, row, strict=True)] for row in self._rows]
        )
        games = self._games(differs)
        predicted = self._predict(chain([record], self._mixtures(own, games)))
        value, worths = float(predicted[0]), predicted[1:]
        # Equal rows have equal predictions, but another batch size may change the last digit.
        empty = np.where(differs.any(axis=1), self._reference_values, value)
        shares = np.where(differs.sum(axis=1)[:, None] == 1, differs * (value - empty)[:, None], 0)
        variances = np.zeros(shares.shape)
        start = 0
        for each in games:
            stop = start + len(each.game.coalitions)
            found = each.game.shares(
                worths[start:stop], empty=float(empty[each.reference]), full=value
            )
            shares[each.reference, each.fields] = found.values
            variances[each.reference, each.fields] = found.variances
            start = stop
        return self._explanation(value, empty, shares, variances, evaluations=len(predicted))

    def _games(self, differs: np.ndarray) -> list[_Comparison]:
        """Return a game per reference row that differs from the record in two or more fields."""
        players = differs.sum(axis=1)
        pairs = pairs_within(self._max_rows - 1, players, most=self._most_pairs)
        rng = np.random.default_rng(self._seed)
        return [
            _Comparison(
                int(reference),
                np.flatnonzero(differs[reference]),
                game(int(players[reference]), pairs=pairs, rng=rng),
            )
            for reference in np.flatnonzero(players >= 2)
        ]

    def _mixtures(self, own: tuple[Any, ...], games: list[_Comparison]) -> Iterator[Record]:
        """Yield reference rows with some of the record's values.

        Each value is valid already, so the records are not validated again.
        """
        for each in games:
            copy = self._templates[each.reference].model_copy
            taken = [(self._fields[field], own[field]) for field in each.fields]
            for flags in each.game.coalitions.tolist():
                yield copy(update=dict(compress(taken, flags)))

    def _predict(self, records: Iterable[Record]) -> np.ndarray:
        """Return the explained number of each prediction, (rows,) float64."""
        numbers: list[float] = []
        waiting = iter(records)
        while sent := list(islice(waiting, BATCH)):
            predictions = self._model.predict(sent)
            if len(predictions) != len(sent):
                raise ValueError(
                    f"{len(sent)} records sent, {len(predictions)} predictions came back"
                )
            numbers += [getattr(each, self._explained) for each in predictions]
        for number in numbers:
            if not isinstance(number, int | float) or not math.isfinite(number):
                raise NotExplainable(
                    f"{type(self._model).__name__} predicted {number!r} for {self._explained!r}, "
                    "which is not a finite number"
                )
        return np.array(numbers, dtype=np.float64)

    def _explanation(
        self,
        value: float,
        empty: np.ndarray,
        shares: np.ndarray,
        variances: np.ndarray,
        *,
        evaluations: int,
    ) -> Explanation:
        mean = shares.mean(axis=0)
        error = np.sqrt(variances.sum(axis=0)) / len(shares)
        order = np.argsort(-np.abs(mean), kind="stable")
        return Explanation(
            explained=self._explained,
            base=float(empty.mean()),
            value=value,
            contributions={self._fields[place]: float(mean[place]) for place in order},
            standard_error={self._fields[place]: float(error[place]) for place in order},
            references=len(shares),
            evaluations=evaluations,
        )


def reference_rows(
    rows: Sequence[Record], *, fields: int, max_rows: int = MAX_ROWS, seed: int = 0
) -> list[Record]:
    """Return the rows that records of so many fields are compared with, in their order.

    As many as `max_rows` evaluations allow besides the record itself.

    Raises:
        ValueError: `max_rows` is too few for one row.
    """
    least = _least_rows(fields)
    affordable = (max_rows - 1) // least
    if affordable < 1:
        raise ValueError(
            f"max_rows must be at least {least + 1} for {fields} fields, got {max_rows}"
        )
    if affordable >= len(rows):
        return list(rows)
    order = np.random.default_rng(seed).permutation(len(rows))
    return [rows[place] for place in sorted(order[:affordable])]


def _least_rows(fields: int) -> int:
    """Return the evaluations that one reference row takes at least."""
    return max(2**fields - 2, 1) if fields <= EXACT_FIELDS else 4 * (fields - 1)


def _seconds(model: Model, records: list[Record]) -> float:
    start = time.perf_counter()
    model.predict(records)
    return time.perf_counter() - start


def _explained(model: Model) -> str:
    kind, output = type(model), model.output_type()
    if kind.explained is None:
        raise NotExplainable(
            f"{kind.__name__} names no number to explain: set `explained` to a field of its output"
        )
    if kind.explained not in output.model_fields:
        raise NotExplainable(
            f"{kind.__name__} explains {kind.explained!r}, but {output.__name__} has only "
            f"{', '.join(output.model_fields)}"
        )
    return kind.explained


def _values(record: Record, fields: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(getattr(record, field) for field in fields)


def _same(one: Any, other: Any) -> bool:
    """Return whether type and value are equal: a model may treat True and 1 differently."""
    return type(one) is type(other) and bool(one == other)


def without_cached(record: Record) -> Record:
    """Return a copy without cached properties, which a mixture must compute again."""
    copy = record.model_copy()
    for name in copy.__dict__.keys() - type(record).model_fields.keys():
        del copy.__dict__[name]
    return copy

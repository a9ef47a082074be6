"""Shapley values of a model's answer over the fields of its record, whatever the model."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress, islice
from typing import Any

import numpy as np

from slipway.contract.model import Model
from slipway.contract.record import Record
from slipway.explain.coalitions import Game, game, pairs_within
from slipway.explain.explanation import Explanation, NotExplainable

# A row of nine fields takes 8.5 microseconds, most of it records made and read: 0.14 s in all.
MAX_ROWS = 16_000
# Records of no more fields are always divided exactly: 2^8 - 2 = 254 rows a reference.
EXACT_FIELDS = 8
# Two make a pair, so that ten fields (1,022 coalitions) are still exact where the rows allow it.
PERMUTATIONS = 200
# With 2,000 rows at a time the garbage collector's passes over them add a quarter to the time.
BATCH = 250


@dataclass(frozen=True)
class _Comparison:
    """The record against one reference row: a game of the fields in which they differ."""

    reference: int
    fields: np.ndarray
    game: Game


class Shapley:
    """Divides the number named `type(model).explained` among the fields of a record.

    The worth of a set of fields is the mean answer where these are the record's and all others a
    reference row's (the interventional value: Janzing, Minorics and Bloebaum 2020, "Feature
    relevance quantification in explainable AI"). It is worked out against each reference row
    apart, where only fields that differ play: all their coalitions when these are few, else
    random orders, in pairs, as many as `max_rows` rows allow and at most `permutations`. Of the
    reference rows as many are used, drawn by `seed`, as leave each all coalitions of up to eight
    fields, or two pairs of orders of more.

    Raises:
        NotExplainable: the model names no number of its answer, or there is no reference row.
        ValueError: `max_rows` is too few for the fields, or `permutations` below 4.
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
                f"{type(model).__name__} has no reference rows to compare with: ship some"
            )
        used = self._drawn(reference)
        self._answers = self._answer(used)
        self._rows = [_values(row, self._fields) for row in used]
        self._templates = [_bare(row) for row in used]

    def _drawn(self, reference: Sequence[Record]) -> list[Record]:
        """As many as the rows suffice for, beside the record itself."""
        count = len(self._fields)
        least = max(2**count - 2, 1) if count <= EXACT_FIELDS else 4 * (count - 1)
        affordable = (self._max_rows - 1) // least
        if affordable < 1:
            raise ValueError(
                f"max_rows must be at least {least + 1} for {count} fields, got {self._max_rows}"
            )
        if affordable >= len(reference):
            return list(reference)
        rng = np.random.default_rng(self._seed)
        chosen = rng.choice(len(reference), affordable, replace=False)
        return [reference[place] for place in sorted(chosen)]

    def explain(self, record: Record) -> Explanation:
        """Equal records get equal explanations.

        Raises:
            NotExplainable: an answer has no finite number to divide.
        """
        own = _values(record, self._fields)
        differs = np.array(
            [[not _same(*pair) for pair in zip(own, row, strict=True)] for row in self._rows]
        )
        games = self._games(differs)
        answers = self._answer(chain([record], self._mixtures(own, games)))
        value, worths = float(answers[0]), answers[1:]
        # Equal rows have equal answers; in another batch the graph may round the last digit.
        empty = np.where(differs.any(axis=1), self._answers, value)
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
        return self._explanation(value, empty, shares, variances, evaluations=len(answers))

    def _games(self, differs: np.ndarray) -> list[_Comparison]:
        """One for each reference row from which the record differs in two fields or more."""
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
        """Reference rows with some of the record's values; valid field by field, so not again."""
        for each in games:
            copy = self._templates[each.reference].model_copy
            taken = [(self._fields[field], own[field]) for field in each.fields]
            for flags in each.game.coalitions.tolist():
                yield copy(update=dict(compress(taken, flags)))

    def _answer(self, records: Iterable[Record]) -> np.ndarray:
        """The number explained, of each record: (rows,) float64."""
        numbers: list[float] = []
        waiting = iter(records)
        while sent := list(islice(waiting, BATCH)):
            answers = self._model.predict(sent)
            if len(answers) != len(sent):
                raise ValueError(f"{len(sent)} records sent, {len(answers)} answers came back")
            numbers += [getattr(answer, self._explained) for answer in answers]
        for number in numbers:
            if not isinstance(number, int | float) or not math.isfinite(number):
                raise NotExplainable(
                    f"{type(self._model).__name__} answered {number!r} for {self._explained!r}, "
                    "which is no finite number"
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


def _explained(model: Model) -> str:
    kind, told = type(model), model.output_type()
    if kind.explained is None:
        raise NotExplainable(
            f"{kind.__name__} names nothing to explain: set `explained` to a number of its answer"
        )
    if kind.explained not in told.model_fields:
        raise NotExplainable(
            f"{kind.__name__} explains {kind.explained!r}, but {told.__name__} has only "
            f"{', '.join(told.model_fields)}"
        )
    return kind.explained


def _values(record: Record, fields: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(getattr(record, field) for field in fields)


def _same(one: Any, other: Any) -> bool:
    """True and 1 are equal, yet a model may tell them apart."""
    return type(one) is type(other) and bool(one == other)


def _bare(record: Record) -> Record:
    """A copy without what the record worked out of its fields, which a mixture must redo."""
    copy = record.model_copy()
    for name in copy.__dict__.keys() - type(record).model_fields.keys():
        del copy.__dict__[name]
    return copy

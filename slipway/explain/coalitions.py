"""Cooperative games: the coalitions to evaluate, and the Shapley value of each player.

A coalition is a row of flags, one per player. The worths of the empty and the full coalition are
known beforehand; only those between are evaluated. `n` is the number of players, 2 or more.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

# The weights of all coalitions take 8 n 2^n bytes: 1.8 MB at 14.
MOST_EXACT = 14


@dataclass(frozen=True)
class Shares:
    """The value of each player (n,), and its variance from sampling orders."""

    values: np.ndarray
    variances: np.ndarray


class Game(Protocol):
    """The coalitions to evaluate, and the shares that follow from their worths."""

    @property
    def coalitions(self) -> np.ndarray:
        """The coalitions as flags (rows, n), without the empty and the full one."""

    def shares(self, worths: np.ndarray, *, empty: float, full: float) -> Shares:
        """Return the shares from the worth of each coalition in order (rows,).

        They add up to `full - empty`.
        """


@lru_cache(maxsize=MOST_EXACT + 1)
def _all_coalitions(n: int) -> np.ndarray:
    """Return all coalitions as flags (2^n, n), the empty one first, the full one last."""
    flags: np.ndarray = (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1
    return flags


@lru_cache(maxsize=MOST_EXACT + 1)
def _exact_weights(n: int) -> np.ndarray:
    """Return weights (2^n, n): a player's share is the worths of all coalitions times its column.

    The weight is s! (n - s - 1)! / n! for a player that joins s others: Shapley (1953).
    """
    joining = [1 / (n * math.comb(n - 1, size)) for size in range(n)]
    after, before = np.array([0.0, *joining]), np.array([*joining, 0.0])
    flags = _all_coalitions(n)
    sizes = flags.sum(axis=1)[:, None]
    weights: np.ndarray = np.where(flags, after[sizes], -before[sizes])
    return weights


@dataclass(frozen=True)
class Exact:
    """All coalitions of at most 14 players, without sampling error."""

    n: int

    @property
    def coalitions(self) -> np.ndarray:
        return _all_coalitions(self.n)[1:-1]

    def shares(self, worths: np.ndarray, *, empty: float, full: float) -> Shares:
        # Gains over the empty coalition keep the rounding small beside a large worth.
        gains = np.concatenate([[0.0], worths - empty, [full - empty]])
        return Shares(gains @ _exact_weights(self.n), np.zeros(self.n))


@dataclass(frozen=True)
class Sampled:
    """Coalitions of players that join in random orders, each followed by its reverse.

    Castro, Gomez and Tejada (2009), "Polynomial calculation of the Shapley value based on
    sampling"; reversed orders: Mitchell, Cooper, Frank and Holmes (2022), "Sampling permutations
    for Shapley value estimation". Every order distributes the whole gain, so the shares add
    up with any number of orders. `places` (pairs, n), two pairs or more, holds when each player
    joins in the first order of a pair.
    """

    places: np.ndarray

    @classmethod
    def draw(cls, n: int, *, pairs: int, rng: np.random.Generator) -> "Sampled":
        return cls(rng.permuted(np.tile(np.arange(n), (pairs, 1)), axis=1))

    @property
    def coalitions(self) -> np.ndarray:
        """The coalitions of the orders, then those of the reversed orders: the complements."""
        pairs, n = self.places.shape
        joined = self.places[:, None, :] < np.arange(1, n)[:, None]
        flat = joined.reshape(pairs * (n - 1), n)
        return np.concatenate([flat, ~flat])

    def shares(self, worths: np.ndarray, *, empty: float, full: float) -> Shares:
        pairs, n = self.places.shape
        inner = worths.reshape(2, pairs, n - 1)
        with_first = np.empty((pairs, n + 1))
        without_first = np.empty((pairs, n + 1))
        with_first[:, 0], with_first[:, 1:-1], with_first[:, -1] = empty, inner[0], full
        without_first[:, 0], without_first[:, 1:-1], without_first[:, -1] = full, inner[1], empty
        # The mean of a player's gains in an order and its reverse, by the place at which it joins.
        gains = np.diff((with_first - without_first) / 2, axis=1)
        by_player = np.take_along_axis(gains, self.places, axis=1)
        return Shares(by_player.mean(axis=0), by_player.var(axis=0, ddof=1) / pairs)


def exact_rows(n: np.ndarray) -> np.ndarray:
    """Return the number of coalitions to evaluate for each number of players; inf beyond 14."""
    rows = np.full(n.shape, np.inf)
    few = n <= MOST_EXACT
    rows[few] = np.maximum(np.exp2(n[few]) - 2, 0)
    return rows


def sampled_rows(n: np.ndarray, pairs: int) -> np.ndarray:
    """Return the number of rows that so many pairs of orders take for each number of players."""
    rows: np.ndarray = 2.0 * pairs * np.maximum(n - 1, 0)
    return rows


def pairs_within(budget: int, n: np.ndarray, *, most: int) -> int:
    """Return the largest number of pairs of orders, 2 to `most`, within the budget of rows.

    `n` (games,) holds the players of each game. A game whose coalitions all together are no more
    rows counts with these.
    """
    exact = exact_rows(n)
    low, high = 2, most
    while low < high:
        middle = (low + high + 1) // 2
        fits = np.minimum(exact, sampled_rows(n, middle)).sum() <= budget
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def game(n: int, *, pairs: int, rng: np.random.Generator) -> Game:
    """Return an exact game if it takes no more rows than the pairs of orders, else a sampled."""
    players = np.array([n])
    if exact_rows(players)[0] <= sampled_rows(players, pairs)[0]:
        return Exact(n)
    return Sampled.draw(n, pairs=pairs, rng=rng)

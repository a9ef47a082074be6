"""Gradient boosting of decision trees over histograms, in NumPy alone.

Friedman (2001) for the boosting and the leaves of the absolute and Huber losses, Friedman (2002)
for subsampling, Chen and Guestrin (2016) for second-order gains and the missing values' own way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

MISSING = 255
"""The bin of what is unknown; numbers have bins 0 to 254."""


class Loss(Protocol):
    """What is minimized over the scores (rows,) that the trees add up to."""

    def start(self, truths: np.ndarray) -> float:
        """The best score that is the same for all."""

    def derivatives(self, truths: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and second by the score, (rows,) each."""

    def leaf(self, rest: np.ndarray) -> float | None:
        """The best step for rows with `rest` = truth - score; None: a Newton step is as good."""
        return None

    def mean(self, truths: np.ndarray, scores: np.ndarray) -> float:
        """The loss itself, averaged over rows."""


class Squared(Loss):
    def start(self, truths: np.ndarray) -> float:
        return float(truths.mean())

    def derivatives(self, truths: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return scores - truths, np.ones_like(scores)

    def mean(self, truths: np.ndarray, scores: np.ndarray) -> float:
        return float(np.mean((truths - scores) ** 2) / 2)


class Absolute(Loss):
    """Its second derivative is 0, so trees are grown by counts and leaves take the median."""

    def start(self, truths: np.ndarray) -> float:
        return float(np.median(truths))

    def derivatives(self, truths: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sign(scores - truths), np.ones_like(scores)

    def leaf(self, rest: np.ndarray) -> float | None:
        return float(np.median(rest))

    def mean(self, truths: np.ndarray, scores: np.ndarray) -> float:
        return float(np.mean(np.abs(truths - scores)))


@dataclass
class Huber(Loss):
    """Squared up to the `share` quantile of the distances, absolute beyond it."""

    share: float = 0.9
    border: float = field(default=1.0, init=False)

    def start(self, truths: np.ndarray) -> float:
        return float(np.median(truths))

    def derivatives(self, truths: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rest = truths - scores
        self.border = float(np.quantile(np.abs(rest), self.share))
        return -np.clip(rest, -self.border, self.border), np.ones_like(scores)

    def leaf(self, rest: np.ndarray) -> float | None:
        middle = np.median(rest)
        return float(middle + np.clip(rest - middle, -self.border, self.border).mean())

    def mean(self, truths: np.ndarray, scores: np.ndarray) -> float:
        far = np.abs(truths - scores)
        near = np.minimum(far, self.border)
        return float(np.mean(near * (far - near / 2)))


class LogLoss(Loss):
    """Of truths 0 and 1; scores are log odds."""

    def start(self, truths: np.ndarray) -> float:
        share = float(truths.mean())
        return float(np.log(share / (1 - share)))

    def derivatives(self, truths: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        likely = 1 / (1 + np.exp(-scores))
        return likely - truths, np.maximum(likely * (1 - likely), 1e-9)

    def mean(self, truths: np.ndarray, scores: np.ndarray) -> float:
        return float(np.mean(np.logaddexp(0, scores) - truths * scores))


@dataclass(frozen=True)
class Bins:
    """Borders a column, at quantiles of the training rows, float32 as the served graph compares."""

    borders: list[np.ndarray]

    @classmethod
    def learnt(cls, columns: np.ndarray) -> "Bins":
        """At most 255 bins; a column of fewer different values has one for each."""
        shares = np.linspace(0, 1, MISSING + 1)[1:-1]
        borders = []
        for column in columns.T:
            known = column[~np.isnan(column)]
            values = np.unique(known)
            between = (values[:-1] + values[1:]) / 2
            if len(values) > MISSING:
                between = np.unique(np.quantile(known, shares, method="lower"))
            borders.append(between.astype(np.float32))
        return cls(borders)

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        """Bins (rows, columns): in bin b or below is what is not above border b."""
        found = np.empty(columns.shape, dtype=np.int64)
        for place, borders in enumerate(self.borders):
            found[:, place] = np.searchsorted(borders, columns[:, place], side="left")
        return np.where(np.isnan(columns), MISSING, found)


class Tree(NamedTuple):
    """Nodes (nodes,) in the order in which they were made; a leaf's column is -1.

    A row goes left where its bin is at or below the node's (its value at or below the border).
    """

    column: np.ndarray
    bin: np.ndarray
    missing_left: np.ndarray
    left: np.ndarray
    """The right child follows the left one."""
    value: np.ndarray

    @classmethod
    def joined(cls, parts: "Sequence[Tree]") -> "Tree":
        """Their nodes, one after another."""
        return cls(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def below(self, bins: np.ndarray, rows: np.ndarray, node: np.ndarray) -> np.ndarray:
        """To which child each of `rows` goes from its inner `node` (rows,)."""
        found = bins[rows, self.column[node]]
        goes = np.where(found == MISSING, self.missing_left[node], found <= self.bin[node])
        return np.asarray(self.left[node] + ~goes)

    def leaves(self, bins: np.ndarray) -> np.ndarray:
        """The leaf of each row (rows,)."""
        node = np.zeros(len(bins), dtype=np.int64)
        while (inner := np.flatnonzero(self.column[node] >= 0)).size:
            node[inner] = self.below(bins, inner, node[inner])
        return node


@dataclass(frozen=True)
class Limits:
    """What keeps a tree from learning rows by heart."""

    max_depth: int = 6
    min_samples: int = 20
    l2: float = 1.0
    min_gain: float = 0.0


def grown(
    bins: np.ndarray, first: np.ndarray, second: np.ndarray, counted: np.ndarray, limits: Limits
) -> Tree:
    """A tree of Newton steps, level by level; rows that are not `counted` do not count."""
    rows, columns = bins.shape
    width = MISSING + 1
    size, flat = columns * width, bins + np.arange(columns) * width
    weights = [each * counted for each in (first, second, np.ones(rows))]
    levels: list[Tree] = []
    begin, count, node = 0, 1, np.zeros(rows, dtype=np.int64)
    while count:
        inside = np.flatnonzero(node >= begin)
        at, cells = node[inside] - begin, count * size
        places = ((at * size)[:, None] + flat[inside]).ravel()
        found = [np.bincount(places, np.repeat(each[inside], columns), cells) for each in weights]
        sums = np.reshape(found, (len(weights), count, columns, width))
        totals = sums[:, :, 0].sum(axis=-1)
        column = np.full(count, -1)
        border, missing_left = np.zeros_like(column), np.zeros_like(column, dtype=bool)
        if len(levels) < limits.max_depth:
            column, border, missing_left = best_splits(sums, totals, limits)
        splits = column >= 0
        left = np.where(splits, begin + count + 2 * (np.cumsum(splits) - 1), -1)
        value = -totals[0] / (totals[1] + limits.l2)
        levels.append(Tree(column, border, missing_left, left, value))
        moves = splits[at]
        node[inside[moves]] = levels[-1].below(bins, inside[moves], at[moves])
        begin, count = begin + count, 2 * int(splits.sum())
    return Tree.joined(levels)


def best_splits(
    sums: np.ndarray, totals: np.ndarray, limits: Limits
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column (-1 where no gain is enough), bin and whether the missing go left, (nodes,) each.

    `sums` (3, nodes, columns, 256) are first and second derivatives and counts, by bin; `totals`
    (3, nodes) over all bins. The gain is that of Chen and Guestrin (2016), without its half.
    """

    def gained(sums: np.ndarray) -> np.ndarray:
        """By the best step, twice: from first and second derivatives, the leading axis."""
        return np.asarray(sums[0] ** 2 / np.maximum(sums[1] + limits.l2, 1e-12))

    known = np.cumsum(sums[..., :MISSING], axis=-1)[..., :-1]
    everything = totals[:, :, None, None]
    nodes, found = np.arange(sums.shape[1]), []
    for left in (known + sums[..., MISSING:], known):
        right = everything - left
        gain = gained(left) + gained(right) - gained(everything)
        enough = np.minimum(left[2], right[2]) >= limits.min_samples
        found.append(np.where(enough, gain, -np.inf).reshape(len(nodes), -1))
    gains = np.maximum(*found)
    place = gains.argmax(axis=1)
    column, border = np.divmod(place, MISSING - 1)
    splits = gains[nodes, place] > limits.min_gain
    missing_left = (found[0] > found[1])[nodes, place]
    return np.where(splits, column, -1), border * splits, missing_left & splits


@dataclass
class Boosting:
    """Scores are `start` plus `learning_rate` times what each tree says."""

    loss: Loss
    trees: int
    learning_rate: float = 0.1
    subsample: float = 1.0
    limits: Limits = Limits()
    seed: int = 0

    def fit(
        self,
        columns: np.ndarray,
        truths: np.ndarray,
        watched: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> "Boosting":
        """Learn from float32 columns (rows, columns), not-a-number where unknown.

        `watched` are columns and truths whose mean loss after each tree is kept in `losses`.
        """
        rng = np.random.default_rng(self.seed)
        self.bins, self.start = Bins.learnt(columns), self.loss.start(truths)
        self.grown: list[Tree] = []
        self.losses: list[float] = []
        bins, scores = self.bins(columns), np.full(len(truths), self.start)
        if watched is not None:
            seen, told = self.bins(watched[0]), np.full(len(watched[1]), self.start)
        for _ in range(self.trees):
            counted = rng.random(len(truths)) < self.subsample
            tree = grown(bins, *self.loss.derivatives(truths, scores), counted, self.limits)
            leaves = tree.leaves(bins)
            self.refine(tree, leaves[counted], (truths - scores)[counted])
            scores += self.learning_rate * tree.value[leaves]
            self.grown.append(tree)
            if watched is not None:
                told += self.learning_rate * tree.value[tree.leaves(seen)]
                self.losses.append(self.loss.mean(watched[1], told))
        return self

    def refine(self, tree: Tree, leaves: np.ndarray, rest: np.ndarray) -> None:
        """Put the loss's own best step into each leaf, where a Newton step is not it."""
        for leaf in np.unique(leaves):
            step = self.loss.leaf(rest[leaves == leaf])
            if step is None:
                return
            tree.value[leaf] = step

    def predict(self, columns: np.ndarray) -> np.ndarray:
        """Scores (rows,): for log-loss the log odds."""
        bins = self.bins(columns)
        steps = [tree.value[tree.leaves(bins)] for tree in self.grown]
        return np.asarray(self.start + self.learning_rate * np.sum(steps, axis=0))

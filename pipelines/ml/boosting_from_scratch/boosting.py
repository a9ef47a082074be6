"""Gradient boosting of decision trees over histograms, in NumPy alone.

Friedman (2001) for the boosting and the leaves of the absolute and Huber losses, Friedman (2002)
for subsampling, Chen and Guestrin (2016) for second-order gains and the side of missing values.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

MISSING = 255
"""The bin of missing values; numbers have bins 0 to 254."""


class Loss(Protocol):
    """A loss to minimize over the scores (rows,), the sum of what the trees add."""

    def start(self, y_true: np.ndarray) -> float:
        """Return the best constant score."""

    def derivatives(self, y_true: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the first and second derivatives by the score, (rows,) each."""

    def leaf(self, rest: np.ndarray) -> float | None:
        """Return the best step for rows with residuals `rest`; None for a Newton step."""
        return None

    def mean(self, y_true: np.ndarray, scores: np.ndarray) -> float:
        """Return the loss, averaged over rows."""


class Squared(Loss):
    """Half the squared error."""

    def start(self, y_true: np.ndarray) -> float:
        return float(y_true.mean())

    def derivatives(self, y_true: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return scores - y_true, np.ones_like(scores)

    def mean(self, y_true: np.ndarray, scores: np.ndarray) -> float:
        return float(np.mean((y_true - scores) ** 2) / 2)


class Absolute(Loss):
    """The absolute error; its second derivative is 0: trees count rows and leaves use medians."""

    def start(self, y_true: np.ndarray) -> float:
        return float(np.median(y_true))

    def derivatives(self, y_true: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sign(scores - y_true), np.ones_like(scores)

    def leaf(self, rest: np.ndarray) -> float | None:
        return float(np.median(rest))

    def mean(self, y_true: np.ndarray, scores: np.ndarray) -> float:
        return float(np.mean(np.abs(y_true - scores)))


@dataclass
class Huber(Loss):
    """The squared error up to the `share` quantile of the distances, absolute beyond it."""

    share: float = 0.9
    border: float = field(default=1.0, init=False)

    def start(self, y_true: np.ndarray) -> float:
        return float(np.median(y_true))

    def derivatives(self, y_true: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rest = y_true - scores
        self.border = float(np.quantile(np.abs(rest), self.share))
        return -np.clip(rest, -self.border, self.border), np.ones_like(scores)

    def leaf(self, rest: np.ndarray) -> float | None:
        middle = np.median(rest)
        return float(middle + np.clip(rest - middle, -self.border, self.border).mean())

    def mean(self, y_true: np.ndarray, scores: np.ndarray) -> float:
        far = np.abs(y_true - scores)
        near = np.minimum(far, self.border)
        return float(np.mean(near * (far - near / 2)))


class LogLoss(Loss):
    """The log-loss for labels 0 and 1; scores are log odds."""

    def start(self, y_true: np.ndarray) -> float:
        share = float(y_true.mean())
        return float(np.log(share / (1 - share)))

    def derivatives(self, y_true: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        likely = 1 / (1 + np.exp(-scores))
        return likely - y_true, np.maximum(likely * (1 - likely), 1e-9)

    def mean(self, y_true: np.ndarray, scores: np.ndarray) -> float:
        return float(np.mean(np.logaddexp(0, scores) - y_true * scores))


@dataclass(frozen=True)
class Bins:
    """Bin borders of each column, in float32, as which the served graph compares them."""

    borders: list[np.ndarray]

    @classmethod
    def fit(cls, columns: np.ndarray) -> "Bins":
        """Return at most 255 quantile bins per column, or one per value if there are fewer."""
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
        """Return the bins (rows, columns) of values; a value at border b is in bin b."""
        bins = np.empty(columns.shape, dtype=np.int64)
        for place, borders in enumerate(self.borders):
            bins[:, place] = np.searchsorted(borders, columns[:, place], side="left")
        return np.where(np.isnan(columns), MISSING, bins)


class Tree(NamedTuple):
    """The nodes (nodes,) of a tree, level by level; the column of a leaf is -1.

    A row goes left if its bin is at or below the node's (its value at or below the border).
    """

    column: np.ndarray
    bin: np.ndarray
    missing_left: np.ndarray
    left: np.ndarray
    """The right child follows the left one."""
    value: np.ndarray

    @classmethod
    def concatenate(cls, parts: "Sequence[Tree]") -> "Tree":
        """Return the nodes of all parts, one part after another."""
        return cls(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def below(self, bins: np.ndarray, rows: np.ndarray, node: np.ndarray) -> np.ndarray:
        """Return the child to which each of `rows` goes from its inner `node` (rows,)."""
        values = bins[rows, self.column[node]]
        goes_left = np.where(values == MISSING, self.missing_left[node], values <= self.bin[node])
        return np.asarray(self.left[node] + ~goes_left)

    def leaves(self, bins: np.ndarray) -> np.ndarray:
        """Return the leaf of each row (rows,)."""
        node = np.zeros(len(bins), dtype=np.int64)
        while (inner := np.flatnonzero(self.column[node] >= 0)).size:
            node[inner] = self.below(bins, inner, node[inner])
        return node


@dataclass(frozen=True)
class Limits:
    """Limits that keep a tree from overfitting."""

    max_depth: int = 6
    min_samples: int = 20
    l2: float = 1.0
    min_gain: float = 0.0


def grow(
    bins: np.ndarray, first: np.ndarray, second: np.ndarray, sampled: np.ndarray, limits: Limits
) -> Tree:
    """Grow a tree of Newton steps level by level on the `sampled` rows."""
    rows, columns = bins.shape
    width = MISSING + 1
    size, flat = columns * width, bins + np.arange(columns) * width
    weights = [each * sampled for each in (first, second, np.ones(rows))]
    levels: list[Tree] = []
    begin, count, node = 0, 1, np.zeros(rows, dtype=np.int64)
    while count:
        inside = np.flatnonzero(node >= begin)
        at, cells = node[inside] - begin, count * size
        places = ((at * size)[:, None] + flat[inside]).ravel()
        counts = [np.bincount(places, np.repeat(each[inside], columns), cells) for each in weights]
        sums = np.reshape(counts, (len(weights), count, columns, width))
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
    return Tree.concatenate(levels)


def best_splits(
    sums: np.ndarray, totals: np.ndarray, limits: Limits
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each node's best split: column, bin and whether missing values go left (nodes,).

    The column is -1 if no gain is high enough. `sums` (3, nodes, columns, 256) are first and second
    derivatives and counts by bin, and `totals` (3, nodes) the same over all bins. The gain is that
    of Chen and Guestrin (2016), without the factor of one half.
    """

    def gain_of(sums: np.ndarray) -> np.ndarray:
        """Return twice the gain of the best step, from derivatives along the leading axis."""
        return np.asarray(sums[0] ** 2 / np.maximum(sums[1] + limits.l2, 1e-12))

    known = np.cumsum(sums[..., :MISSING], axis=-1)[..., :-1]
    everything = totals[:, :, None, None]
    nodes, by_side = np.arange(sums.shape[1]), []
    for left in (known + sums[..., MISSING:], known):
        right = everything - left
        gain = gain_of(left) + gain_of(right) - gain_of(everything)
        enough = np.minimum(left[2], right[2]) >= limits.min_samples
        by_side.append(np.where(enough, gain, -np.inf).reshape(len(nodes), -1))
    gains = np.maximum(*by_side)
    place = gains.argmax(axis=1)
    column, border = np.divmod(place, MISSING - 1)
    splits = gains[nodes, place] > limits.min_gain
    missing_left = (by_side[0] > by_side[1])[nodes, place]
    return np.where(splits, column, -1), border * splits, missing_left & splits


@dataclass
class Boosting:
    """A boosted ensemble; scores are `start` plus `learning_rate` times each tree's value."""

    loss: Loss
    trees: int
    learning_rate: float = 0.1
    subsample: float = 1.0
    limits: Limits = Limits()
    seed: int = 0

    def fit(
        self,
        columns: np.ndarray,
        y_true: np.ndarray,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> "Boosting":
        """Learn from float32 columns (rows, columns), NaN where unknown.

        `validation` holds columns and labels; their mean loss after each tree is kept in `losses`.
        """
        rng = np.random.default_rng(self.seed)
        self.bins, self.start = Bins.fit(columns), self.loss.start(y_true)
        self.grown: list[Tree] = []
        self.losses: list[float] = []
        bins, scores = self.bins(columns), np.full(len(y_true), self.start)
        if validation is not None:
            held = self.bins(validation[0])
            held_scores = np.full(len(validation[1]), self.start)
        for _ in range(self.trees):
            sampled = rng.random(len(y_true)) < self.subsample
            tree = grow(bins, *self.loss.derivatives(y_true, scores), sampled, self.limits)
            leaves = tree.leaves(bins)
            self.refine(tree, leaves[sampled], (y_true - scores)[sampled])
            scores += self.learning_rate * tree.value[leaves]
            self.grown.append(tree)
            if validation is not None:
                held_scores += self.learning_rate * tree.value[tree.leaves(held)]
                self.losses.append(self.loss.mean(validation[1], held_scores))
        return self

    def refine(self, tree: Tree, leaves: np.ndarray, rest: np.ndarray) -> None:
        """Replace the value of each leaf by the loss's own best step, if it defines one."""
        for leaf in np.unique(leaves):
            step = self.loss.leaf(rest[leaves == leaf])
            if step is None:
                return
            tree.value[leaf] = step

    def predict(self, columns: np.ndarray) -> np.ndarray:
        """Return scores (rows,), which are log odds for the log-loss."""
        bins = self.bins(columns)
        steps = [tree.value[tree.leaves(bins)] for tree in self.grown]
        return np.asarray(self.start + self.learning_rate * np.sum(steps, axis=0))

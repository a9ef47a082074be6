"""Gradient boosting of decision trees over histograms, in NumPy alone.

Friedman (2001) for the boosting and the leaves of the absolute and Huber losses, Friedman (2002)
for subsampling, Chen and Guestrin (2016) for second-order gains and the missing values' own way.
"""

from dataclasses import dataclass, field
from typing import Protocol

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

    def mean(self, truths: np.ndarray, scores: np.ndarray) -> float:
        """The loss itself, averaged over rows."""


class Squared:
    def start(self, truths: np.ndarray) -> float:
        return float(truths.mean())

    def derivatives(self, truths: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return scores - truths, np.ones_like(scores)

    def leaf(self, rest: np.ndarray) -> float | None:
        return None

    def mean(self, truths: np.ndarray, scores: np.ndarray) -> float:
        return float(np.mean((truths - scores) ** 2) / 2)


class Absolute:
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
class Huber:
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


class LogLoss:
    """Of truths 0 and 1; scores are log odds."""

    def start(self, truths: np.ndarray) -> float:
        share = float(truths.mean())
        return float(np.log(share / (1 - share)))

    def derivatives(self, truths: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        likely = 1 / (1 + np.exp(-scores))
        return likely - truths, np.maximum(likely * (1 - likely), 1e-9)

    def leaf(self, rest: np.ndarray) -> float | None:
        return None

    def mean(self, truths: np.ndarray, scores: np.ndarray) -> float:
        return float(np.mean(np.logaddexp(0, scores) - truths * scores))


@dataclass(frozen=True)
class Bins:
    """Borders a column, at quantiles of the training rows, float32 as the served graph compares."""

    borders: list[np.ndarray]

    @classmethod
    def learnt(cls, columns: np.ndarray, most: int = MISSING) -> "Bins":
        """At most `most` bins; a column of fewer different values has one for each."""
        return cls([cls._borders(column[~np.isnan(column)], most) for column in columns.T])

    @staticmethod
    def _borders(known: np.ndarray, most: int) -> np.ndarray:
        values = np.unique(known)
        if len(values) > most:
            shares = np.linspace(0, 1, most + 1)[1:-1]
            return np.unique(np.quantile(known, shares, method="lower")).astype(np.float32)
        return np.asarray((values[:-1] + values[1:]) / 2, dtype=np.float32)

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        """Bins (rows, columns): in bin b or below is what is not above border b."""
        found = np.empty(columns.shape, dtype=np.int64)
        for place, borders in enumerate(self.borders):
            column = columns[:, place]
            bins = np.searchsorted(borders, column, side="left")
            found[:, place] = np.where(np.isnan(column), MISSING, bins)
        return found


@dataclass(frozen=True)
class Tree:
    """Nodes in the order in which they were made; a leaf's column is -1.

    A row goes left where its bin is at or below the node's (its value at or below the border).
    """

    column: np.ndarray
    bin: np.ndarray
    missing_left: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray

    def leaves(self, bins: np.ndarray) -> np.ndarray:
        """The leaf of each row (rows,)."""
        node = np.zeros(len(bins), dtype=np.int64)
        while (inner := np.flatnonzero(self.column[node] >= 0)).size:
            here = node[inner]
            found = bins[inner, self.column[here]]
            goes = np.where(found == MISSING, self.missing_left[here], found <= self.bin[here])
            node[inner] = np.where(goes, self.left[here], self.right[here])
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
    flat = bins + np.arange(columns) * width
    weights = [each * counted for each in (first, second, np.ones(rows))]
    nodes: dict[str, list[float]] = {name: [] for name in Tree.__annotations__}

    def add(count: int) -> range:
        begin = len(nodes["value"])
        for name, default in (("column", -1), ("left", -1), ("right", -1)):
            nodes[name] += [default] * count
        for name in ("bin", "missing_left", "value"):
            nodes[name] += [0] * count
        return range(begin, begin + count)

    level, node = add(1), np.zeros(rows, dtype=np.int64)
    for depth in range(limits.max_depth + 1):
        inside = np.flatnonzero(node >= level.start)
        places = ((node[inside] - level.start) * columns * width)[:, None] + flat[inside]
        shape = (len(level), columns, width)
        sums = np.stack(
            [
                np.bincount(
                    places.ravel(),
                    weights=np.repeat(each[inside], columns),
                    minlength=int(np.prod(shape)),
                ).reshape(shape)
                for each in weights
            ]
        )
        totals = sums[:, :, 0].sum(axis=-1)
        for index, number in enumerate(level):
            nodes["value"][number] = -totals[0, index] / (totals[1, index] + limits.l2)
        if depth == limits.max_depth:
            break
        gain, column, border, missing_left = best_splits(sums, totals, limits)
        splitting = np.flatnonzero(gain > limits.min_gain)
        if not len(splitting):
            break
        children = add(2 * len(splitting))
        for order, place in enumerate(splitting):
            number = level[place]
            nodes["column"][number], nodes["bin"][number] = column[place], border[place]
            nodes["missing_left"][number] = missing_left[place]
            nodes["left"][number] = children[2 * order]
            nodes["right"][number] = children[2 * order + 1]
        child = np.full(len(level), -1)
        child[splitting] = children[::2]
        at = node[inside] - level.start
        found = bins[inside, column[at]]
        goes = np.where(found == MISSING, missing_left[at], found <= border[at])
        moves = child[at] >= 0
        node[inside[moves]] = (child[at] + ~goes)[moves]
        level = children
    kinds = {"value": np.float64, "missing_left": np.bool_}
    made: dict[str, np.ndarray] = {
        name: np.array(each, kinds.get(name, np.int64)) for name, each in nodes.items()
    }
    return Tree(**made)


def best_splits(
    sums: np.ndarray, totals: np.ndarray, limits: Limits
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gain, column, bin and whether the missing go left, (nodes,) each.

    `sums` (3, nodes, columns, 256) are first and second derivatives and counts, by bin; `totals`
    (3, nodes) over all bins. The gain is that of Chen and Guestrin (2016), without its half.
    """
    known = np.cumsum(sums[..., :MISSING], axis=-1)[..., :-1]
    everything = totals[:, :, None, None]
    before = gained(totals, limits)
    found = []
    for left in (known + sums[..., MISSING:], known):
        right = everything - left
        gain = gained(left, limits) + gained(right, limits)
        enough = np.minimum(left[2], right[2]) >= limits.min_samples
        found.append(np.where(enough, gain - before[:, None, None], -np.inf))
    with_left, with_right = (each.reshape(len(before), -1) for each in found)
    gains = np.maximum(with_left, with_right)
    place = gains.argmax(axis=1)
    nodes = np.arange(len(before))
    column, border = np.divmod(place, MISSING - 1)
    return gains[nodes, place], column, border, (with_left > with_right)[nodes, place]


def gained(sums: np.ndarray, limits: Limits) -> np.ndarray:
    """By the best step, twice: from first and second derivatives, the leading axis."""
    return np.asarray(sums[0] ** 2 / np.maximum(sums[1] + limits.l2, 1e-12))


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
        self.bins = Bins.learnt(columns)
        self.start = self.loss.start(truths)
        self.grown: list[Tree] = []
        self.losses: list[float] = []
        bins, scores = self.bins(columns), np.full(len(truths), self.start)
        if watched is not None:
            seen, told = self.bins(watched[0]), np.full(len(watched[1]), self.start)
        for _ in range(self.trees):
            counted = np.ones(len(truths))
            if self.subsample < 1:
                counted = (rng.random(len(truths)) < self.subsample).astype(np.float64)
            tree = grown(bins, *self.loss.derivatives(truths, scores), counted, self.limits)
            leaves = tree.leaves(bins)
            self.refine(tree, leaves, truths - scores, counted > 0)
            scores += self.learning_rate * tree.value[leaves]
            self.grown.append(tree)
            if watched is not None:
                told += self.learning_rate * tree.value[tree.leaves(seen)]
                self.losses.append(self.loss.mean(watched[1], told))
        return self

    def refine(self, tree: Tree, leaves: np.ndarray, rest: np.ndarray, counted: np.ndarray) -> None:
        """Put the loss's own best step into each leaf, where a Newton step is not it."""
        if self.loss.leaf(rest[:1]) is None:
            return
        kept, leaf = rest[counted], leaves[counted]
        order = np.argsort(leaf, kind="stable")
        numbers, begins = np.unique(leaf[order], return_index=True)
        for number, part in zip(numbers, np.split(kept[order], begins[1:]), strict=True):
            tree.value[number] = self.loss.leaf(part)

    def predict(self, columns: np.ndarray) -> np.ndarray:
        """Scores (rows,): for log-loss the log odds."""
        bins = self.bins(columns)
        steps = [tree.value[tree.leaves(bins)] for tree in self.grown]
        return np.asarray(self.start + self.learning_rate * np.sum(steps, axis=0))

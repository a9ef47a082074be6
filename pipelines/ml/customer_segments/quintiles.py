"""The quintile rule of direct marketing (Hughes 1994), with which the segments are compared."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

QUINTILES = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class QuintileRule:
    """Scores of recency, frequency and money by their quintiles, summed and divided into groups.

    Groups are numbered from 0, the lowest score. Those without a training customer are left out.
    """

    count: int
    """Equal ranges into which the sum is divided."""
    edges: np.ndarray
    """Quintiles of the logarithms (4, 3)."""
    mean: np.ndarray
    """Mean of the logarithms (3,)."""
    scale: np.ndarray
    """Standard deviation of the logarithms (3,)."""
    kept: np.ndarray
    """The ranges that have training customers, ascending (groups,)."""
    centres: np.ndarray
    """Mean of the standardized logarithms of each group's training customers (groups, 3)."""

    @classmethod
    def fit(cls, numbers: np.ndarray, count: int) -> Self:
        """Fit the rule on logarithms (rows, 3).

        Raises:
            ValueError: all customers have the same score.
        """
        edges, mean = np.quantile(numbers, QUINTILES, axis=0), numbers.mean(axis=0)
        scale, found = numbers.std(axis=0), ranges(numbers, edges, count)
        kept = np.unique(found)
        if len(kept) < 2:
            raise ValueError("the quintile rule puts all customers into one group")
        points = (numbers - mean) / scale
        centres = np.stack([points[found == each].mean(axis=0) for each in kept])
        return cls(count, edges, mean, scale, kept, centres)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Return the rule of which `to_json` made the content."""
        arrays = {name: np.array(each) for name, each in content.items() if name != "count"}
        return cls(count=content["count"], **arrays)

    def to_json(self) -> dict[str, Any]:
        """Return the rule as JSON types."""
        return {
            name: each.tolist() if isinstance(each, np.ndarray) else each
            for name, each in asdict(self).items()
        }

    def groups(self, numbers: np.ndarray) -> np.ndarray:
        """Return the group (rows,) of logarithms (rows, 3), from 0.

        A customer in a range that was left out is in the next lower group, or in the lowest.
        """
        found = ranges(numbers, self.edges, self.count)
        return (np.searchsorted(self.kept, found, side="right") - 1).clip(0)

    def points(self, numbers: np.ndarray) -> np.ndarray:
        """Return standardized logarithms (rows, 3)."""
        return np.asarray((numbers - self.mean) / self.scale)


def ranges(numbers: np.ndarray, edges: np.ndarray, count: int) -> np.ndarray:
    """Return the range (rows,), 0 to `count` - 1, of each customer's summed score.

    Recency, frequency and money (rows, 3) each get a score by their quintile. A value on an edge
    gets the score below it: 36 % of the customers have one order, which is the first edge itself.
    """
    recency, frequency, money = (
        np.digitize(column, edge, right=True)
        for column, edge in zip(numbers.T, edges.T, strict=True)
    )
    return np.asarray((4 - recency + frequency + money) * count // 13)

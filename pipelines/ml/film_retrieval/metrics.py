"""Recall, precision and NDCG of lists of films."""

from collections.abc import Iterable

import numpy as np

from .model import CANDIDATES

AT = 10


def per_viewer(orders: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return each metric (viewers,), given each viewer's films in order and those liked next.

    An order is (up to 100,), and the films liked next are a mask (films,). Recall is relative to
    what can be retrieved, at most a hundred films. Precision and NDCG (Järvelin and Kekäläinen
    2002, gains 0 and 1) are those of the first ten.
    """
    discounts = 1 / np.log2(np.arange(2, AT + 2))
    values = []
    for order, liked in orders:
        hits, count = liked[order], int(liked.sum())
        first = hits[:AT]
        gained = first @ discounts[: len(first)] / discounts[:count].sum()
        values.append((hits.sum() / min(count, CANDIDATES), first.sum() / AT, gained))
    names = ("recall_at_100", "precision_at_10", "ndcg_at_10")
    return dict(zip(names, np.array(values).T, strict=True))


def retrieval_metrics(orders: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Return the mean of each metric over the viewers."""
    return {name: float(values.mean()) for name, values in per_viewer(orders).items()}

"""Shares of codes that were read, and of pictures with a wrong payload."""

from collections.abc import Callable, Sequence

import numpy as np

from slipway.training.selection import bootstrap_error, bootstrap_interval

from .model import Payload
from .readers import normalized

# Kinds that both libraries read; the others are counted separately.
COMMON = ("qr_code", "ean_13")


def hits(texts: Sequence[Sequence[str]], labels: Sequence[Payload]) -> np.ndarray:
    """Return for each picture (rows,) whether its payload is among the texts that were read."""
    return np.array(
        [
            label.kind != "none" and label.text in map(normalized, read)
            for read, label in zip(texts, labels, strict=True)
        ]
    )


def wrong(texts: Sequence[Sequence[str]], labels: Sequence[Payload]) -> np.ndarray:
    """Return for each picture (rows,) whether something was read, but not its payload."""
    read_any = np.array([bool(read) for read in texts])
    return np.asarray(read_any & ~hits(texts, labels))


def rows_of(labels: Sequence[Payload], wanted: Callable[[Payload], bool]) -> np.ndarray:
    """Return the indices of the labels that are wanted."""
    return np.flatnonzero([wanted(each) for each in labels])


def is_common(label: Payload) -> bool:
    """Return whether both libraries know the kind of code."""
    return label.kind in COMMON


def read_metrics(
    texts: Sequence[Sequence[str]], labels: Sequence[Payload], *, seed: int
) -> dict[str, float]:
    """Return shares read, with the interval of the main one over pictures, and the share wrong."""
    read = hits(texts, labels).astype(float)
    common = read[rows_of(labels, is_common)]

    def share(places: np.ndarray) -> float:
        return float(common[places].mean())

    low, high = bootstrap_interval(share, len(common), seed=seed)
    groups: dict[str, Callable[[Payload], bool]] = {
        "photograph": lambda each: is_common(each) and each.condition == "photograph",
        "made": lambda each: is_common(each) and each.condition != "photograph",
        "qr": lambda each: each.kind == "qr_code",
        "ean": lambda each: each.kind == "ean_13",
        "other_kinds": lambda each: not is_common(each) and each.kind != "none",
    }
    places = {name: rows_of(labels, wanted) for name, wanted in groups.items()}
    return {
        "read_share": float(common.mean()),
        "read_share_low": low,
        "read_share_high": high,
        "read_share_se": bootstrap_error(share, len(common), seed=seed),
        **{
            f"{name}_read_share": float(read[rows].mean())
            for name, rows in places.items()
            if rows.size
        },
        "wrong_share": float(wrong(texts, labels).mean()),
    }

"""How often a shadow answers otherwise than the champion, read from the prediction log."""

import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from slipway.policy import SHADOW
from slipway.predictions import reader

# A record is written once its answer is given; one that began before a look may lie behind it.
SETTLE_SECONDS = 1.0
# Of one reading, at 0.1 ms a pair.
MOST_PAIRS = 5000
# An open segment is read from its start, 5 s for a full one: so much of the time goes into it.
READING = 1 / 20


class Compared(BaseModel):
    """Up to Unix time `until`; `pairs` of requests that both answered, `different` among them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    until: float
    pairs: int = 0
    different: int = 0
    again: float = 0
    """From when the log may be read again."""


def further(
    folder: Path, before: Compared, *, project: str, version: str, now: float, tolerance: float
) -> Compared:
    """With what was recorded since `before`, `MOST_PAIRS` of it at most, or `before` itself
    while it is too early to read the log again.

    The first record of a request counts: those of a batch are not independent.

    Raises:
        OSError: the log's disk is away.
    """
    until = now - SETTLE_SECONDS
    if until <= before.until or now < before.again:
        return before
    pairs = different = 0
    start = time.perf_counter()
    told = reader.records(folder, since=before.until, until=until, project=project)
    for record in told:
        if (record["variant"], record["version"]) != (SHADOW, version):
            continue
        original = reader.find(folder, record["of"]) if record.get("of") else None
        if original is None or not original["outputs"] or not record["outputs"]:
            continue
        pairs += 1
        different += not agree(original["outputs"][0], record["outputs"][0], tolerance)
        if pairs == MOST_PAIRS:
            break
    return Compared(
        until=until,
        pairs=before.pairs + pairs,
        different=before.different + different,
        again=now + (time.perf_counter() - start) / READING,
    )


def agree(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two answers come to the same.

    Where they hold labels (flags, texts, whole numbers), when those are equal: probabilities
    move a little with every training. Else when all numbers lie within `tolerance` of each other.
    """
    left, right = _leaves(one), _leaves(other)
    if left.keys() != right.keys():
        return False
    labels = [key for key, value in left.items() if not isinstance(value, float)]
    if labels:
        return all(left[key] == right[key] for key in labels)
    return all(_close(left[key], right[key], tolerance) for key in left)


def _close(one: Any, other: Any, tolerance: float) -> bool:
    if not isinstance(one, int | float) or not isinstance(other, int | float):
        return bool(one == other)
    return abs(one - other) <= tolerance * max(abs(one), abs(other))


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = {str(place): item for place, item in enumerate(value)}.items()
    else:
        return {path: value}
    return {
        key: leaf
        for name, item in children
        for key, leaf in _leaves(item, f"{path}/{name}").items()
    }

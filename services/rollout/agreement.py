"""Count how often a shadow's predictions differ from the champion's, from the prediction log."""

import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.rollout.media_agreement import has_media, media_outputs_agree
from slipway.policy import SHADOW
from slipway.predictions import reader

# A record is written after its response, so a request may be logged a little after it began.
SETTLE_SECONDS = 1.0
# At most so many pairs are read at once; a pair takes 0.1 ms.
MAX_PAIRS = 5000
# The share of the time that is spent reading: a full open segment takes 5 s from its start.
READING_SHARE = 1 / 20


class ComparedPairs(BaseModel):
    """The pairs of champion and shadow predictions compared so far."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    until: float
    """Unix time up to which the log was read."""
    pairs: int = 0
    """Requests for which both versions made a prediction."""
    different: int = 0
    """Pairs whose predictions differ."""
    again: float = 0
    """Unix time from which the log may be read again."""


def compare_new_pairs(
    folder: Path,
    before: ComparedPairs,
    *,
    project: str,
    version: str,
    now: float,
    tolerance: float,
) -> ComparedPairs:
    """Add the pairs recorded since `before`, `MAX_PAIRS` at most, and return the new counts.

    Returns `before` itself while it is too early to read the log again. Only the first record of a
    request counts, because the records of a batch are not independent.

    Raises:
        OSError: the log's disk is unavailable.
    """
    until = now - SETTLE_SECONDS
    if until <= before.until or now < before.again:
        return before
    pairs = different = 0
    start = time.perf_counter()
    records = reader.records(folder, since=before.until, until=until, project=project)
    for record in records:
        if (record["variant"], record["version"]) != (SHADOW, version):
            continue
        original = reader.find(folder, record["of"]) if record.get("of") else None
        if original is None or not original["outputs"] or not record["outputs"]:
            continue
        pairs += 1
        agree = media_outputs_agree if has_media(record) else outputs_agree
        different += not agree(original["outputs"][0], record["outputs"][0], tolerance)
        if pairs == MAX_PAIRS:
            break
    return ComparedPairs(
        until=until,
        pairs=before.pairs + pairs,
        different=before.different + different,
        again=now + (time.perf_counter() - start) / READING_SHARE,
    )


def outputs_agree(one: Any, other: Any, tolerance: float) -> bool:
    """Return whether two outputs agree.

    Outputs with labels (booleans, strings, integers) agree if the labels are equal, because
    probabilities change a little with every training. Others agree if all their numbers are within
    the relative `tolerance` of each other.
    """
    left, right = _leaves(one), _leaves(other)
    if left.keys() != right.keys():
        return False
    labels = [key for key, value in left.items() if not isinstance(value, float)]
    if labels:
        return all(left[key] == right[key] for key in labels)
    return all(_is_close(left[key], right[key], tolerance) for key in left)


def _is_close(one: Any, other: Any, tolerance: float) -> bool:
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

"""When the predictions of a champion and a shadow with media agree."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.rollout.agreement import SETTLE_SECONDS, ComparedPairs, compare_new_pairs
from services.rollout.media_agreement import has_media, media_outputs_agree
from slipway.media import Mask
from slipway.predictions.record import line
from slipway.predictions.writer import PredictionLog


def box(left: float, *, label: str = "cell", score: float = 0.9) -> dict[str, Any]:
    left = float(left)
    return {"x1": left, "y1": 0.0, "x2": left + 10, "y2": 10.0, "label": label, "score": score}


def boxes(*lefts: float, **more: Any) -> dict[str, Any]:
    return {"boxes": [box(left, **more) for left in lefts]}


def picture(brightness: float, **more: Any) -> dict[str, Any]:
    facts = {"sha256": f"{brightness}", "bytes": 9, "media_type": "image/png", "width": 8}
    return {"page": {**facts, "height": 8, "brightness": brightness, "contrast": 0.2, **more}}


def mask(rows: int) -> dict[str, Any]:
    array = np.zeros((10, 10), dtype=bool)
    array[:rows] = True
    return {"mask": Mask.from_array(array).model_dump()}


TEN = [20.0 * place for place in range(10)]
CASES = [
    # Moved by a tenth and in another order, with other scores.
    (boxes(0, 100), boxes(101, 1, score=0.4), True),
    (boxes(0), boxes(6), False),
    (boxes(0), boxes(0, label="dish"), False),
    (boxes(), boxes(), True),
    (boxes(), boxes(0), False),
    # One of ten is missing; then two.
    (boxes(*TEN), boxes(*TEN[:9]), True),
    (boxes(*TEN), boxes(*TEN[:8]), False),
    ({"boxes": {"count": 300, "first": [box(0)] * 200}}, {"boxes": [box(0)] * 199}, True),
    ({"text": "a cat", "p": 0.9}, {"text": "a cat", "p": 0.4}, True),
    ({"text": "a cat"}, {"text": "a dog"}, False),
    ({"count": 3, "page": picture(0.5)["page"]}, {"count": 4, "page": picture(0.5)["page"]}, False),
    (picture(0.5), picture(0.52), True),
    (picture(0.5), picture(0.7), False),
    (picture(0.5), picture(0.5, width=9), False),
    (mask(5), mask(6), True),
    (mask(2), mask(6), False),
    ({"length": 10.0}, {"length": 10.5}, True),
    ({"length": 10.0}, {"length": 12.0}, False),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "same"), CASES)
def test_when_two_outputs_with_media_agree(one: Any, other: Any, same: bool) -> None:
    assert media_outputs_agree(one, other, 0.1) is same
    assert media_outputs_agree(other, one, 0.1) is same


def test_pairs_on_record_with_facts_are_compared_by_what_they_show(tmp_path: Path) -> None:
    start = time.time() - 1
    log = PredictionLog(tmp_path, segment_bytes=2**20)

    def record(variant: str, output: dict[str, Any], of: str | None = None) -> str:
        id = log.next_id()
        about = {"project": "cells", "version": "2" if of else "1", "digest": "ab" * 32}
        text = line(
            id=id,
            variant=variant,
            inputs=json.dumps([picture(0.5)]).encode(),
            inputs_sha256="cd" * 32,
            outputs=json.dumps([output]).encode(),
            seconds=0.1,
            of=of,
            **about,
        )
        assert log.append(text)
        return id

    for moved in (1, 2, 7):
        record("shadow", boxes(moved), record("champion", boxes(0)))
    now = time.time() + SETTLE_SECONDS + 0.01
    before = ComparedPairs(until=start)
    found = compare_new_pairs(
        tmp_path, before, project="cells", version="2", now=now, tolerance=0.1
    )
    log.close()
    assert (found.pairs, found.different) == (3, 1)


def test_records_with_media_are_recognized() -> None:
    facts = picture(0.5)
    assert has_media({"inputs": [facts], "outputs": [{"label": "x"}]})
    assert has_media({"inputs": [{"seed": 1}], "outputs": [facts]})
    assert not has_media({"inputs": [{"seed": 1}], "outputs": [boxes(0)]})
    assert not has_media({"inputs": None, "outputs": [boxes(0)]})

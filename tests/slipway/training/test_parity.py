"""Parity kinds: comparisons of the exported model's predictions with the framework's."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import pytest
from pydantic import Field

from slipway.contract import Record
from slipway.media import Box, Image, Mask, encode_jpeg, encode_png
from slipway.quality.comparison import comparison
from slipway.quality.differences import Difference
from slipway.training.parity import ParityMeter, parity


class Plain(Record):
    score: float
    label: str = "a"
    scores: list[float] = Field(default_factory=list)


class Picture(Record):
    image: Annotated[bytes, Image()]
    masks: list[Mask] = Field(default_factory=list)


class Found(Record):
    boxes: list[Box]


class Text(Record):
    text: str
    tokens: list[int] = Field(default_factory=list)
    logits: list[float] = Field(default_factory=list)
    log_probability: float = 0.0


GREY = np.full((16, 16), 100, dtype=np.uint8)


def by(
    kind: str, one: Sequence[Record], other: Sequence[Record], iou: float = 0.9
) -> tuple[float, float]:
    """Return error and agreement of two lists of predictions."""
    found = parity(one, other, comparison(kind, iou))
    assert list(found) == ["parity_error", "parity_agreement"]
    return found["parity_error"], found["parity_agreement"]


def test_numbers_differ_and_labels_agree_or_not() -> None:
    one = [Plain(score=0.5), Plain(score=200.0, label="b")]
    other = [Plain(score=0.5), Plain(score=200.1, label="c")]
    # 0.1 of 200 is 5e-4.
    assert by("values", one, other) == (1e-3, 0.5)
    assert by("values", one, one) == (1e-12, 1.0)


def test_other_lengths_are_disagreement() -> None:
    one = [Plain(score=0.5, scores=[1.0, 2.0])]
    # Of the label and the second number, one is the same.
    assert by("values", one, [Plain(score=0.5, scores=[1.0])]) == (1e-12, 0.5)
    assert by("values", [Plain(score=0.5)], one) == (1e-12, 1 / 3)


def test_rows_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="got 1 and 2"):
        parity([Plain(score=1)], [Plain(score=1)] * 2)


def test_batches_are_measured_as_one() -> None:
    rows = [Plain(score=each / 7, label=str(each)) for each in range(5)]
    others = [Plain(score=each / 7 + 1e-5 * each, label=str(each % 3)) for each in range(5)]
    meter = ParityMeter()
    for start in (0, 2, 4):
        meter.add(rows[start : start + 2], others[start : start + 2])
    assert meter.metrics() == parity(rows, others)


def test_pictures_are_compared_decoded() -> None:
    one = [Picture(image=encode_png(GREY))]
    brighter = GREY.copy()
    brighter[0, 0] += 51  # a fifth of the range, in one of 256 pixels
    assert by("image", one, [Picture(image=encode_png(brighter))]) == (1e-3, 1.0)
    # Other bytes that show the same.
    assert by("image", one, [Picture(image=encode_jpeg(GREY))]) == (1e-12, 1.0)
    assert by("values", one, [Picture(image=encode_jpeg(GREY))]) == (1e-12, 0.0)


def test_pictures_of_other_sizes_disagree() -> None:
    one = [Picture(image=encode_png(GREY))]
    assert by("image", one, [Picture(image=encode_png(GREY[:8]))]) == (1e-12, 0.0)


def test_masks_agree_from_an_overlap_on() -> None:
    def masked(rows: int) -> list[Record]:
        inside = np.zeros((16, 16), dtype=bool)
        inside[:rows] = True
        return [Picture(image=encode_png(GREY), masks=[Mask.from_array(inside)])]

    assert by("image", masked(10), masked(10)) == (1e-12, 1.0)
    assert by("image", masked(10), masked(9), iou=0.9) == (1e-12, 1.0)
    assert by("image", masked(10), masked(8), iou=0.9) == (1e-12, 0.0)


def box(left: float, label: str = "cell", score: float = 0.5) -> Box:
    return Box(x1=left, y1=0, x2=left + 100, y2=100, label=label, score=score)


@pytest.mark.parametrize(
    ("one", "other", "error", "agreement"),
    [
        ([box(0), box(300)], [box(300), box(2)], 1e-12, 1.0),
        ([box(0)], [box(0, score=0.52)], 1e-1, 1.0),
        ([box(0)], [box(20)], 1e-12, 0.0),
        ([box(0)], [box(0, label="dust")], 1e-12, 0.0),
        ([box(0), box(300)], [box(0)], 1e-12, 0.5),
        ([box(0)], [box(0), box(300)], 1e-12, 0.5),
        ([], [box(0)], 1e-12, 0.0),
        ([], [], 1e-12, 1.0),
    ],
)
def test_boxes_are_matched(
    one: list[Box], other: list[Box], error: float, agreement: float
) -> None:
    assert by("boxes", [Found(boxes=one)], [Found(boxes=other)]) == (error, agreement)


def test_a_better_match_comes_first() -> None:
    one, other = [box(0), box(6)], [box(3), box(0)]
    # The second box would also fit the first one, which has a better match.
    assert by("boxes", [Found(boxes=one)], [Found(boxes=other)], iou=0.9) == (1e-12, 1.0)


def test_texts_agree_as_far_as_their_beginning() -> None:
    one = Text(text="a cat", tokens=[1, 2, 3, 4], logits=[0.1, 0.2, 0.3, 0.4], log_probability=-1)
    same = one.model_copy(update={"logits": [0.1, 0.2, 0.3, 0.401]})
    assert by("tokens", [one], [same]) == (1e-2, 1.0)
    # After the second token it is another text, whose numbers say nothing.
    other = Text(text="a dog", tokens=[1, 2, 9, 9], logits=[0.1, 0.2, 7.0, 7.0], log_probability=-9)
    error, agreement = by("tokens", [one], [other])
    assert error == 1e-12
    assert agreement == pytest.approx((2 / 5 + 2 / 4) / 2)
    shorter = Text(text="a cat", tokens=[1, 2], logits=[0.1, 0.25])
    assert by("tokens", [one], [shorter])[0] == 1e-1


def test_a_difference_says_where_it_is() -> None:
    compare = comparison("boxes", 0.9)
    found = list(
        compare(
            Found(boxes=[box(0, score=0.5)]).model_dump(),
            Found(boxes=[box(0, score=0.75)]).model_dump(),
        )
    )
    (score,) = [each for each in found if each.error is not None]
    assert score == Difference("boxes.0.score", 0.5, 0.75, 0.25)


def test_without_a_kind_what_can_be_compared_is() -> None:
    compare: Any = comparison("none", 0.9)
    assert [each.share for each in compare({"n": 1, "t": "x"}, {"n": 1, "t": "y"})] == [1.0, 0.0]

"""Paint, lines of one picture, lines over frames, and the state between them."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.cv.lanes.edges import Region, paint
from pipelines.cv.lanes.following import LaneFollower, LaneState, remember, resume
from pipelines.cv.lanes.lines import (
    SIDES,
    LaneRecipe,
    Line,
    end_rows,
    find_lines,
    weighted_median,
)
from pipelines.cv.lanes.metrics import HEIGHTS
from pipelines.cv.lanes.reference import longest_segments
from slipway.media import decode_state, encode_state

from .roads import HEIGHT, WIDTH, chessboard, road, x_at

REGION = Region()
BEST = LaneRecipe(mask="local", combine="squares", min_confidence=0.2)
SMOOTH = BEST.model_copy(update={"rate": 0.4})
ROWS = end_rows(HEIGHT, REGION)


def errors(picture: np.ndarray, recipe: LaneRecipe) -> dict[str, float]:
    """Return the largest distance of each line that was found, in pixels."""
    y = HEIGHTS * HEIGHT
    found, _ = find_lines(picture, recipe, REGION)
    return {
        side: float(np.abs(line.x_at(y, ROWS) - x_at(side, y)).max())
        for side, line in found.items()
    }


@pytest.mark.parametrize("dashed", [False, True])
@pytest.mark.parametrize("combine", ["average", "median", "squares"])
@pytest.mark.parametrize("mask", ["gray", "color", "local"])
def test_every_recipe_finds_the_drawn_lines(mask: str, combine: str, dashed: bool) -> None:
    found = errors(road(dashed=dashed), LaneRecipe(mask=mask, combine=combine))
    assert set(found) == set(SIDES)
    # Least squares go to the middle of the paint; a peak may be either border of it.
    assert max(found.values()) < (2 if combine == "squares" else 9)


def test_fixed_colors_fail_in_the_dark_where_local_contrast_does_not() -> None:
    dark = road(light=0.35)
    assert "right" not in errors(dark, LaneRecipe(mask="color", combine="squares"))
    assert max(errors(dark, BEST).values()) < 2


def test_paint_is_narrow_and_brighter_than_both_sides() -> None:
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    picture[:, 300:308] = 200
    picture[:, 400:] = 200
    found = paint(picture, REGION)[300]
    assert found[302:306].all()
    assert not found[400:].any()
    assert not found[:298].any()
    assert not paint(picture, REGION)[: round(0.6 * HEIGHT)].any()


def test_patterns_and_plain_pictures_are_no_lane() -> None:
    for picture in (chessboard(), np.full((HEIGHT, WIDTH, 3), 90, np.uint8)):
        assert all(each.confidence < 0.05 for each in find_lines(picture, BEST, REGION)[0].values())


def test_a_dashed_line_is_less_certain_than_a_solid_one() -> None:
    found, _ = find_lines(road(dashed=True), BEST, REGION)
    assert 0.2 < found["right"].confidence < 0.8 < found["left"].confidence


def test_the_weighted_median_ignores_a_light_outlier() -> None:
    assert weighted_median(np.array([5.0, 900.0, 6.0]), np.array([10.0, 3.0, 9.0])) == 6


def test_the_longest_segments_lie_on_the_drawn_lines() -> None:
    found = longest_segments(road(), REGION)
    for side in SIDES:
        assert abs(found[side].bottom - x_at(side, HEIGHT - 1)) < 15


def test_a_smoothed_line_moves_by_a_share_of_the_way() -> None:
    follower = LaneFollower(SMOOTH, REGION)
    first = follower.add({"left": Line(300, 100, 0.9)}, WIDTH)
    second = follower.add({"left": Line(300, 110, 0.9)}, WIDTH)
    assert first["left"].bottom == pytest.approx(100)
    assert second["left"].bottom == pytest.approx(104)
    plain = LaneFollower(BEST, REGION)
    plain.add({"left": Line(300, 100, 0.9)}, WIDTH)
    assert plain.add({"left": Line(300, 110, 0.9)}, WIDTH)["left"].bottom == pytest.approx(110)


def test_a_jump_needs_more_confidence_than_the_known_line() -> None:
    follower = LaneFollower(SMOOTH, REGION)
    follower.add({"left": Line(300, 100, 0.6)}, WIDTH)
    kept = follower.add({"left": Line(300, 200, 0.3)}, WIDTH)["left"]
    assert kept.bottom == pytest.approx(100)
    assert kept.confidence < 0.6
    assert follower.add({"left": Line(300, 200, 0.9)}, WIDTH)["left"].bottom == pytest.approx(200)


def test_a_lost_line_stays_for_a_moment_only() -> None:
    follower = LaneFollower(SMOOTH, REGION)
    follower.add({"left": Line(300, 100, 0.9)}, WIDTH)
    shown = [bool(follower.add({}, WIDTH)) for _ in range(40)]
    assert shown[0]
    assert not shown[-1]
    assert shown == sorted(shown, reverse=True)
    unsmoothed = LaneFollower(BEST, REGION)
    unsmoothed.add({"left": Line(300, 100, 0.9)}, WIDTH)
    assert unsmoothed.add({}, WIDTH) == {}


def test_uncertain_lines_are_left_out() -> None:
    follower = LaneFollower(BEST, REGION)
    line = Line(300, 100, 0.3)
    found = follower.add({"left": line, "right": replace(line, confidence=0.1)}, WIDTH)
    assert set(found) == {"left"}


def test_the_state_goes_on_as_if_there_had_been_no_break() -> None:
    pictures = [road(aside=4 * number) for number in range(6)]
    whole, broken = (LaneFollower(SMOOTH, REGION) for _ in range(2))
    for picture in pictures:
        straight = whole.step(picture)
        after = broken.step(picture)
        broken = resume(decode_state(encode_state(remember(broken)), LaneState), SMOOTH, REGION)
    assert broken.frames == whole.frames == 6
    for side in SIDES:
        assert after[side].bottom == pytest.approx(straight[side].bottom, abs=0.02)


def test_the_state_of_another_region_starts_anew() -> None:
    follower = LaneFollower(SMOOTH, REGION)
    follower.step(road())
    other = resume(remember(follower), SMOOTH, Region(top=0.5))
    assert (other.frames, other.lines) == (0, {})


@pytest.mark.parametrize("change", [{"top": 2}, {"frames": -1}, {"left": {"top": 1e9}}])
def test_a_damaged_state_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LaneState.model_validate({"frames": 1, "top": 0.6, "left": None, "right": None, **change})

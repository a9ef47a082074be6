"""Explanations of pictures, compared with models whose values by cell are known."""

import numpy as np
import pytest

from slipway.explain import NotExplainable
from slipway.explain.coalitions import Exact
from slipway.explain.heat_map import LOWERS, RAISES, draw_heat_map
from slipway.explain.parts import Budget, TookTooLong
from slipway.explain.pictures import (
    PictureExplanation,
    blurred,
    explain_picture,
    explains_pictures,
)
from slipway.explain.ways import Way, choose_way
from slipway.media import decode_image, encode_png
from tests.slipway.explain.picture_models import (
    MATTERS,
    SIDE,
    TANGLED,
    WEIGHTS,
    Additive,
    Finder,
    Light,
    Mirror,
    OnePatch,
    Picture,
    Tangled,
    Words,
    by_cell,
    finish,
)

PLENTY = Budget(seconds=600)


def noise(seed: int = 0, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 60, (side, side), dtype=np.uint8)


def patch(side: int = SIDE) -> np.ndarray:
    """Return noise with one bright cell, the one that matters."""
    pixels, cell = noise(side=side), side // 7
    row, column = (place * cell for place in MATTERS)
    pixels[row : row + cell, column : column + cell] = 255
    return pixels


def explained(model, pixels: np.ndarray, budget: Budget = PLENTY) -> PictureExplanation:
    return finish(explain_picture(model, Picture(image=encode_png(pixels)), budget))


def test_the_one_cell_that_matters_gets_all() -> None:
    found = explained(OnePatch(), patch())
    cells = np.array(found.cells)
    assert cells.shape == (7, 7)
    assert cells[MATTERS] == pytest.approx(found.value - found.base, abs=1e-12)
    assert np.count_nonzero(np.abs(cells) > 1e-12) == 1
    assert (found.explained, found.unit, found.field) == ("on", "probability", "image")
    assert found.value == 1
    assert abs(found.gap) < 1e-12


def test_the_explained_class_stays_that_of_the_whole_picture() -> None:
    """Without the bright cell the model says `off`, with a high probability for it."""
    found = explained(OnePatch(), patch())
    assert found.base < 0.5
    dark = explained(OnePatch(), noise())
    assert dark.explained == "off"
    assert dark.value > 0.5


def test_additive_cells_get_their_exact_values() -> None:
    pixels = noise(1)
    found = explained(Additive(), pixels)
    own = by_cell(Picture(image=encode_png(pixels)))
    bare = by_cell(Picture(image=encode_png(blurred(pixels))))
    assert np.array(found.cells) == pytest.approx(WEIGHTS * (own - bare), abs=1e-12)
    assert np.array(found.standard_error).max() < 1e-12


def tangled_values(pixels: np.ndarray) -> np.ndarray:
    """Return the exact values of `Tangled`: the sum of those of each product of three cells."""
    own = by_cell(Picture(image=encode_png(pixels))) * WEIGHTS
    bare = by_cell(Picture(image=encode_png(blurred(pixels)))) * WEIGHTS
    values, game = np.zeros((7, 7)), Exact(3)
    for row, column in np.ndindex(5, 7):
        place = (slice(row, row + 3), column)
        worths = [
            TANGLED * np.where(flags, own[place], bare[place]).prod() for flags in game.coalitions
        ]
        empty, full = TANGLED * bare[place].prod(), TANGLED * own[place].prod()
        values[place] += game.shares(np.array(worths), empty=empty, full=full).values
    return values


def test_sampling_agrees_with_the_exact_values_within_its_standard_errors() -> None:
    distances: list[float] = []
    for seed in range(4):
        found = explained(Tangled(), noise(seed), Budget(seconds=600, rows=2000))
        assert abs(found.gap) < 1e-9
        errors = np.array(found.standard_error)
        away = np.array(found.cells) - tangled_values(noise(seed))
        # A cell equal to its blurred copy in brightness has neither a value nor an error.
        known = errors < 1e-12
        assert np.abs(away[known]).max(initial=0) < 1e-9
        distances += (away[~known] / errors[~known]).tolist()
    # Each error is itself an estimate, from 20 pairs of orders.
    assert np.abs(distances).max() < 5
    assert 0.9 < np.std(distances) < 1.3


def test_equal_pictures_get_equal_explanations() -> None:
    assert explained(Tangled(), noise(3)) == explained(Tangled(), noise(3))


def test_calls_are_batches_and_bounded() -> None:
    model = Additive()
    found = explained(model, noise(1))
    assert found.calls == model.calls
    assert model.largest_call == 32
    assert found.evaluations <= 4000
    assert found.calls <= 2 + 20 * 6


def test_cells_that_blurring_does_not_change_cost_nothing() -> None:
    pixels = np.zeros((56, 56), dtype=np.uint8)
    pixels[24:32, 24:32] = 255
    found = explained(Additive(), pixels)
    cells = np.array(found.cells)
    assert found.evaluations < 4000
    assert cells[0, 0] == cells[6, 6] == 0
    assert explained(Additive(), np.full((28, 28), 90, dtype=np.uint8)).evaluations == 2


def test_objects_get_the_score_of_their_own_box() -> None:
    pixels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    pixels[4:8, 4:8], pixels[16:20, 20:24] = 255, 204
    found = explained(Finder(), pixels)
    assert found.explained == "sum of the scores of boxes"
    cells = np.array(found.cells)
    assert found.value == pytest.approx(1.8)
    assert cells[1, 1] == pytest.approx(1, abs=0.05)
    assert cells[4, 5] == pytest.approx(0.8, abs=0.05)
    assert cells[:, 3].sum() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (3, 28), (28, 5), (8, 9), (100, 41)])
def test_pictures_of_any_shape_have_a_cell_for_each_value(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = explained(Additive(), pixels)
    assert np.array(found.cells).shape == tuple(min(7, side) for side in shape)
    assert (found.height, found.width) == shape
    assert abs(found.gap) < 1e-9
    assert draw_heat_map(decode_image(encode_png(pixels)), found).shape[2] == 3


class Clock:
    """Every look at it takes as long as a call of a slow model."""

    def __init__(self, step: float) -> None:
        self.step, self.now = step, 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.mark.parametrize(("step", "cells"), [(0.001, 7), (0.03, 5), (0.055, 4), (0.1, 3)])
def test_a_slow_model_gets_a_coarser_grid(step: float, cells: int) -> None:
    found = explained(Additive(), noise(1), Budget(seconds=5, clock=Clock(step)))
    assert len(found.cells) == len(found.cells[0]) == cells
    assert abs(found.gap) < 1e-9


def test_a_model_that_is_too_slow_for_any_grid_is_refused() -> None:
    with pytest.raises(NotExplainable, match="28 x 28 pixels would take about [0-9]+ s, and 5 s"):
        explained(Additive(), noise(1), Budget(seconds=5, clock=Clock(1)))


def test_an_explanation_that_turns_slow_ends() -> None:
    clock = Clock(0.001)
    steps = explain_picture(
        Additive(), Picture(image=encode_png(noise(1))), Budget(seconds=5, clock=clock)
    )
    for _ in range(3):
        next(steps)
    clock.step = 10
    with pytest.raises(TookTooLong):
        finish(steps)


def test_models_without_a_number_or_a_picture_are_refused() -> None:
    assert not explains_pictures(Mirror())
    assert choose_way(Mirror()) is None
    assert choose_way(Words()) is Way.WORDS
    assert choose_way(OnePatch()) is Way.PICTURE
    with pytest.raises(NotExplainable, match="Mirror predicts no number to explain"):
        explained(Mirror(), noise())
    with pytest.raises(NotExplainable, match="no picture in image"):
        finish(explain_picture(OnePatch(), Picture(), PLENTY))


def test_a_model_that_rejects_a_picture_without_cells_is_named() -> None:
    class Picky(OnePatch):
        def predict(self, model_input: list[Picture]) -> list[Light]:
            if by_cell(model_input[0])[MATTERS] < 0.9:
                raise ValueError("too dark")
            return super().predict(model_input)

    with pytest.raises(NotExplainable, match="Picky rejects a record without some parts: too dark"):
        explained(Picky(), patch())


def test_the_heat_map_colors_the_cell_that_matters() -> None:
    pixels = patch(70)
    found = explained(OnePatch(), pixels)
    drawn = draw_heat_map(decode_image(encode_png(pixels)), found).astype(int)
    assert drawn.shape == (490, 490, 3)
    inside, outside = drawn[175, 315], drawn[35, 35]
    assert np.abs(inside - np.array(RAISES) * 0.75 - 255 * 0.25).max() <= 1
    assert outside.max() - outside.min() == 0
    lowered = found.model_copy(update={"cells": (-np.array(found.cells)).tolist()})
    opposite = draw_heat_map(decode_image(encode_png(pixels)), lowered).astype(int)
    assert np.abs(opposite[175, 315] - np.array(LOWERS) * 0.75 - 255 * 0.25).max() <= 1


def test_photographs_are_shrunk_in_the_heat_map() -> None:
    found = explained(OnePatch(), patch())
    photograph = np.zeros((3000, 2000, 3), dtype=np.uint8)
    assert draw_heat_map(photograph, found).shape == (1024, 683, 3)

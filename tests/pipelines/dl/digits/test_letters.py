"""Letters are drawn in the same way for the same seed, and no test font was trained on."""

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.dl.digits import letters
from pipelines.dl.digits.letters import LEARNED, LETTERS, TESTED
from slipway.kits.drawings import BOX, SIDE
from slipway.kits.study import TensorRows
from slipway.training import LabelledRows

FONTS = (*LEARNED, *TESTED)


class Answers(nn.Module):
    """A network that gives fixed answers, whatever it sees."""

    def __init__(self, places: list[int]) -> None:
        super().__init__()
        self.scores = nn.functional.one_hot(torch.tensor(places), len(LETTERS)).float()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scores


def test_no_family_of_a_test_font_is_trained_on() -> None:
    families = {name: str(letters.font_of(name).getname()[0]) for name in FONTS}
    learned, tested = ({families[name] for name in part} for part in (LEARNED, TESTED))
    assert learned == {"DejaVu Sans", "DejaVu Sans Mono", "DejaVu Serif"}
    assert not any("DejaVu" in each for each in tested)


@pytest.mark.parametrize("name", FONTS)
def test_every_font_has_a_glyph_of_its_own_for_each_letter(name: str) -> None:
    font = letters.font_of(name)
    glyphs = [(font.getmask(each).size, bytes(font.getmask(each))) for each in LETTERS]
    assert len(set(glyphs)) == len(LETTERS)


def test_outlines_of_learned_and_test_fonts_differ() -> None:
    for letter in "agM":
        glyphs = {bytes(letters.font_of(name).getmask(letter)) for name in FONTS}
        assert len(glyphs) == len(FONTS)


def test_letters_depend_on_the_seed_alone() -> None:
    first, again, other = (letters.draw_letters(TESTED[:1], 1, seed) for seed in (1, 1, 2))
    assert np.array_equal(*(each.inputs["images"] for each in (first, again)))
    assert not np.array_equal(*(each.inputs["images"] for each in (first, other)))


def test_letters_are_as_frequent_as_each_other_and_fill_the_square() -> None:
    drawn = letters.draw_letters(TESTED[:2], 2, seed=3)
    assert torch.bincount(drawn.targets["labels"]).tolist() == [4] * len(LETTERS)
    images = drawn.inputs["images"].numpy()
    assert images.shape == (208, 1, SIDE, SIDE)
    for image in images[:, 0]:
        sizes = [np.ptp(np.flatnonzero(image.any(axis=axis))) + 1 for axis in (0, 1)]
        assert max(sizes) == BOX
    assert not any(np.array_equal(*pair) for pair in zip(images[:104], images[104:], strict=True))


def test_another_case_is_wrong_unless_case_is_ignored() -> None:
    images = torch.zeros(4, 1, SIDE, SIDE, dtype=torch.uint8)
    drawn = TensorRows(LabelledRows(list("aabb"), list("oOcX")), {"images": images}, {})
    answers = Answers([LETTERS.index(each) for each in "oocY"])
    metrics, confused = letters.scores(answers, drawn)
    assert (metrics["letter_accuracy"], metrics["either_case_accuracy"]) == (0.5, 0.75)
    # Two fonts with shares of 0.5 and 0.5, then of 1 and 0.5.
    assert metrics["letter_accuracy_se"] == pytest.approx(0)
    assert metrics["either_case_accuracy_se"] == pytest.approx(0.25)
    assert set(confused) == {"O o", "X Y"}


def test_a_reader_has_a_score_for_each_letter() -> None:
    for kind in ("linear", "cnn"):
        assert letters.reader(kind)(torch.zeros(2, 1, SIDE, SIDE)).shape == (2, len(LETTERS))

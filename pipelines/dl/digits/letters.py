"""Learn letters that are drawn with fonts, and read them in fonts that training never saw.

The letters are synthetic. No network of this study is served.
"""

from collections import Counter
from functools import cache, partial
from string import ascii_letters
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import nn
from torch.nn import functional

from slipway.datasets import fetch
from slipway.deep import Plan, predict
from slipway.kits.drawings import centered_digit
from slipway.kits.pixel_tensors import brightness
from slipway.kits.study import TensorRows
from slipway.training import Candidate, LabelledRows
from slipway.training.selection import fold_error

from .networks import Recipe, network
from .study import DigitStudy

LETTERS = ascii_letters
# Files that matplotlib ships. The test fonts have other designers than those of the training, since
# styles of one family, such as upright and oblique, share their outlines.
UPRIGHT = ("DejaVuSans", "DejaVuSansMono", "DejaVuSerif")
LEARNED = (
    *(f"{family}{bold}" for family in UPRIGHT for bold in ("", "-Bold")),
    *("DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
)
TESTED = (
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmti10", "cmmi10", "cmss10", "cmtt10"),
)
# Pixels of the picture in which a letter is drawn, and of the letter.
SIDE, SIZE = 80, 48
# Confusions that are drawn.
SHOWN = 12


@cache
def font_of(name: str) -> ImageFont.FreeTypeFont:
    """Return a font of matplotlib's by the name of its file."""
    return ImageFont.truetype(fetch("matplotlib_fonts").path(f"{name}.ttf"), SIZE)


def draw_letter(letter: str, font: str, generator: np.random.Generator) -> np.ndarray:
    """Return a letter (28, 28), light on black, in the form of MNIST's pictures.

    It is turned by up to 10 degrees, sheared by 0.2 and stretched by 15 % at random. Its strokes
    get thicker by up to a pixel on each side, and their outlines uneven.
    """
    picture = Image.new("L", (SIDE, SIDE))
    thicker = int(generator.integers(0, 2))
    place = (SIDE / 2, SIDE / 2)
    ImageDraw.Draw(picture).text(place, letter, 255, font_of(font), "mm", stroke_width=thicker)
    angle, shear = np.radians(generator.uniform(-10, 10)), generator.uniform(-0.2, 0.2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ [[1, shear], [0, 1]] @ np.diag(generator.uniform(0.85, 1.15, 2))
    shift = SIDE / 2 - matrix @ [SIDE / 2, SIDE / 2]
    affine = tuple(np.column_stack([matrix, shift]).ravel().tolist())
    moved = picture.transform(
        picture.size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
    )
    ink = np.asarray(moved.filter(ImageFilter.GaussianBlur(1.5)), dtype=np.float32)
    coarse = generator.normal(0, 0.35, (SIDE // 4, SIDE // 4)).astype(np.float32)
    noise = np.asarray(Image.fromarray(coarse).resize(picture.size, Image.Resampling.BILINEAR))
    uneven = np.clip(4 * (ink * (1 + noise) - 80) + 128, 0, 255)
    return centered_digit(uneven.astype(np.uint8))


def draw_letters(fonts: tuple[str, ...], draws: int, seed: int) -> TensorRows:
    """Return every letter of every font `draws` times; the records are the names of the fonts."""
    generator = np.random.default_rng(seed)
    drawn = [(font, each) for _ in range(draws) for font in fonts for each in LETTERS]
    images = np.stack([draw_letter(letter, font, generator) for font, letter in drawn])[:, None]
    labels = torch.tensor([LETTERS.index(letter) for _, letter in drawn])
    rows: LabelledRows[Any, str] = LabelledRows(
        [each for each, _ in drawn], [each for _, each in drawn]
    )
    return TensorRows(rows, {"images": torch.from_numpy(images)}, {"labels": labels})


def letters(study: DigitStudy, draws: int, epochs: int) -> list[Candidate]:
    """Train a convolutional and a linear network on letters; score them in other fonts."""
    learned = draw_letters(LEARNED, draws, study.seed)
    tested = draw_letters(TESTED, max(draws // 4, 1), study.seed + 1)
    images, labels = brightness(learned.inputs["images"]), learned.targets["labels"]

    def loss(module: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(module(images[batch]), labels[batch])

    guessed = {"letter_accuracy": 1 / len(LETTERS), "either_case_accuracy": 2 / len(LETTERS)}
    found = [Candidate("letters_by_chance", guessed)]
    plan = Plan(epochs, 0.003, "one_cycle", batch=64)
    for kind in ("linear", "cnn"):
        name = f"letters_{kind}"
        module, curves = study.train_by(name, partial(reader, kind), loss, learned, plan)
        metrics, confused = scores(module, tested)
        found.append(Candidate(name, metrics, {"rows": len(learned), "confused": confused}, curves))
    return found


def reader(kind: str) -> nn.Sequential:
    """Return an untrained network for digits with one output for each letter instead."""
    *layers, last = network(Recipe(kind))
    assert isinstance(last, nn.Linear)
    return nn.Sequential(*layers, nn.Linear(last.in_features, len(LETTERS)))


def scores(module: nn.Module, drawn: TensorRows) -> tuple[dict[str, float], dict[str, float]]:
    """Return the accuracies, and the most frequent confusions: shares by `true letter, answer`.

    Fonts are the unit of the standard errors: letters of one font are alike.
    """
    y_true, fonts = drawn.rows.labels, np.array(drawn.rows.records)
    places = predict(module, brightness(drawn.inputs["images"])).argmax(dim=1).tolist()
    y_pred = [LETTERS[each] for each in places]
    hits = {
        "letter_accuracy": np.array(y_true) == y_pred,
        "either_case_accuracy": np.char.lower(y_true) == np.char.lower(y_pred),
    }
    metrics = {name: float(right.mean()) for name, right in hits.items()}
    for name, right in hits.items():
        metrics[f"{name}_se"] = fold_error(
            [right[fonts == each].mean() for each in np.unique(fonts)]
        )
    pairs = Counter(pair for pair in zip(y_true, y_pred, strict=True) if pair[0] != pair[1])
    each_letter = len(y_true) / len(LETTERS)
    return metrics, {" ".join(pair): n / each_letter for pair, n in pairs.most_common(SHOWN)}

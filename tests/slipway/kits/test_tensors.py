"""Tensors of the kits for masks, texts, sequences, forecasts, tables and made pictures."""

import io
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from slipway.contract import Record
from slipway.kits.digit_canvases import digit_canvases
from slipway.kits.forecasting.windows import windows
from slipway.kits.generative.record import MadePicture
from slipway.kits.images import ImageRecord
from slipway.kits.readers.masks import mask_pairs
from slipway.kits.readers.table import labelled_rows
from slipway.kits.readers.wav import labelled_sounds
from slipway.kits.segmentation.record import Segmentation, segment
from slipway.kits.sequence.steps import step_batch
from slipway.kits.splits import random_split
from slipway.kits.tabular.features import numbers, texts
from slipway.kits.text.vocabulary import Vocabulary, words
from slipway.media import encode_png

LABELS = ("cell", "dish")


class Picture(ImageRecord, size=(4, 4), mode="L"):
    """A grey picture."""


def test_masks_have_the_pictures_size() -> None:
    picture = Picture(image=encode_png(np.zeros((8, 12), dtype=np.uint8)))
    probabilities = np.zeros((1, 3, 4, 4))
    probabilities[0, 0] = 0.5
    probabilities[0, 2, :2, 3] = 0.9
    (found,) = segment([picture], probabilities, Segmentation, LABELS)
    assert [(each.label, each.height, each.width) for each in found.masks] == [("dish", 8, 12)]
    classes = found.classes(LABELS, (8, 12))
    assert (classes[:4, 9:] == 2).all()
    assert classes.sum() == 2 * 4 * 3
    assert (found.classes(LABELS, (4, 4)) == probabilities[0].argmax(axis=0)).all()


def test_words_have_numbers_by_how_common_they_are() -> None:
    assert words("It's 3.50, OK?") == ["it", "'", "s", "3", ".", "50", ",", "ok", "?"]
    vocabulary = Vocabulary.from_texts(["b a", "b c", "b a"], size=2)
    assert vocabulary.known == ("b", "a")
    assert vocabulary.tokens(["A b c", "b b b b", ""], 3).tolist() == [
        *([3, 2, 1], [2, 2, 2], [0, 0, 0])
    ]
    assert len(vocabulary) == 4


def test_a_vocabulary_is_written_and_read(tmp_path: Path) -> None:
    vocabulary = Vocabulary(("straße", "a"))
    vocabulary.write(tmp_path)
    assert Vocabulary.read(tmp_path) == vocabulary


def test_steps_are_cut_in_front_and_filled_at_the_end() -> None:
    found = step_batch([[[1, 2], [3, 4], [5, 6]], [[7, 8]]], 2)
    assert found["steps"].tolist() == [[[3, 4], [5, 6]], [[7, 8], [0, 0]]]
    assert found["counts"].tolist() == [2, 1]


def test_windows_come_in_the_order_of_time() -> None:
    found = [
        (place, past.tolist(), ahead.tolist()) for place, past, ahead in windows(np.arange(6), 3, 2)
    ]
    assert found == [(3, [0, 1, 2], [3, 4]), (4, [1, 2, 3], [4, 5])]
    with pytest.raises(ValueError, match="a window has 7 steps, the series only 6"):
        list(windows(np.arange(6), 4, 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_made_pictures_keep_their_pixels(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, channels, 12, 14))
    made = MadePicture.from_brightness(images / 255)
    assert all(
        (each.pixels(channels) == image).all() for each, image in zip(made, images, strict=True)
    )
    (clipped,) = MadePicture.from_brightness(np.full((1, 1, 12, 12), 1.7))
    assert (clipped.pixels(1) == 255).all()


class Flower(Record):
    """A flower."""

    length: float | None
    kind: str | None


def test_fields_become_columns_with_missing_values() -> None:
    frame = pd.DataFrame({"Length": [1.5, None], "Kind": ["a", None], "More": [0, 0]})
    rows = labelled_rows(frame, Flower, {"Length": "length", "Kind": "kind"}, [True, False])
    assert rows == [(Flower(length=1.5, kind="a"), True), (Flower(length=None, kind=None), False)]
    records = [record for record, _ in rows]
    values = numbers(records, ["length"])
    assert values.dtype == np.float32
    assert values[0, 0] == 1.5
    assert np.isnan(values[1, 0])
    assert texts(records, ["kind"], missing="?").tolist() == [["a"], ["?"]]


def test_a_random_split_has_every_row_once() -> None:
    parts = random_split(list(range(10)), 0.3, seed=4)
    assert (len(parts["train"]), len(parts["test"])) == (7, 3)
    assert sorted(parts["train"] + parts["test"]) == list(range(10))
    assert parts == random_split(list(range(10)), 0.3, seed=4)


def test_pictures_are_paired_with_their_masks(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    mask = np.array([[0, 3], [1, 255]], dtype=np.uint8)
    (tmp_path / "labels" / "a.png").write_bytes(encode_png(mask))
    (tmp_path / "images" / "a.jpg").write_bytes(b"picture")
    ((name, content, classes),) = mask_pairs(tmp_path)
    assert (name, content, classes.tolist()) == ("a", b"picture", mask.tolist())
    (tmp_path / "images" / "b.jpg").write_bytes(b"picture")
    with pytest.raises(ValueError, match="no mask labels/b"):
        list(mask_pairs(tmp_path))
    with pytest.raises(ValueError, match="no pictures in a folder none"):
        list(mask_pairs(tmp_path, images="none"))


def test_sounds_are_labelled_by_folder_or_name(tmp_path: Path) -> None:
    content = io.BytesIO()
    with wave.open(content, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(np.full(80, 2**14, dtype="<i2").tobytes())
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "3_ann.wav").write_bytes(content.getvalue())
    ((label, samples),) = labelled_sounds(tmp_path, 8000)
    assert (label, samples.dtype, samples.tolist()) == ("three", np.float32, [0.5] * 80)
    ((label, _),) = labelled_sounds(tmp_path, 8000, lambda name: name.split("/")[1].split("_")[0])
    assert label == "3"


def test_canvases_hold_the_digits_that_their_boxes_name(tmp_path: Path) -> None:
    file = tmp_path / "digits.csv"
    file.write_text("\n".join(",".join(["16"] * 64 + [str(digit)]) for digit in range(10)))
    first, second = digit_canvases(file, 2, seed=3)
    for canvas in (first, second):
        assert 2 <= len(canvas.boxes) <= 4
        for box in canvas.boxes:
            part = np.s_[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)]
            assert (canvas.image[part] == 255).all()
            assert (canvas.classes[part] == 1).all()
        assert canvas.classes.sum() == 256 * len(canvas.boxes)
    assert not (first.image == second.image).all()

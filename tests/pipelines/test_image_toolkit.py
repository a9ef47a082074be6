"""The image toolkit's own code against OpenCV's functions, its limits, and its batch command."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from pipelines.cv.image_toolkit import batch, colors, filters, resampling
from pipelines.cv.image_toolkit.data import PICTURES, edits
from pipelines.cv.image_toolkit.model import Edit, ImageToolkit
from pipelines.cv.image_toolkit.operations import MAX_PIXELS, Canvas, Operation, apply, plan
from pipelines.cv.image_toolkit.reference import opencv_apply
from slipway.datasets import fetch
from slipway.media import decode_image, encode_png

# All digits occur, and the odd width has the rest of a row that OpenCV computes in another way.
NOISE = np.random.default_rng(4).integers(0, 256, (61, 83, 3)).astype(np.uint8)
SMOOTH = filters.gaussian_blur(NOISE, 3)

EXACT: list[list[dict[str, Any]]] = [
    [{"resize": {"width": 40, "height": 30, "method": "nearest"}}],
    [{"resize": {"width": 40, "height": 30, "method": "bilinear"}}],
    [{"resize": {"width": 200, "height": 150, "method": "bilinear"}}],
    [{"resize": {"width": 40, "height": 30}}],
    [{"resize": {"width": 20, "height": 150}}],
    [{"resize": {"width": 200, "height": 150}}],
    [{"crop": {"width": 82, "height": 60}}, {"resize": {"width": 41, "height": 30}}],
    [
        {"crop": {"width": 82, "height": 60}},
        {"resize": {"width": 41, "height": 30, "method": "bilinear"}},
    ],
    [{"rotate": {"degrees": 33.3}}],
    [{"rotate": {"degrees": -80, "method": "nearest", "expand": False}}],
    [{"rotate": {"degrees": 180}}],
    [{"affine": {"matrix": [0.9, 0.2, 3, -0.1, 1.2, -5]}}],
    [{"flip": {"direction": "vertical"}}],
    *([{"convert": {"to": space}}] for space in ("bgr", "gray", "hsv", "lab")),
    [{"convert": {"to": "bgr"}}, {"convert": {"to": "rgb"}}],
    [{"convert": {"to": "gray"}}, {"convert": {"to": "rgb"}}],
    *([{"box": {"radius": radius}}] for radius in (1, 15)),
    *([{"gaussian": {"sigma": sigma}}] for sigma in (0.3, 1, 5)),
    *([{"median": {"radius": radius}}] for radius in (1, 2)),
    [{"sharpen": {"amount": 1.3}}],
    [{"edges": {}}],
    [{"convert": {"to": "gray"}}, {"edges": {"threshold": 90}}],
]


def operations(steps: list[dict[str, Any]]) -> list[Operation]:
    return [Operation.model_validate(each) for each in steps]


@pytest.mark.parametrize("picture", [NOISE, SMOOTH], ids=["noise", "smooth"])
@pytest.mark.parametrize("steps", EXACT, ids=json.dumps)
def test_every_digit_is_that_of_opencv(picture: np.ndarray, steps: list[dict[str, Any]]) -> None:
    wanted = operations(steps)
    assert np.array_equal(apply(picture, wanted), opencv_apply(picture, wanted))


@pytest.mark.parametrize(
    ("steps", "largest"),
    [
        ([{"resize": {"width": 40, "height": 30, "method": "bilinear"}}], 1),
        ([{"gaussian": {"sigma": 2}}], 2),
        ([{"convert": {"to": "lab"}}], 3),
    ],
    ids=["resize", "gaussian", "lab"],
)
def test_real_numbers_differ_in_the_last_digit(steps: list[dict[str, Any]], largest: int) -> None:
    wanted = operations(steps)
    difference = np.abs(apply(NOISE, wanted, fixed=False).astype(int) - opencv_apply(NOISE, wanted))
    assert 0 < difference.max() <= largest


def test_hue_and_back_is_rounded_where_opencv_cuts_digits_off() -> None:
    wanted = operations([{"convert": {"to": "hsv"}}, {"convert": {"to": "rgb"}}])
    own, opencv = apply(NOISE, wanted).astype(int), opencv_apply(NOISE, wanted)
    assert set(np.unique(own - opencv)) == {0, 1}
    # The rest of each row, which no vector instruction computes, is rounded by OpenCV as well.
    assert np.abs(own - NOISE).mean() <= np.abs(opencv.astype(int) - NOISE).mean()


def test_rows_are_computed_in_bands_without_a_seam() -> None:
    tall = np.random.default_rng(5).integers(0, 256, (3 * resampling.BAND + 7, 9)).astype(np.uint8)
    picture = np.stack([tall] * 3, axis=2)
    for steps in EXACT[1:6]:
        wanted = operations(steps)
        assert np.array_equal(apply(picture, wanted), opencv_apply(picture, wanted))
    assert np.array_equal(filters.median_blur(tall, 5)[2:-2, 2:-2], brute_median(tall, 5))


def brute_median(image: np.ndarray, size: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size))
    return np.asarray(np.median(windows, axis=(2, 3)).astype(np.uint8))


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (90, 1), (2, 2)])
def test_tiny_pictures_survive_every_operation(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 90, dtype=np.uint8)
    for steps in EXACT:
        if "crop" not in steps[0]:
            assert apply(picture, operations(steps)).size


def test_white_stays_white_in_gray_and_lab() -> None:
    white = np.full((1, 1, 3), 255, dtype=np.uint8)
    assert colors.to_gray(white).tolist() == [[255]]
    assert colors.to_lab(white).tolist() == [[[255, 128, 128]]]


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([{}], "must have exactly one of"),
        ([{"flip": {}, "edges": {}}], "got flip and edges"),
        ([{"blur": {}}], "Extra inputs are not permitted"),
        ([{"resize": {"width": 0, "height": 5}}], "greater than or equal to 1"),
        ([{"resize": {"width": 5, "height": 5, "method": "cubic"}}], "should match pattern"),
        ([{"crop": {"left": 80, "width": 10, "height": 5}}], "operation 1, crop: the rectangle"),
        ([{"affine": {"matrix": [1, 1, 0, 1, 1, 0]}}], "a e - b d must be at least"),
        ([{"affine": {"matrix": [1, 2]}}], "at least 6 items"),
        ([{"median": {"radius": 9}}], "less than or equal to 2"),
        ([{"convert": {"to": "lab"}}, {"edges": {}}], "operation 2, edges: needs a picture in"),
        ([{"convert": {"to": "lab"}}, {"convert": {"to": "rgb"}}], "lab cannot be converted"),
        ([{"resize": {"width": 4096, "height": 4096}}], "resize or crop first"),
        ([{"flip": {}}] * 9, "at most 8 items"),
    ],
)
def test_what_does_not_fit_is_refused(steps: list[dict[str, Any]], problem: str) -> None:
    request = {"image": encode_png(NOISE), "operations": steps}
    with pytest.raises(ValidationError, match=problem):
        Edit.model_validate(request)


def test_results_are_bounded_wherever_they_grow() -> None:
    wanted = operations([{"rotate": {"degrees": 45}}])
    with pytest.raises(ValueError, match=f"{MAX_PIXELS:,}"):
        plan(wanted, Canvas(2000, 2000))


@pytest.fixture
def toolkit(tmp_path: Path) -> ImageToolkit:
    (tmp_path / "method.json").write_text('{"method": "fixed_point"}')
    toolkit = ImageToolkit()
    toolkit.load(tmp_path)
    return toolkit


@pytest.mark.parametrize("name", ["png", "jpeg", "bmp", "webp"])
def test_every_format_is_read_and_written(name: str, toolkit: ImageToolkit) -> None:
    file = BytesIO()
    Image.fromarray(SMOOTH).save(file, name)
    steps = operations([{"resize": {"width": 20, "height": 10}}, {"convert": {"to": "gray"}}])
    edit = Edit(image=file.getvalue(), operations=steps, format=name)
    (result,) = toolkit.predict([edit])
    written = Image.open(BytesIO(result.image))
    assert (written.format, written.size) == (name.upper(), (20, 10))
    assert (result.width, result.height, result.colors) == (20, 10, "gray")
    assert result.done == ["resize: 20 x 10", "convert: 20 x 10"]
    features = toolkit.monitoring_features([edit], [result])
    assert features["size_change"] == pytest.approx(200 / (61 * 83))


def test_no_picture_is_in_two_splits() -> None:
    train, test = (
        {name for names in PICTURES[part].values() for name in names} for part in ("train", "test")
    )
    assert not train & test


def test_the_rows_of_a_seed_are_the_same() -> None:
    dataset = fetch("opencv_samples")
    first, second = (list(edits(dataset, "test", 20, 3)) for _ in range(2))
    assert first == second
    assert all(decode_image(label.image).size for _, label in first)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    for number in range(3):
        (source / "inner" / f"{number}.png").write_bytes(encode_png(NOISE[number:]))
    (source / "notes.txt").write_text("no picture")
    return source


def test_a_folder_is_converted_and_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "results"
    recipe = batch.Recipe(operations([{"flip": {}}]), "webp", 80)
    assert batch.run(folder, target, recipe, 2).done == 3
    lost = target / "inner" / "1.png.webp"
    lost.unlink()
    again = batch.run(folder, target, recipe, 2)
    assert (again.done, again.skipped, again.failures) == (1, 2, 0)
    assert Image.open(lost).size == (83, 60)
    assert not list(target.rglob("*.part"))


def test_other_operations_need_another_folder(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "results"
    words = [str(folder), str(target), "--workers", "1"]
    assert batch.main([*words, "--operations", '[{"flip": {}}]']) == 0
    assert batch.main([*words, "--operations", '[{"edges": {}}]']) == 2


def test_a_damaged_picture_fails_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    assert batch.main([str(folder), str(tmp_path / "results"), "--workers", "1"]) == 1
    printed = capsys.readouterr()
    assert "3 pictures done, 0 skipped, 1 failed" in printed.out
    assert "broken.jpg: Value error, is damaged or cut off" in printed.err

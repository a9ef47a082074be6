"""Placing and blending of photos, the made photos, and the model's answers."""

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.cv.panorama import blending, crops, data, metrics, pairs, placing
from pipelines.cv.panorama.model import PanoramaMaker, PhotoSet, Settings
from slipway.datasets import fetch
from slipway.media import decode_image, encode_png

BLACK = encode_png(np.zeros((120, 160, 3), dtype=np.uint8))


@pytest.fixture
def maker() -> PanoramaMaker:
    maker = PanoramaMaker()
    maker._settings = Settings(detector="sift", refined=True, equal=True, blender="multiband")
    return maker


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return crops.resized(data.read_scene(fetch("opencv_samples"), "board.jpg"))


@pytest.fixture(scope="module")
def photos(scene: np.ndarray) -> list[crops.Crop]:
    return crops.make_crops(scene, np.random.default_rng(5), 3, 0.5)


def test_photos_are_placed_in_any_order(maker: PanoramaMaker, photos: list[crops.Crop]) -> None:
    for order in ([0, 1, 2], [2, 0, 1]):
        (made,) = maker.predict([PhotoSet(images=[photos[row].jpeg for row in order])])
        assert made.joined
        assert made.message == "3 of 3 photos joined."
        true = [photos[row].matrix.ravel().tolist() for row in order]
        errors, _ = metrics.photo_errors([each.matrix for each in made.photos], true)
        assert max(errors) < metrics.CLOSE


def test_exposure_and_blending_bring_the_panorama_nearer_to_the_scene(
    maker: PanoramaMaker, photos: list[crops.Crop], scene: np.ndarray
) -> None:
    true = [each.matrix.ravel().tolist() for each in photos]
    found = {}
    for blender, equal in (("none", False), ("none", True), ("feather", True), ("multiband", True)):
        record = PhotoSet(
            images=[each.jpeg for each in photos], blending=blender, equal_exposure=equal
        )
        (made,) = maker.predict([record])
        matrices = [each.matrix for each in made.photos]
        found[blender, equal] = metrics.fidelity(decode_image(made.panorama), scene, matrices, true)
        assert found[blender, equal] is not None
    psnr = {key: value.psnr for key, value in found.items() if value is not None}
    seams = {key: value.seam_error for key, value in found.items() if value is not None}
    assert psnr["none", True] > psnr["none", False] + 1
    assert psnr["feather", True] > psnr["none", True]
    assert seams["multiband", True] < seams["none", True] < seams["none", False]


def test_gains_undo_known_exposures() -> None:
    scene = np.random.default_rng(1).integers(40, 160, (60, 200, 3)).astype(np.uint8)
    layers = []
    for left, gain in ((0, 1.0), (50, 0.7), (100, 1.3)):
        values = np.clip(scene[:, left : left + 100] * gain, 0, 255).astype(np.uint8)
        move = np.array([[1.0, 0, left], [0, 1, 0], [0, 0, 1]])
        layers.append(blending.warp(values, move, (200, 60)))
    factors = blending.gains(layers)
    assert factors / factors[0] == pytest.approx([1, 1 / 0.7, 1 / 1.3], rel=0.03)
    assert factors.mean() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("blender", list(blending.BLENDERS))
def test_photos_that_agree_are_blended_to_themselves(blender: str) -> None:
    smooth = np.random.default_rng(2).uniform(30, 220, (64, 160, 3)).astype(np.float32)
    picture = cv2.GaussianBlur(smooth, (0, 0), 4).astype(np.uint8)
    layers = [
        blending.warp(
            picture[:, left : left + 100],
            np.array([[1.0, 0, left], [0, 1, 0], [0, 0, 1]]),
            (160, 64),
        )
        for left in (0, 60)
    ]
    made, _ = blending.blend(layers, blender, equal=False)
    assert np.abs(made.astype(int) - picture).max() <= 3


def test_a_stranger_is_left_out(maker: PanoramaMaker, photos: list[crops.Crop]) -> None:
    other = crops.resized(data.read_scene(fetch("opencv_samples"), "fruits.jpg"))
    stranger = crops.make_crops(other, np.random.default_rng(1), 1, 0.5)[0]
    images = [photos[0].jpeg, stranger.jpeg, photos[1].jpeg]
    (made,) = maker.predict([PhotoSet(images=images)])
    assert [each.placed for each in made.photos] == [True, False, True]
    assert "Left out, since nothing in common was found: 2." in made.message


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([BLACK], "at least two photos"),
        ([BLACK, BLACK], "No two photos"),
        ([BLACK] * 6, "No two photos"),
        ([encode_png(np.full((16, 64, 3), 200, np.uint8)), BLACK], "No two photos"),
    ],
)
def test_photos_that_cannot_be_joined_get_an_answer(
    images: list[bytes], message: str, maker: PanoramaMaker
) -> None:
    (made,) = maker.predict([PhotoSet(images=images)])
    assert not made.joined
    assert message in made.message
    assert made.unblended is None
    assert np.array_equal(decode_image(made.panorama), decode_image(images[0]))
    features = maker.monitoring_features([PhotoSet(images=images)], [made])
    assert features["placed_share"][0] == features["agreeing"][0] == 0


def test_the_same_photo_twice_is_joined_to_itself(
    maker: PanoramaMaker, photos: list[crops.Crop]
) -> None:
    (made,) = maker.predict([PhotoSet(images=[photos[0].jpeg] * 2)])
    assert made.joined
    height, width = decode_image(made.panorama).shape[:2]
    assert (width, height) == pytest.approx(crops.PHOTO, abs=1)


@pytest.mark.parametrize("count", [0, 7])
def test_too_few_and_too_many_photos_are_refused(count: int) -> None:
    with pytest.raises(ValidationError, match="images"):
        PhotoSet(images=[BLACK] * count)


def test_implausible_homographies_are_refused() -> None:
    size = (300, 240)
    assert placing.plausible(np.eye(3), size)
    assert not placing.plausible(np.diag([-1.0, 1, 1]), size)
    assert not placing.plausible(np.diag([10.0, 10, 1]), size)
    assert not placing.plausible(np.array([[1.0, 0, 0], [0, 1, 0], [-0.01, 0, 1]]), size)


def test_the_output_is_bounded(photos: list[crops.Crop]) -> None:
    found = placing.match_all(
        [
            placing.Keypoints(
                np.random.default_rng(3).uniform(0, 200, (60, 2)) * scale,
                np.eye(60, 64, dtype=np.float32) * 200,
            )
            for scale in (1.0, 1.0)
        ],
        refined=True,
    )
    placed = placing.place([(60_000, 60_000), (300, 240)], found)
    assert placed is not None
    assert max(placed.size) <= placing.LONGEST
    assert placed.size[0] * placed.size[1] <= placing.LARGEST


def test_the_pair_of_a_wall_is_near_its_known_homography() -> None:
    errors = pairs.wall_errors()
    # A car stands in front of the wall, so not all that agrees is on it.
    assert errors["wall_error"] < 6
    assert errors["wall_error_opencv"] < 6


def test_no_scene_is_in_two_splits() -> None:
    assert not set(data.SCENES["train"]) & set(data.SCENES["test"])


def test_errors_of_moved_and_missing_photos() -> None:
    true = [
        np.eye(3).ravel().tolist(),
        np.array([[1.0, 0, -50], [0, 1, 0], [0, 0, 1]]).ravel().tolist(),
        [],
    ]
    exact = [true[0], np.array([[1.0, 0, 50], [0, 1, 0], [0, 0, 1]]).ravel().tolist(), []]
    assert metrics.photo_errors(exact, true) == ([pytest.approx(0, abs=1e-9)], [False])
    moved = [true[0], np.array([[1.0, 0, 53], [0, 1, 4], [0, 0, 1]]).ravel().tolist(), true[0]]
    assert metrics.photo_errors(moved, true) == ([pytest.approx(5)], [True])
    assert metrics.photo_errors([true[0], [], []], true) == ([np.inf], [False])
    assert metrics.close_share([[1.0, 4.0], [np.inf]]) == pytest.approx(1 / 3)

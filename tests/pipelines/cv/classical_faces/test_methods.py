"""Own histograms, windows and cascade stages against scikit-image and OpenCV."""

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from skimage.feature import hog
from sklearn.svm import LinearSVC

from pipelines.cv.classical_faces import hog as own
from pipelines.cv.classical_faces.cascades import find_eyes, find_faces, load_cascade
from pipelines.cv.classical_faces.framing import face_square
from pipelines.cv.classical_faces.learning import fitted
from pipelines.cv.classical_faces.linking import PATIENCE, FaceLinker
from pipelines.cv.classical_faces.scenes import portraits
from pipelines.cv.classical_faces.sliding import (
    FEATURES,
    SIDE,
    WINDOW,
    Linear,
    find,
    pyramid,
    windows,
)
from pipelines.cv.classical_faces.stages import Stage, integral, read_stages, surviving
from slipway.datasets import fetch

GENERATOR = np.random.default_rng(0)
NOISE = GENERATOR.integers(0, 256, (61, 83)).astype(np.uint8)
FACE = np.array([[100.0, 100, 140, 140]])


def load_haar() -> cv2.CascadeClassifier:
    return load_cascade(fetch("face_cascades").path("haarcascade_frontalface_default.xml"))


def read_haar() -> tuple[int, list[Stage]]:
    return read_stages(fetch("face_cascades").path("haarcascade_frontalface_default.xml"))


@pytest.mark.parametrize("shape", [(32, 32), (61, 83), (8, 100)])
def test_histograms_equal_those_of_scikit_image(shape: tuple[int, int]) -> None:
    gray = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    other = hog(gray, 9, (4, 4), (2, 2), block_norm="L2-Hys", feature_vector=False)
    assert_allclose(own.block_features(gray), other.reshape(*other.shape[:2], -1), atol=1e-6)


def test_light_and_contrast_hardly_change_the_features() -> None:
    face = portraits("test")[0].picture
    darker = np.rint(face * 0.5 + 20).astype(np.uint8)
    change = np.abs(own.block_features(face) - own.block_features(darker))
    assert np.median(change) < 0.02


def test_a_flat_picture_has_no_direction() -> None:
    assert not own.block_features(np.full((32, 32), 77, dtype=np.uint8)).any()


def test_a_window_has_as_many_features_as_the_classifier_has_weights() -> None:
    assert own.block_features(NOISE[:WINDOW, :WINDOW]).size == FEATURES


def test_the_convolution_scores_each_window_like_the_classifier_alone() -> None:
    classifier = Linear.from_array(GENERATOR.normal(size=FEATURES + 1))
    blocks = own.block_features(NOISE)
    scores = classifier.scores(blocks)
    assert scores.shape == (blocks.shape[0] - SIDE + 1, blocks.shape[1] - SIDE + 1)
    for row, column in ((0, 0), (3, 5), tuple(np.array(scores.shape) - 1)):
        window = blocks[row : row + SIDE, column : column + SIDE]
        alone = (window * classifier.weights).sum() + classifier.intercept
        assert scores[row, column] == pytest.approx(alone)


def test_the_classifier_scores_like_scikit_learns() -> None:
    faces, others = GENERATOR.normal(0.2, 1, (30, FEATURES)), GENERATOR.normal(size=(50, FEATURES))
    classifier = fitted(faces, others, 0.01)
    machine = LinearSVC(C=0.01, class_weight="balanced", dual=False)
    machine.fit(np.vstack([faces, others]), np.repeat([1, 0], [30, 50]))
    blocks = faces[0].reshape(SIDE, SIDE, -1)
    assert classifier.scores(blocks)[0, 0] == pytest.approx(machine.decision_function(faces[:1])[0])


def test_the_pyramid_ends_when_the_window_no_longer_fits() -> None:
    sizes = [(level.shape, scale) for level, scale in pyramid(NOISE, min_face=24)]
    assert sizes[0][0] == (81, 111)
    assert min(sizes[-1][0]) >= WINDOW
    assert sizes[-1][1] < sizes[0][1]
    assert list(pyramid(NOISE[:10], min_face=24)) == []


def test_of_windows_on_a_planted_face_one_is_left_at_its_place() -> None:
    """A classifier that knows one picture finds it again, twice as large."""
    face = cv2.resize(portraits("test")[3].picture[15:107], (WINDOW, WINDOW))
    features = own.block_features(face)
    classifier = Linear(features, -0.6 * float((features**2).sum()))
    scene = np.full((200, 240), 90, dtype=np.uint8)
    scene[64:128, 96:160] = cv2.resize(face, (64, 64))
    around, _ = windows(scene, classifier, min_face=32, threshold=0)
    boxes, values = find(scene, classifier, min_face=32, threshold=0)
    assert len(around) > len(boxes)
    assert (np.diff(values) <= 0).all()
    assert_allclose(boxes[0], [96, 64, 160, 128], atol=2 * own.CELL)


def test_the_integral_image_is_that_of_opencv() -> None:
    assert_allclose(integral(NOISE), cv2.integral(NOISE))


def test_own_stages_accept_the_windows_that_opencv_accepts() -> None:
    cascade, (side, stages) = load_haar(), read_haar()
    accepted = 0
    for portrait in portraits("test")[::8]:
        # A face of this portrait is about as large as the window.
        square = face_square(portrait.landmarks)
        scale = side / (square[2] - square[0])
        small = cv2.resize(portrait.picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        small = cv2.copyMakeBorder(small, 8, 8, 8, 8, cv2.BORDER_REPLICATE)
        *_, last = surviving(small, side, stages)
        found = cascade.detectMultiScale(small, 1.1, 0, minSize=(side,) * 2, maxSize=(side,) * 2)
        # OpenCV looks at every second place.
        ours = {(x, y) for x, y in last.tolist() if x % 2 == y % 2 == 0}
        theirs = {(x, y) for x, y, _, _ in np.reshape(found, (-1, 4)).tolist()}
        assert ours == theirs
        accepted += len(ours)
    assert accepted > 10


def test_stages_leave_fewer_windows_each_time() -> None:
    side, stages = read_haar()
    left = [len(each) for each in surviving(NOISE, side, stages)]
    assert left[0] == (62 - side) * (84 - side)
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0


def test_a_cascade_of_trees_is_refused() -> None:
    with pytest.raises(ValueError, match="votes of more than one feature"):
        read_stages(fetch("face_cascades").path("haarcascade_frontalface_alt2.xml"))


def test_a_file_without_a_cascade_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lfw_subset.npy holds no cascade"):
        load_cascade(fetch("lfw_face_patches").path("lfw_subset.npy"))


def test_without_faces_nothing_is_returned() -> None:
    boxes, counts = find_faces(load_haar(), NOISE, min_face=24, neighbors=3)
    assert boxes.shape == (0, 4)
    assert counts.shape == (0,)


def test_the_usual_places_of_eyes_follow_the_face() -> None:
    (left, right) = find_eyes(None, NOISE, np.array([10.0, 10, 50, 50]), filled=True)
    assert left == pytest.approx((10 + 0.315 * 40, 10 + 0.385 * 40))
    assert right[0] - left[0] == pytest.approx(0.37 * 40)
    assert find_eyes(None, NOISE, np.array([10.0, 10, 50, 50]), filled=False) == []


def test_a_face_keeps_its_number_and_another_gets_a_new_one() -> None:
    linker = FaceLinker()
    assert linker.link(FACE) == [1]
    assert linker.link(np.vstack([FACE + 200, FACE + 5])) == [2, 1]
    assert linker.link(np.empty((0, 4))) == []
    assert linker.link(FACE + 8) == [1]


def test_a_face_that_was_away_for_long_gets_a_new_number() -> None:
    linker = FaceLinker()
    linker.link(FACE)
    for _ in range(PATIENCE):
        linker.link(np.empty((0, 4)))
    assert linker.link(FACE) == [2]

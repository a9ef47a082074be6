"""Scenes, labels and predictions: what is in which split, and odd pictures and videos."""

from collections.abc import Callable
from io import BytesIO

import av
import numpy as np
import pytest
from numpy.testing import assert_allclose
from pydantic import ValidationError

from pipelines.cv.classical_faces.data import patches
from pipelines.cv.classical_faces.framing import face_square
from pipelines.cv.classical_faces.matching import eye_counts, face_counts, matched, shares
from pipelines.cv.classical_faces.model import (
    EYE,
    FACE,
    LONGEST,
    ClassicalFaces,
    FacePhoto,
    shrunk,
)
from pipelines.cv.classical_faces.photographs import photographs
from pipelines.cv.classical_faces.report import PHOTO, VIDEO, precision_recall
from pipelines.cv.classical_faces.scenes import (
    HEIGHT,
    WIDTH,
    Scene,
    backgrounds,
    dealt,
    portraits,
    scenes,
)
from slipway.datasets import fetch
from slipway.media import Box, Point, decode_image, encode_png
from slipway.project import Project, find
from slipway.training.workspace import Workspace

PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def made() -> dict[str, list[Scene]]:
    return {part: list(scenes(part, 12, np.random.default_rng(2))) for part in PARTS}


@pytest.fixture(scope="module")
def model(tiny_project: Callable[[Project], Workspace]) -> ClassicalFaces:
    loaded = tiny_project(find("classical_faces")).model()
    assert isinstance(loaded, ClassicalFaces)
    return loaded


def box(*corners: float, score: float = 1.0) -> Box:
    x1, y1, x2, y2 = corners
    return Box(x1=x1, y1=y1, x2=x2, y2=y2, label=FACE, score=score)


def thumbnail(gray: np.ndarray) -> np.ndarray:
    """Return a picture in 8 x 8 cells, without its mean and contrast."""
    rows, columns = (length // 8 * 8 for length in gray.shape)
    cells = gray[:rows, :columns].astype(float).reshape(8, rows // 8, 8, columns // 8)
    small = cells.mean(axis=(1, 3)).ravel()
    return np.asarray((small - small.mean()) / (np.linalg.norm(small - small.mean()) + 1e-9))


def test_no_person_and_no_background_is_in_two_splits(made: dict[str, list[Scene]]) -> None:
    people = {part: {each for scene in made[part] for each in scene.people} for part in PARTS}
    names = {part: {scene.background for scene in made[part]} for part in PARTS}
    for place, part in enumerate(PARTS):
        assert people[part] <= set(dealt()[part][0])
        for other in PARTS[place + 1 :]:
            assert not set(dealt()[part][0]) & set(dealt()[other][0])
            assert not set(dealt()[part][1]) & set(dealt()[other][1])
            assert not names[part] & names[other]


def test_no_patch_or_background_is_nearly_a_test_picture() -> None:
    """People of the patches are unknown, so that their pictures are compared."""
    rows = list(patches(fetch("lfw_face_patches")))
    taught = [decode_image(record.image or b"", "L") for record, label in rows if label.faces]
    held = [each.picture[20:104, 8:88] for each in portraits("test")]
    for scene in photographs():
        x1, y1, x2, y2 = face_square(scene.landmarks[0]).astype(int).clip(0)
        held.append(scene.picture[y1:y2, x1:x2])
    likeness = np.array([thumbnail(each) for each in taught]) @ np.transpose(
        [thumbnail(each) for each in held]
    )
    assert likeness.max() < 0.95
    pictures = {part: [thumbnail(each) for each in backgrounds(part).values()] for part in PARTS}
    for part in ("train", "validation"):
        assert (np.array(pictures[part]) @ np.transpose(pictures["test"])).max() < 0.95


def test_portraits_that_are_not_of_the_database_are_left_out() -> None:
    used = [person for part in PARTS for person in dealt()[part][0]]
    assert sorted(used) == list(range(2, 40))


def test_scenes_have_their_faces_inside(made: dict[str, list[Scene]]) -> None:
    for scene in made["test"]:
        assert scene.picture.shape == (HEIGHT, WIDTH)
        assert len(scene.landmarks) == len(scene.people)
        for left, right, mouth in scene.landmarks:
            assert left[0] < right[0]
            assert mouth[1] > min(left[1], right[1])
            assert ((scene.landmarks >= 0) & (scene.landmarks < [WIDTH, HEIGHT])).all()


def test_scenes_are_the_same_for_the_same_seed() -> None:
    one, other = (next(scenes("test", 1, np.random.default_rng(5))) for _ in range(2))
    assert np.array_equal(one.picture, other.picture)


def test_the_square_of_a_face_grows_with_it() -> None:
    face = np.array([[40.0, 50], [80, 50], [60, 90]])
    square = face_square(face)
    assert square[2] - square[0] == pytest.approx(2.7 * 40)
    assert_allclose(face_square(face * 2), square * 2)


def test_each_marked_face_counts_once() -> None:
    marked = np.array([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    found = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [90, 90, 99, 99]])
    assert matched(marked, found).tolist() == [0, -1, -1]
    counts = [face_counts([box(*each) for each in marked], [box(*each) for each in found])]
    assert shares(counts) == (1 / 2, 1 / 3)
    assert matched(marked, np.empty((0, 4))).tolist() == []
    assert matched(np.empty((0, 4)), found).tolist() == [-1, -1, -1]


def test_eyes_count_within_a_share_of_their_distance() -> None:
    eyes = [Point(x=10, y=10), Point(x=30, y=10)]
    counts = eye_counts(eyes, [Point(x=12, y=10), Point(x=40, y=10)])
    assert (counts.marked, counts.found, counts.right) == (2, 2, 1)
    assert eye_counts([], [Point(x=1, y=1)]).right == 0


def test_precision_falls_where_a_mistake_comes_in() -> None:
    found = [[box(0, 0, 9, 9, score=0.9), box(50, 50, 60, 60, score=0.4)], []]
    recall, precision = precision_recall([[box(0, 0, 9, 9)], [box(1, 1, 9, 9)]], found)
    assert recall.tolist() == [0.5, 0.5]
    assert precision.tolist() == [1, 0.5]


@pytest.mark.parametrize("method", ["cascade", "hog"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (23, 40), (60, 240)])
def test_odd_pictures_have_no_face(
    model: ClassicalFaces, method: str, shape: tuple[int, int]
) -> None:
    for level in (0, 255):
        image = encode_png(np.full(shape, level, dtype=np.uint8))
        (found,) = model.predict([FacePhoto(image=image, method=method, min_face=24)])
        assert (found.faces, found.eyes, found.tracks) == ([], [], [])


def test_a_portrait_has_one_face_and_eyes_where_they_are(model: ClassicalFaces) -> None:
    (found,) = model.predict([FacePhoto(image=PHOTO, method="cascade", min_face=60)])
    # The eyes of the photograph at 300 pixels of its 512.
    left, right = np.array([[222.5, 190], [305, 187]]) * 300 / 512
    best = found.faces[0]
    assert best.x1 < left[0] < right[0] < best.x2
    assert best.y1 < left[1] < best.y2
    assert found.method == "cascade"
    assert found.faces == sorted(found.faces, key=lambda each: -each.score)


def test_auto_is_one_of_the_methods(model: ClassicalFaces) -> None:
    (auto,) = model.predict([FacePhoto(image=PHOTO)])
    (named,) = model.predict([FacePhoto(image=PHOTO, method=auto.method)])
    assert auto == named


def test_a_higher_score_or_a_larger_face_leaves_fewer(model: ClassicalFaces) -> None:
    few, many = (
        model.predict([FacePhoto(image=PHOTO, min_score=score)])[0].faces for score in (0.9, 0.05)
    )
    assert all(each in many for each in few)
    (large,) = model.predict([FacePhoto(image=PHOTO, min_face=1000)])
    assert large.faces == []


def test_large_pictures_are_shrunk_and_boxes_are_in_their_pixels(model: ClassicalFaces) -> None:
    gray = decode_image(PHOTO, "L")
    large = np.kron(gray, np.ones((8, 8), dtype=np.uint8))
    assert max(shrunk(large)[0].shape) == LONGEST
    (small,) = model.predict([FacePhoto(image=PHOTO, method="cascade", min_face=60)])
    photo = FacePhoto(image=encode_png(large), method="cascade", min_face=480)
    (found,) = model.predict([photo])
    corners = [
        [each.faces[0].x1, each.faces[0].y1, each.faces[0].x2, each.faces[0].y2]
        for each in (small, found)
    ]
    assert_allclose(np.array(corners[1]) / 8, corners[0], atol=12)


def test_a_video_keeps_the_number_of_a_face(model: ClassicalFaces) -> None:
    (found,) = model.predict([FacePhoto(video=VIDEO, every=5, method="cascade", min_face=60)])
    faces = [each for each in found.tracks if each.label == FACE]
    assert found.frames == 6
    assert {each.frame for each in faces} == set(range(0, 30, 5))
    assert {each.id for each in faces if each.box.x2 - each.box.x1 > 80} == {1}
    assert {each.id for each in found.tracks if each.label == EYE} <= {each.id for each in faces}
    assert found.faces == []


def test_a_video_without_a_face(model: ClassicalFaces) -> None:
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    (found,) = model.predict([FacePhoto(video=file.getvalue())])
    assert (found.frames, found.tracks) == (1, [])


def test_a_request_has_a_picture_or_a_video() -> None:
    with pytest.raises(ValidationError, match="either image or video"):
        FacePhoto()
    with pytest.raises(ValidationError, match="either image or video"):
        FacePhoto(image=PHOTO, video=VIDEO)


def test_drift_features_of_pictures_and_videos(model: ClassicalFaces) -> None:
    black = FacePhoto(image=encode_png(np.zeros((40, 40), dtype=np.uint8)))
    records = [FacePhoto(image=PHOTO), black, FacePhoto(video=VIDEO, every=15)]
    values = model.monitoring_features(records, model.predict(records))
    assert all(each.shape == (3,) for each in values.values())
    assert values["faces"][1] == values["mean_score"][1] == values["brightness"][1] == 0
    assert 0 < values["brightness"][0] < 1

"""Measures of outlines against OpenCV's, names of shapes, and the model's records."""

from itertools import islice

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.cv.edges_and_shapes import data, drawings, metrics, outline, shapes
from pipelines.cv.edges_and_shapes.model import Scene, Settings, ShapeFinder
from slipway.media import Box, decode_image, encode_png


@pytest.fixture
def finder() -> ShapeFinder:
    finder = ShapeFinder()
    finder._settings = Settings(rule="noise", sigma=1.0, namer="waves")
    return finder


@pytest.fixture(scope="module")
def outlines() -> list[np.ndarray]:
    generator = np.random.default_rng(4)
    found = []
    for name in shapes.NAMES:
        points = drawings.corners_of(name, 40, generator.uniform(0, 6), 1.7) + np.array([100, 90])
        mask = np.zeros((200, 220), dtype=np.uint8)
        cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        found.append(contours[0][:, 0])
    return found


def test_area_and_perimeter_equal_opencvs(outlines: list[np.ndarray]) -> None:
    for points in outlines:
        found = outline.measure(points)
        assert found.area == pytest.approx(cv2.contourArea(points), rel=1e-12)
        assert found.perimeter == pytest.approx(cv2.arcLength(points, True), rel=1e-6)
        assert 0 < found.circularity <= 1


def test_center_and_spread_equal_opencvs_moments(outlines: list[np.ndarray]) -> None:
    for points in outlines:
        moments = cv2.moments(points.astype(np.float32))
        found = outline.measure(points)
        inside = moments["m00"]
        assert found.center == pytest.approx([moments["m10"] / inside, moments["m01"] / inside])
        expected = np.array(
            [[moments["mu20"], moments["mu11"]], [moments["mu11"], moments["mu02"]]]
        )
        assert found.spread == pytest.approx(expected / inside, rel=1e-4, abs=1e-3)


def test_hull_and_rectangle_equal_opencvs(outlines: list[np.ndarray]) -> None:
    for points in outlines:
        expected = cv2.convexHull(points.astype(np.float32))[:, 0]
        assert outline.area(outline.hull(points)) == pytest.approx(cv2.contourArea(expected))
        sides = sorted(cv2.minAreaRect(points.astype(np.float32))[1])
        assert sorted(outline.fitted_rectangle(points)) == pytest.approx(sides, rel=1e-3)


def test_corners_equal_opencvs(outlines: list[np.ndarray]) -> None:
    for name, points in zip(shapes.NAMES, outlines, strict=True):
        tolerance = 0.025 * outline.perimeter(points)
        expected = cv2.approxPolyDP(points, tolerance, True)
        found = outline.simplify(points, tolerance)
        if name not in ("circle", "ellipse"):
            assert len(found) == len(expected)
            apart = np.hypot(*(found[:, None] - expected[None, :, 0]).transpose(2, 0, 1))
            assert apart.min(axis=1).max() < 4


@pytest.mark.parametrize("points", [np.zeros((1, 2)), np.zeros((5, 2)), np.eye(2), np.c_[:9, :9]])
def test_outlines_without_an_inside_have_no_name(points: np.ndarray) -> None:
    found = shapes.name_outline(np.asarray(points, dtype=np.float64), "waves")
    assert found.name == shapes.OTHER
    assert found.properties.area == found.score == 0
    assert outline.fitted_rectangle(points)[1] == 0


@pytest.mark.parametrize("namer", list(shapes.NAMERS))
@pytest.mark.parametrize("name", shapes.NAMES)
def test_clean_shapes_get_their_names_at_any_turn(name: str, namer: str) -> None:
    for turn in np.linspace(0, 2 * np.pi, 7):
        points = drawings.corners_of(name, 60, turn, 1.8)
        closed = np.vstack([points, points[:1]])
        along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
        places = np.linspace(0, along[-1], 400, endpoint=False)
        traced = np.column_stack([np.interp(places, along, axis) for axis in closed.T])
        found = shapes.name_outline(traced + 100, namer)
        assert found.name == name
        assert found.score > 0.8


def test_an_irregular_outline_is_no_shape() -> None:
    angles = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    radius = 40 * (1 + 0.4 * np.sin(2 * angles) + 0.3 * np.sin(3 * angles + 1))
    points = radius[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    assert shapes.name_outline(points + 100, "waves").name == shapes.OTHER


def test_the_model_names_a_drawing_and_measures_a_circle(finder: ShapeFinder) -> None:
    picture = np.full((120, 200, 3), 230, dtype=np.uint8)
    cv2.circle(picture, (60, 60), 40, (20, 60, 160), -1, cv2.LINE_AA)
    cv2.rectangle(picture, (120, 30), (180, 90), (160, 40, 20), -1)
    (found,) = finder.predict([Scene(image=encode_png(picture))])
    assert {each.label for each in found.shapes} == {"circle", "square"}
    (circle,) = [each for each in found.contours if each.name == "circle"]
    assert circle.area == pytest.approx(np.pi * 40**2, rel=0.08)
    assert (circle.center.x, circle.center.y) == pytest.approx((60, 60), abs=0.5)
    assert circle.circularity > 0.85
    assert decode_image(found.drawn).shape == picture.shape
    assert set(np.unique(decode_image(found.edges, "L"))) == {0, 255}


def test_own_thresholds_replace_those_of_the_rule(finder: ShapeFinder) -> None:
    image = encode_png(drawings.draw(np.random.default_rng(1), "noise", 10).image)
    (found,) = finder.predict([Scene(image=image, low=300, high=100)])
    assert (found.low, found.high) == (100, 300)
    (fewer,) = finder.predict([Scene(image=image, low=1500, high=1500)])
    assert not decode_image(fewer.edges).any()
    assert fewer.shapes == []


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (60, 240)])
def test_odd_pictures_have_no_shapes(size: tuple[int, int], finder: ShapeFinder) -> None:
    records = [Scene(image=encode_png(np.zeros(size, dtype=np.uint8)))]
    found = finder.predict(records)
    assert found[0].shapes == found[0].contours == []
    features = finder.monitoring_features(records, found)
    assert {name for name, values in features.items() if values[0]} == set()


def test_noise_alone_is_answered(finder: ShapeFinder) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3)).astype(np.uint8)
    (found,) = finder.predict([Scene(image=encode_png(noise), rule="median", min_area=1)])
    assert len(found.contours) <= 200


@pytest.mark.parametrize("fields", [{"sigma": 99}, {"low": -1}, {"rule": "best"}])
def test_settings_out_of_range_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        Scene.model_validate({"image": encode_png(np.zeros((4, 4), np.uint8)), **fields})


def test_no_drawing_is_in_two_splits() -> None:
    train, test = (
        {scene.image for scene, _ in islice(data.scenes(1, seed), 8)} for seed in (21, 22)
    )
    assert len(train) == len(test) == 8
    assert not train & test


def test_scores_count_wrong_names_and_false_shapes() -> None:
    def box(left: float, name: str) -> Box:
        return Box(x1=left, y1=0, x2=left + 10, y2=10, label=name)

    true = [box(0, "circle"), box(20, "square"), box(40, "star")]
    found = [box(1, "circle"), box(20, "rectangle"), box(80, "star")]
    counts = metrics.shape_counts(found, true)
    assert counts.tolist() == [1, 3, 3]
    assert metrics.f1(counts[None]) == pytest.approx(1 / 3)
    assert metrics.confusion([found], [true])["star", "none"] == 1
    edges = np.zeros((9, 9), dtype=bool)
    edges[4] = True
    moved = np.roll(edges, 2, axis=0)
    assert metrics.edge_f1(metrics.edge_counts(moved, edges)[None]) == 1
    far = np.roll(edges, 3, axis=0)
    assert metrics.edge_f1(metrics.edge_counts(far, edges)[None]) == 0
    assert metrics.edge_f1(metrics.edge_counts(~edges & False, edges)[None]) == 0

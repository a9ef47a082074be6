"""Own homographies against OpenCV's, and RANSAC among wrong matches."""

import cv2
import numpy as np
import pytest

from pipelines.cv.panorama import crops, homography


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def matrix(generator: np.random.Generator) -> np.ndarray:
    return crops.camera(generator, np.array([400.0, 250.0]))


def test_four_points_give_opencvs_homography(generator: np.random.Generator) -> None:
    source = np.array([[0.0, 0], [300, 10], [280, 220], [-5, 240]])
    for _ in range(20):
        target = source + generator.uniform(-40, 40, (4, 2))
        expected = cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32))
        found = homography.direct(source, target)
        assert found == pytest.approx(expected, rel=2e-4, abs=2e-6)
        assert homography.project(found, source) == pytest.approx(target, abs=1e-8)


def test_many_samples_at_once_equal_single_ones(generator: np.random.Generator) -> None:
    source, target = generator.uniform(0, 300, (2, 10, 4, 2))
    together = homography.direct(source, target)
    for row in range(10):
        assert together[row] == pytest.approx(homography.direct(source[row], target[row]), rel=1e-6)


def test_refined_homographies_equal_opencvs(
    generator: np.random.Generator, matrix: np.ndarray
) -> None:
    source = generator.uniform(200, 600, (60, 2))
    target = homography.project(matrix, source) + generator.normal(0, 0.8, (60, 2))
    found = homography.refine(homography.direct(source, target), source, target)
    # Without RANSAC, OpenCV minimizes the same distances.
    expected, _ = cv2.findHomography(source, target, 0)
    ends = np.array([[250.0, 120], [550, 120], [550, 380], [250, 380]])
    apart = homography.project(found, ends) - homography.project(expected, ends)
    assert np.abs(apart).max() < 1e-3
    before = homography.errors(homography.direct(source, target), source, target)
    after = homography.errors(found, source, target)
    assert (after**2).sum() <= (before**2).sum()


@pytest.mark.parametrize("wrong", [0.0, 0.3, 0.6])
def test_ransac_finds_the_matches_that_agree(
    wrong: float, generator: np.random.Generator, matrix: np.ndarray
) -> None:
    source = generator.uniform(200, 600, (100, 2))
    target = homography.project(matrix, source) + generator.normal(0, 0.3, (100, 2))
    outliers = np.arange(100) < 100 * wrong
    target[outliers] = generator.uniform(0, 300, (int(outliers.sum()), 2))
    found = homography.ransac(source, target, reach=3, seed=1)
    assert found is not None
    assert np.array_equal(found.inliers, ~outliers)
    ends = np.array([[250.0, 120], [550, 120], [550, 380], [250, 380]])
    apart = homography.project(found.matrix, ends) - homography.project(matrix, ends)
    assert np.hypot(*apart.T).max() < 1.0
    again = homography.ransac(source, target, reach=3, seed=1)
    assert again is not None
    assert np.array_equal(found.matrix, again.matrix)


@pytest.mark.parametrize(
    "points", [np.empty((0, 2)), np.zeros((3, 2)), np.zeros((9, 2)), np.c_[:9, :9].astype(float)]
)
def test_points_without_a_homography_are_answered(points: np.ndarray) -> None:
    found = homography.ransac(points, points, reach=3, seed=1)
    assert found is None or np.isfinite(found.matrix).all()


def test_points_at_infinity_are_far() -> None:
    matrix = np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]])
    distances = homography.errors(matrix, np.array([[0.0, 5.0], [1.0, 0.0]]), np.zeros((2, 2)))
    assert np.isinf(distances[0])
    assert distances[1] == 1

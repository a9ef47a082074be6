"""The Hough transform against OpenCV's, and its peaks."""

import cv2
import numpy as np
import pytest

from pipelines.cv.lanes.hough import all_degrees, find_peaks, vote

DEGREES = all_degrees()


def drawn(*lines: tuple[tuple[int, int], tuple[int, int]], noise: float = 0.0) -> np.ndarray:
    edges = (np.random.default_rng(2).random((120, 200)) < noise).astype(np.uint8)
    for start, end in lines:
        cv2.line(edges, start, end, (1,))
    return edges > 0


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1])
def test_votes_equal_those_of_opencv(noise: float) -> None:
    edges = drawn(((20, 119), (95, 10)), ((180, 119), (110, 10)), ((0, 60), (199, 60)), noise=noise)
    votes = vote(edges, DEGREES)
    lines = cv2.HoughLinesWithAccumulator(edges.astype(np.uint8), 1, np.pi / 180, 15)
    assert len(lines) >= 3
    for distance, angle, count in lines[:, 0]:
        row, column = round(float(distance)) + len(votes) // 2, round(float(np.rad2deg(angle)))
        assert votes[row, column] == count


def test_each_pixel_votes_once_for_each_angle() -> None:
    edges = drawn(((5, 5), (190, 100)), noise=0.02)
    assert (vote(edges, DEGREES).sum(axis=0) == edges.sum()).all()


def test_the_strongest_peak_is_the_drawn_line() -> None:
    edges = drawn(((20, 119), (95, 10)), noise=0.01)
    angles = np.deg2rad(np.arange(20.0, 70.0))
    best = find_peaks(vote(edges, angles), angles, least=20, most=5)[0]
    assert best.x_at(119) == pytest.approx(20, abs=2)
    assert best.x_at(10) == pytest.approx(95, abs=2)
    assert best.votes > 60


def test_two_parallel_lines_are_two_peaks_and_the_stronger_is_first() -> None:
    edges = drawn(((20, 119), (95, 10)), ((70, 119), (108, 64)))
    angles = np.deg2rad(np.arange(20.0, 70.0))
    peaks = find_peaks(vote(edges, angles), angles, least=30, most=2)
    assert [round(each.x_at(119) / 10) for each in peaks] == [2, 7]
    assert peaks[0].votes > peaks[1].votes
    assert len(find_peaks(vote(edges, angles), angles, least=80, most=2)) == 1


def test_without_edges_there_is_no_line() -> None:
    edges = np.zeros((30, 40), bool)
    assert vote(edges, DEGREES).sum() == 0
    assert find_peaks(vote(edges, DEGREES), DEGREES, least=1, most=3) == []

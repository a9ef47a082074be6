"""Own histograms, equalization, CLAHE, matching and measures against OpenCV and scikit-image."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError
from skimage.exposure import match_histograms

from pipelines.cv.histograms import comparing, enhancing, pictures
from pipelines.cv.histograms.metrics import interval, mean_error, picture_means
from pipelines.cv.histograms.model import Histograms, Photo
from pipelines.cv.histograms.reference import OPENCV, identical_share
from pipelines.cv.histograms.retrieval import Search, found
from slipway.media import decode_image, encode_png

GENERATOR = np.random.default_rng(2)
NOISE = GENERATOR.integers(0, 256, (143, 171, 3)).astype(np.uint8)
SMOOTH = cv2.GaussianBlur(NOISE, (0, 0), 4)
DARK = (SMOOTH * 0.4).astype(np.uint8)


def test_gray_and_counts_are_those_of_opencv() -> None:
    gray = cv2.cvtColor(NOISE, cv2.COLOR_RGB2GRAY)
    assert np.array_equal(enhancing.to_gray(NOISE), gray)
    counted = cv2.calcHist([gray], [0], None, [256], [0, 256]).ravel()
    assert np.array_equal(enhancing.level_counts(gray), counted)


@pytest.mark.parametrize("picture", [NOISE, SMOOTH, DARK], ids=["noise", "smooth", "dark"])
def test_equalization_equals_opencv_in_every_digit(picture: np.ndarray) -> None:
    gray = enhancing.to_gray(picture)
    assert np.array_equal(enhancing.equalizing_curve(gray)[gray], cv2.equalizeHist(gray))


@pytest.mark.parametrize("tiles", [1, 2, 8, 13])
@pytest.mark.parametrize("clip", [0.5, 1.5, 4, 40])
@pytest.mark.parametrize("shape", [(143, 171), (144, 171), (128, 104), (400, 9)])
def test_clahe_equals_opencv_in_every_digit(
    shape: tuple[int, int], clip: float, tiles: int
) -> None:
    gray = np.resize(enhancing.to_gray(DARK), shape)
    wanted = cv2.createCLAHE(clip, (tiles, tiles)).apply(gray)
    assert np.array_equal(enhancing.clahe(gray, clip, tiles), wanted)


def test_a_picture_of_one_level_stays() -> None:
    gray = np.full((20, 30), 77, dtype=np.uint8)
    assert np.array_equal(enhancing.equalizing_curve(gray)[gray], gray)
    assert identical_share([gray]) == 1


def test_identical_share_counts_a_different_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPENCV, "equalize", lambda gray, clip, tiles: gray)
    assert identical_share([enhancing.to_gray(DARK)]) == pytest.approx(6 / 7)


def test_matching_equals_scikit_image() -> None:
    gray, reference = enhancing.to_gray(DARK), enhancing.to_gray(NOISE)
    matched = enhancing.matching_curve(gray, reference)[gray]
    assert np.allclose(matched, match_histograms(gray, reference), atol=1e-9)


def test_recolor_keeps_differences_of_color() -> None:
    gray = enhancing.to_gray(DARK)
    brighter = enhancing.recolor(DARK, gray, gray + np.uint8(20)).astype(int)
    assert np.array_equal(brighter - DARK, np.full(DARK.shape, 20))


@pytest.mark.parametrize(
    ("measure", "method"),
    [
        (comparing.correlation, cv2.HISTCMP_CORREL),
        (comparing.chi_square, cv2.HISTCMP_CHISQR_ALT),
        (comparing.intersection, cv2.HISTCMP_INTERSECT),
        (comparing.bhattacharyya, cv2.HISTCMP_BHATTACHARYYA),
    ],
    ids=["correlation", "chi_square", "intersection", "bhattacharyya"],
)
def test_measures_are_those_of_opencv(measure: comparing.Distance, method: int) -> None:
    one, other = comparing.rgb_histogram(SMOOTH), comparing.rgb_histogram(DARK)
    wanted = cv2.compareHist(one.astype(np.float32), other.astype(np.float32), method)
    assert measure(one, other) == pytest.approx(wanted, abs=1e-6)


def test_earth_movers_distance_is_that_of_opencv() -> None:
    one, other = comparing.gray_histogram(SMOOTH), comparing.gray_histogram(DARK)
    places = np.arange(len(one), dtype=np.float32)
    left, right = (np.stack([each.astype(np.float32), places], axis=1) for each in (one, other))
    wanted, *_ = cv2.EMD(left, right, cv2.DIST_L1)
    assert comparing.earth_movers_distance(one, other) == pytest.approx(wanted, abs=1e-4)


def test_the_joint_histogram_is_that_of_opencv() -> None:
    counted = cv2.calcHist([NOISE], [0, 1, 2], None, [8] * 3, [0, 256] * 3).ravel()
    assert np.allclose(comparing.rgb_histogram(NOISE), counted / counted.sum())


@pytest.mark.parametrize("kind", comparing.HISTOGRAMS)
@pytest.mark.parametrize("measure", comparing.DISTANCES)
def test_the_distance_to_itself_is_the_least(kind: str, measure: str) -> None:
    describe, distance = comparing.HISTOGRAMS[kind], comparing.DISTANCES[measure]
    one, other = describe(SMOOTH), describe(NOISE)
    assert distance(one, one) < distance(one, other)


def test_shares_of_color_do_not_depend_on_the_light() -> None:
    even = SMOOTH // 2 * 2
    one, other = (comparing.chroma_histogram(each) for each in (even, even // 2))
    assert comparing.intersection(one, other) == pytest.approx(1)


def test_a_search_counts_what_is_nearest() -> None:
    gallery = [DARK, NOISE]
    search = Search(gallery, [DARK[:100], DARK, NOISE[20:]], np.array([0, 1, 1]), ["crop"] * 3)
    assert found(search, "rgb", "intersection").tolist() == [True, False, True]


@pytest.fixture
def histograms(tmp_path: Path) -> Histograms:
    (tmp_path / "settings.json").write_text(
        '{"method": "clahe", "clip_limit": 2, "tiles": 4, '
        '"histogram": "rgb", "measure": "intersection"}'
    )
    histograms = Histograms()
    histograms.load(tmp_path)
    return histograms


def test_the_response_shows_picture_curve_and_counts(histograms: Histograms) -> None:
    photo = Photo(image=encode_png(DARK), method="equalize")
    (result,) = histograms.predict([photo])
    gray = enhancing.to_gray(DARK)
    assert result.before == enhancing.level_counts(gray).tolist()
    assert (
        result.after
        == enhancing.level_counts(enhancing.to_gray(decode_image(result.image))).tolist()
    )
    assert result.curve == result.curve_low == enhancing.equalizing_curve(gray).tolist()
    assert sum(result.red) == gray.size
    assert result.likeness is None
    features = histograms.monitoring_features([photo], [result])
    assert features["brightness"] == pytest.approx(gray.mean() / 255)
    assert features["contrast"] == pytest.approx(gray.std() / 255)
    assert features["brightening"] > 0.2


def test_auto_takes_the_chosen_method_or_matches_a_reference(histograms: Histograms) -> None:
    dark, noise = encode_png(DARK), encode_png(NOISE)
    alone, matched = histograms.predict([Photo(image=dark), Photo(image=dark, reference=noise)])
    assert (alone.method, matched.method) == ("clahe", "match")
    wanted = enhancing.level_counts(enhancing.to_gray(NOISE)).cumsum()
    before, after = (
        np.abs(np.cumsum(each) - wanted).max() for each in (matched.before, matched.after)
    )
    # Colors that leave their range are cut off, so the match is not exact.
    assert after < before / 2
    assert matched.likeness is not None
    assert 0 <= matched.likeness.intersection < 0.5


def test_a_picture_is_like_itself(histograms: Histograms) -> None:
    noise = encode_png(NOISE)
    (result,) = histograms.predict([Photo(image=noise, reference=noise, method="none")])
    assert result.likeness is not None
    assert result.likeness.model_dump() == pytest.approx(
        {"correlation": 1, "chi_square": 0, "intersection": 1, "bhattacharyya": 0, "emd": 0},
        abs=1e-6,
    )


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 300, 3), (300, 2, 3)])
@pytest.mark.parametrize("method", ["none", "equalize", "clahe", "match"])
def test_odd_sizes_are_enhanced(
    method: str, shape: tuple[int, ...], histograms: Histograms
) -> None:
    picture = encode_png(np.full(shape, 90, dtype=np.uint8))
    photo = Photo(image=picture, reference=picture, method=method, tiles=32)
    (result,) = histograms.predict([photo])
    assert decode_image(result.image).shape == shape


def test_matching_needs_a_reference() -> None:
    with pytest.raises(ValidationError, match="needs a reference"):
        Photo(image=encode_png(DARK), method="match")


def test_no_picture_is_in_two_splits() -> None:
    train, test = (
        {name for names in pictures.PICTURES[part].values() for name in names}
        | set(pictures.FURTHER[part])
        for part in ("train", "test")
    )
    assert not train & test


@pytest.mark.parametrize("kind", pictures.DEGRADATIONS)
def test_a_degraded_picture_is_the_same_for_the_same_seed(kind: str) -> None:
    one, other = (pictures.degrade(SMOOTH, kind, np.random.default_rng(8)) for _ in range(2))
    assert np.array_equal(one, other)
    assert np.abs(one.astype(int) - SMOOTH).mean() > 10


def test_rows_of_one_picture_count_as_one() -> None:
    values, names = np.array([1.0, 3.0, 6.0]), ["a", "a", "b"]
    assert picture_means(values, names).tolist() == [2, 6]
    assert mean_error(values, names) == pytest.approx(2)
    low, high = interval(values, names)
    assert (low, high) == (2, 6)

"""Metrics of kits, against known libraries or computed by hand."""

import math

import numpy as np
import pytest
from scipy.stats import uniform
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, jaccard_score

from slipway.kits.metrics.forecasts import coverage, mase, smape
from slipway.kits.metrics.masks import confusion_counts, mask_metrics
from slipway.kits.metrics.pictures import perplexity, psnr, ssim
from slipway.kits.metrics.sequences import edit_distance, error_rate, exact_share, token_f1
from slipway.training.validation import brier_skill, regression_metrics

GENERATOR = np.random.default_rng(0)


def flat(sequences: list[list[str]]) -> list[str]:
    return [label for each in sequences for label in each]


def test_masks_are_scored_as_by_scikit_learn() -> None:
    true, found = GENERATOR.integers(0, 3, (2, 4, 20, 20))
    metrics = mask_metrics(confusion_counts(true, found, 3))
    assert metrics["miou"] == pytest.approx(
        jaccard_score(true.ravel(), found.ravel(), average="macro")
    )
    assert metrics["pixel_accuracy"] == pytest.approx(accuracy_score(true.ravel(), found.ravel()))


def test_unlabelled_pixels_and_absent_classes_do_not_count() -> None:
    true, found = np.array([[0, 1, 255]]), np.array([[0, 0, 1]])
    counts = confusion_counts(true, found, 3)
    assert counts.tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    # Class 0: one of two pixels; class 1: none of one; class 2 does not occur.
    assert mask_metrics(counts) == {"miou": 0.25, "pixel_accuracy": 0.5}


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("flaw", "lawn", 2), ("a", "a", 0)],
)
def test_edit_distances_of_known_words(one: str, other: str, distance: int) -> None:
    assert edit_distance(one, other) == distance
    assert edit_distance(list(one), list(other)) == distance


def test_error_rates_are_relative_to_the_true_length() -> None:
    assert error_rate(["kitten", "a"], ["sitting", "a"]) == 3 / 7
    assert error_rate([["the", "cat"]], [["the", "fat", "cat"]]) == 1 / 2
    with pytest.raises(ValueError, match="not empty"):
        error_rate([""], ["a"])


def test_token_f1_is_scikit_learns_without_the_outside_label() -> None:
    true = GENERATOR.choice(["O", "PER", "LOC"], (5, 30)).tolist()
    found = GENERATOR.choice(["O", "PER", "LOC"], (5, 30)).tolist()
    expected = f1_score(flat(true), flat(found), labels=["PER", "LOC"], average="micro")
    assert token_f1(true, found) == pytest.approx(expected)
    assert token_f1([["O"]], [["O"]]) == 1.0
    with pytest.raises(ValueError, match="zip"):
        token_f1([["O", "PER"]], [["O"]])


def test_exact_sequences_are_counted() -> None:
    assert exact_share(["ab", "c"], ["ab", "d"]) == 0.5


def test_picture_metrics_are_those_of_scikit_image() -> None:
    wanted = GENERATOR.integers(0, 256, (40, 50)).astype(np.uint8)
    noise = np.clip(wanted + GENERATOR.normal(0, 20, wanted.shape), 0, 255).astype(np.uint8)
    assert psnr(wanted, noise) == pytest.approx(peak_signal_noise_ratio(wanted, noise))
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = structural_similarity(wanted, noise, data_range=255, **settings)
    assert ssim(wanted, noise) == pytest.approx(expected)
    colors = np.stack([wanted, noise, wanted], axis=2)
    assert ssim(colors, colors) == pytest.approx(1)
    assert psnr(wanted, wanted) == 100
    with pytest.raises(ValueError, match="11 pixels a side"):
        ssim(wanted[:8], noise[:8])


def test_the_perplexity_of_equally_likely_tokens_is_their_number() -> None:
    assert perplexity(np.log([1 / 8] * 5)) == pytest.approx(8)
    assert perplexity(np.log([1 / 2, 1 / 8])) == pytest.approx(math.sqrt(16))


def test_forecast_errors_computed_by_hand() -> None:
    true, found = np.array([10.0, 0.0, 4.0]), np.array([30.0, 0.0, 4.0])
    assert smape(true, found) == pytest.approx(200 * (20 / 40) / 3)
    # Repeating the value of two steps ago errs by 2, 2 and 5.
    history = np.array([1.0, 5.0, 3.0, 7.0, 8.0])
    assert mase(true, found, history, season=2) == pytest.approx((20 / 3) / 3)
    with pytest.raises(ValueError, match="not more than a season: 5"):
        mase(true, found, history, season=5)
    with pytest.raises(ValueError, match="repeats itself"):
        mase(true, found, np.ones(5))


def test_intervals_cover_their_share() -> None:
    values = uniform.rvs(size=20_000, random_state=1)
    assert coverage(values, np.full(20_000, 0.1), np.full(20_000, 0.9)) == pytest.approx(
        0.8, abs=0.02
    )
    assert coverage(np.array([1.0, 2.0]), np.array([1.0, 3.0]), np.array([1.0, 4.0])) == 0.5


def test_brier_skill_is_relative_to_a_constant() -> None:
    y_true = GENERATOR.random(500) < 0.3
    y_prob = np.clip(0.3 + 0.4 * (y_true - 0.3) + GENERATOR.normal(0, 0.1, 500), 0, 1)
    for reference, constant in ((None, y_true.mean()), (0.5, 0.5)):
        expected = 1 - brier_score_loss(y_true, y_prob) / brier_score_loss(
            y_true, np.full(500, constant)
        )
        assert brier_skill(y_true, y_prob, reference) == pytest.approx(expected)


def test_regression_metrics_have_the_given_names_in_order() -> None:
    found = regression_metrics([0.0, 2.0], [0.0, 4.0], "mae", "rmse", "r2")
    assert found == {"mae": 1.0, "rmse": pytest.approx(math.sqrt(2)), "r2": -1.0}

"""The readers of codes, the made pictures, and the model's records."""

from itertools import islice

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.cv.codes import data, metrics, pictures, readers
from pipelines.cv.codes.model import CodeReader, CodeRequest, Payload
from pipelines.cv.codes.writing import code_modules
from slipway.datasets import fetch
from slipway.media import decode_image, encode_png

DESK = np.full((300, 400), 160, dtype=np.uint8)


@pytest.fixture
def model() -> CodeReader:
    model = CodeReader()
    model._reader = "zxing_prepared"
    return model


def held(text: str, **conditions: float) -> np.ndarray:
    """Return a picture of a QR code on a desk."""
    card = code_modules("qr_code", text)
    generator = np.random.default_rng(2)
    return pictures.place_code(card, pictures.Conditions(**conditions), DESK, generator)


@pytest.mark.parametrize("name", ["baseline", "opencv_prepared", "zxing", "zxing_prepared"])
def test_libraries_read_an_easy_code_and_its_corners(name: str) -> None:
    picture = held("https://example.org/a", size=5)
    (seen,) = readers.READERS[name](picture)
    assert (seen.kind, seen.text) == ("qr_code", "https://example.org/a")
    # The card is four modules larger on each side than the code.
    inner = np.array(picture.shape[::-1]) / 2
    assert np.abs(seen.corners.mean(axis=0) - inner).max() < 6
    assert np.ptp(seen.corners, axis=0) == pytest.approx([25 * 5, 25 * 5], abs=16)


def test_corners_from_a_preparation_are_those_of_the_picture() -> None:
    gray = np.pad(np.kron(code_modules("qr_code", "x"), np.full((4, 4), 1, np.uint8)), 30)
    (plain,) = readers.read_by_zxing(gray)
    for picture, matrix in readers.preparations(gray):
        for seen in readers.read_by_zxing(picture):
            moved = readers.moved_back(seen, matrix)
            assert np.sort(moved.corners.sum(axis=1)) == pytest.approx(
                np.sort(plain.corners.sum(axis=1)), abs=5
            )


def test_two_codes_in_one_picture_are_both_read(model: CodeReader) -> None:
    both = [np.pad(held(text, size=4), 10, constant_values=160)[:200, :200] for text in "AB"]
    (codes,) = model.predict([CodeRequest(image=encode_png(np.hstack(both)))])
    assert {each.text for each in codes.codes or []} == {"A", "B"}
    assert len(codes.corners or []) == 8


@pytest.mark.parametrize("correction", list("LMQH"))
@pytest.mark.parametrize(
    "text", ["A", "caf\u00e9 \u2713 \u4f60\u597d", "https://example.org/" + "a" * 500]
)
def test_written_codes_read_back(text: str, correction: str, model: CodeReader) -> None:
    (codes,) = model.predict([CodeRequest(text=text, correction=correction)])
    assert codes.read_back
    assert codes.boxes is None
    (again,) = model.predict([CodeRequest(image=codes.picture)])
    assert [each.text for each in again.codes or []] == [text]


def test_higher_correction_survives_more_damage() -> None:
    survived = {}
    for correction in "LH":
        card = np.kron(code_modules("qr_code", "a" * 60, correction), np.ones((4, 4), np.uint8))
        middle, size = len(card) // 2, len(card) // 7
        card[middle - size : middle + size, middle - size : middle + size] = 255
        survived[correction] = bool(readers.read_by_zxing(card))
    assert survived == {"L": False, "H": True}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "send an image to read, or a text"),
        ({"text": "123", "kind": "ean_13"}, "12 or 13 digits"),
        ({"text": "4006381333930", "kind": "ean_13"}, "checksum"),
        ({"text": "\u4f60" * 1000, "correction": "H"}, "too long for a QR code"),
        ({"text": "a" * 1001}, "at most 1000"),
    ],
)
def test_requests_that_cannot_be_met_are_refused(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CodeRequest.model_validate(fields)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 2), (64, 256)])
@pytest.mark.parametrize("reader", ["baseline", "opencv_prepared", "zxing_prepared"])
def test_odd_pictures_have_no_codes(size: tuple[int, int], reader: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
    for picture in (np.zeros(size, dtype=np.uint8), noise):
        assert readers.READERS[reader](picture) == []


def test_a_tall_picture_and_a_black_one_are_answered(model: CodeReader) -> None:
    records = [CodeRequest(image=encode_png(np.zeros((40, 160), np.uint8)), effort="quick")]
    (codes,) = model.predict(records)
    assert codes.codes == []
    features = model.monitoring_features(records, [codes])
    assert {name: values.tolist() for name, values in features.items()} == {
        "brightness": [0],
        "contrast": [0],
        "codes": [0],
        "text_length": [0],
    }


def test_no_payload_is_in_two_splits() -> None:
    photographs = data.read_photographs(fetch("zxing_barcode_samples"))
    parts = data.divide(photographs, seed=11)
    texts = {name: {each.text for each in found} for name, found in parts.items()}
    assert not texts["train"] & texts["test"]
    assert sum(map(len, parts.values())) == len(photographs) > 130
    for found in parts.values():
        assert {each.kind for each in found} >= {"qr_code", "ean_13", "aztec", "data_matrix"}
    assert not set(data.BACKGROUNDS["train"]) & set(data.BACKGROUNDS["test"])


def test_made_pictures_are_the_same_for_the_same_seed() -> None:
    one, other = (
        list(islice(pictures.make_pictures([DESK], np.random.default_rng(3), 1), 10))
        for _ in range(2)
    )
    assert [each.jpeg for each in one] == [each.jpeg for each in other]
    assert decode_image(one[0].jpeg).ndim == 3


def test_metrics_count_unread_wrong_and_extra_payloads() -> None:
    def label(kind: str, text: str) -> Payload:
        return Payload(kind=kind, text=text, condition="photograph", level=0, baseline="")

    labels = [label("qr_code", "a"), label("qr_code", "b\nc"), label("ean_13", "1")]
    labels += [label("none", ""), label("aztec", "z")]
    texts = [["a", "other"], ["b\r\nc"], ["2"], ["ghost"], []]
    found = metrics.read_metrics(texts, labels, seed=0)
    assert found["read_share"] == pytest.approx(2 / 3)
    assert found["wrong_share"] == pytest.approx(2 / 5)
    assert found["other_kinds_read_share"] == 0
    assert found["ean_read_share"] == 0


def test_a_upc_a_counts_as_the_ean_13_that_it_is() -> None:
    assert readers.retail("upc_a", "036602301467") == ("ean_13", "0036602301467")
    assert readers.retail("upc_a", "0036602301467") == ("ean_13", "0036602301467")
    assert readers.retail("qr_code", "036602301467") == ("qr_code", "036602301467")
    photographs = data.read_photographs(fetch("zxing_barcode_samples"))
    assert "upc_a" not in {each.kind for each in photographs}

"""CIFAR-10 as the projects get it: no training picture nearly equals a test picture."""

import numpy as np
import pytest

from slipway.datasets import fetch
from slipway.kits.readers import cifar10
from slipway.kits.readers.cifar10 import COPIES, SAME, NamedPicture, likeness
from slipway.media import encode_png

LABELS = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
Parts = dict[str, list[NamedPicture]]


@pytest.fixture(scope="module")
def parts() -> Parts:
    return cifar10.read_all(fetch("cifar10_jpeg").path("cifar10_jpeg.tar.xz"))


def test_the_labels_are_in_turn(parts: Parts) -> None:
    assert {split: len(each) for split, each in parts.items()} == {"train": 50_000, "test": 10_000}
    for pictures in parts.values():
        assert [each.label for each in pictures[:30]] == [*LABELS] * 3


def test_the_list_of_copies_holds_what_resembles_a_test_picture_and_nothing_else(
    parts: Parts,
) -> None:
    listed = COPIES.read_text().split()
    by_name = {each.name: each.content for each in parts["train"]}
    tested = [each.content for each in parts["test"]]
    # All that are listed, and every fortieth of the others: comparing 50,000 takes half a minute.
    kept = sorted(by_name.keys() - set(listed))[::40]
    alike = likeness([by_name[name] for name in [*listed, *kept]], tested)
    assert alike[: len(listed)].min() >= SAME - 1e-4
    assert alike[len(listed) :].max() < SAME


def test_a_mirrored_and_a_brighter_copy_are_alike() -> None:
    generator = np.random.default_rng(3)
    one, other = generator.integers(0, 180, (2, 32, 32, 3)).astype(np.uint8)
    changed = [one, one[:, ::-1], one + np.uint8(40), other]
    alike = likeness([encode_png(each) for each in changed], [encode_png(one)])
    assert alike[:3] == pytest.approx(1, abs=1e-3)
    assert alike[3] < 0.5

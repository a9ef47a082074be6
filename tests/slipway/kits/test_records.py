"""Records of kits: pictures and their pixels, classes, and what serving may import."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from slipway.kits.classes import ClassRecord
from slipway.kits.images import ImageRecord, image_batch, pixel_batch
from slipway.media import encode_png
from slipway.projects.check import SERVING
from tests.conftest import ROOT


class Garment(ImageRecord, size=(4, 6), mode="L", max_side=10, formats=("PNG",)):
    """A grey picture."""


class Colored(ImageRecord, size=(4, 6)):
    """A picture in colors, of any size."""


class Kind(ClassRecord, labels=("T-shirt/top", "Bag (small)")):
    """The kind of a garment."""


def picture(height: int, width: int, *, value: int = 255) -> bytes:
    return encode_png(np.full((height, width, 3), value, dtype=np.uint8))


def test_pixels_have_the_records_size_and_mode() -> None:
    assert pixel_batch([Garment(image=picture(4, 6))] * 2).shape == (2, 1, 4, 6)
    grey = image_batch([Garment(image=picture(9, 3, value=51))])["images"]
    assert grey.dtype == np.float32
    assert np.unique(grey).tolist() == [np.float32(51) / np.float32(255)]
    assert image_batch([Colored(image=picture(40, 60))])["images"].shape == (1, 3, 4, 6)


def test_limits_of_a_subclass_hold_for_it_alone() -> None:
    for data, text in ((picture(4, 11), "at most 10 pixels"), (b"GIF89a", "is not a PNG")):
        with pytest.raises(ValidationError, match=text):
            Garment(image=data)
    assert Colored(image=picture(4, 11)).image == picture(4, 11)
    hint = Garment.model_json_schema()["properties"]["image"]["x-slipway"]
    assert (hint["max_side"], hint["formats"]) == (10, ["PNG"])


def test_classes_come_from_probabilities_and_go_back() -> None:
    probabilities = np.array([[0.25, 0.75], [0.5, 0.5]])
    found = Kind.from_probabilities(probabilities)
    assert [each.label for each in found] == ["Bag (small)", "T-shirt/top"]
    assert [each.probability for each in found] == [0.75, 0.5]
    assert Kind.to_probabilities(found).tolist() == probabilities.tolist()
    assert Kind.numbers(["Bag (small)", "T-shirt/top"]).tolist() == [1, 0]
    with pytest.raises(ValueError, match="Kind has no label 'Hat'"):
        Kind.numbers(["Hat"])


def test_a_class_is_one_of_the_labels() -> None:
    with pytest.raises(ValidationError, match="label"):
        Kind(label="Bag small", probability=1, probabilities={})


SERVED = [each for each in SERVING if each.startswith("slipway.kits")]


@pytest.mark.parametrize("module", SERVED)
def test_what_a_model_may_import_needs_no_training_packages(module: str) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'sklearn', 'matplotlib', 'pandas', 'dvc'):\n"
        "    sys.modules[name] = None\n"
        f"import {module}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_served_module_exists() -> None:
    assert len(SERVED) >= 4
    for module in SERVED:
        assert Path(ROOT, *module.split(".")).with_suffix(".py").is_file()

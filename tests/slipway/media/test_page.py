"""The Python blocks of docs/media.md run, in order, and do what the page says."""

import re
from typing import Any

import numpy as np
import pytest

from slipway.media import decode_image, decode_state, encode_png
from tests.conftest import ROOT
from tests.slipway.media.media_samples import noise, picture_file, video_file

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """Return the names that the blocks define."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in BLOCK.findall((ROOT / "docs" / "media.md").read_text()):
        exec(compile(block, "docs/media.md", "exec"), names)
    return names


def test_the_picture_model_finds_boxes_and_returns_a_picture(page: dict[str, Any]) -> None:
    picture = np.kron(noise(50, 50), np.ones((4, 4, 1), dtype=np.uint8))
    (cells,) = page["Counter"]().predict([page["Smear"](image=encode_png(picture))])
    assert len(cells.boxes) == 1
    assert 0 < cells.boxes[0].x1 < cells.boxes[0].x2 < 200
    grey = decode_image(encode_png(picture), "L")
    assert np.array_equal(decode_image(cells.enhanced, "L"), 255 - grey)
    assert np.array_equal(cells.nuclei.array(), grey < 100)


def test_sound_and_video_are_read(page: dict[str, Any]) -> None:
    assert page["loudness"](page["Speech"](sound=page["beep"])) == pytest.approx(0.707, abs=0.01)
    found = page["brightness"](page["Clip"](video=video_file(frames=11)))
    assert len(found) == 3


def test_state_counts_the_frames(page: dict[str, Any]) -> None:
    model, state = page["FrameCounter"](), None
    for number in (1, 2, 3):
        still = page["Still"](image=picture_file("PNG"), state=state)
        (seen,) = model.predict([still])
        state = seen.state
        assert decode_state(state, page["Tally"]).frames == number

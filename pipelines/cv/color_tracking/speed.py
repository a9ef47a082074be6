"""Measure the frames a second: `python -m pipelines.cv.color_tracking.speed` writes speed.json.

It is not a stage, because times differ between runs.
"""

from pathlib import Path

from slipway.datasets import fetch
from slipway.kits.tracking.speed import measure_speed, write_speeds
from slipway.media import encode_jpeg

from .data import clips
from .model import ColorTracking, ColorView
from .scenes import FRAMES

RESULT = Path(__file__).with_name("speed.json")


def main() -> None:
    """Measure a drawn clip, a real film, and single frames with their state."""
    model = ColorTracking()
    model.load(Path(__file__).parent / "work" / "weights")
    view, _ = next(clips(1, 0))
    film = ColorView(video=fetch("bikes_clip").path("bikes.mp4").read_bytes())
    _, first = next(film.pictures())
    (before,) = model.predict([ColorView(image=encode_jpeg(first))])
    frame = ColorView(image=encode_jpeg(first), state=before.state)
    speeds = {
        f"clip of {FRAMES} frames, 320x240": measure_speed(model, view, FRAMES),
        "film of 250 frames, 640x272": measure_speed(model, film, 250),
        "single frame with state, 640x272": measure_speed(model, frame, 1, rounds=20),
    }
    write_speeds(RESULT, speeds)


if __name__ == "__main__":
    main()

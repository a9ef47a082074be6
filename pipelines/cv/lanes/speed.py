"""Measure the frames a second: `python -m pipelines.cv.lanes.speed` writes speed.json.

It is not a stage, because times differ between runs.
"""

from pathlib import Path

from slipway.datasets import fetch
from slipway.kits.tracking.speed import measure_speed, write_speeds
from slipway.media import decode_frames, encode_jpeg

from .data import CLIP, read_member
from .model import LaneFinder, RoadView

RESULT = Path(__file__).with_name("speed.json")
FRAMES = 221


def main() -> None:
    """Measure the whole clip, and a single frame, at full size."""
    model = LaneFinder()
    model.load(Path(__file__).parent / "work" / "weights")
    clip = read_member(fetch("carnd_lanes"), CLIP)
    image = encode_jpeg(next(decode_frames(clip)))
    (before,) = model.predict([RoadView(image=image)])
    speeds = {
        "video, 960x540, with the drawn video": measure_speed(model, RoadView(video=clip), FRAMES),
        "single frame with state, 960x540": measure_speed(
            model, RoadView(image=image, state=before.state), 1, rounds=20
        ),
    }
    write_speeds(RESULT, speeds)


if __name__ == "__main__":
    main()

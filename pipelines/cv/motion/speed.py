"""Measure the frames a second: `python -m pipelines.cv.motion.speed` writes speed.json.

It is not a stage, because times differ between runs.
"""

from pathlib import Path

from slipway.datasets import fetch
from slipway.kits.tracking.clips import encode_clip, read_with_opencv
from slipway.kits.tracking.speed import measure_speed, write_speeds
from slipway.media import encode_jpeg

from .model import MotionCounter, MotionView

RESULT = Path(__file__).with_name("speed.json")
FRAMES = 100


def main() -> None:
    """Measure the campus at its full size: as a video by two methods, and as single frames."""
    model = MotionCounter()
    model.load(Path(__file__).parent / "work" / "weights")
    scene = read_with_opencv(fetch("vtest_pedestrians").path("vtest.avi"))
    pictures = [picture for _, picture in zip(range(FRAMES), scene, strict=False)]
    video, image = encode_clip(pictures, rate=10), encode_jpeg(pictures[0])
    (before,) = model.predict([MotionView(image=image)])
    frame = MotionView(image=image, state=before.state)
    speeds = {
        "video, 768x576": measure_speed(model, MotionView(video=video), FRAMES),
        "video, 768x576, MOG2": measure_speed(
            model, MotionView(video=video, method="mog2"), FRAMES
        ),
        "single frame with state, 768x576": measure_speed(model, frame, 1, rounds=20),
    }
    write_speeds(RESULT, speeds)


if __name__ == "__main__":
    main()

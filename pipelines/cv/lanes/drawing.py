"""Draw lane and lines over pictures, and write pictures as a video while they come."""

from io import BytesIO

import av
import cv2
import numpy as np

from .edges import Region
from .lines import Lines, end_rows

LANE, LINES = (0, 158, 115), {"left": (213, 94, 0), "right": (0, 114, 178)}
# The share of the lane's color.
TINT = 0.35
# Without B-frames and with one thread, equal pictures give equal bytes on all processors. At most
# 2.5 Mbit a second: two minutes of noise, which cannot be compressed, stay below 50 MB.
OPTIONS = {"crf": "26", "preset": "superfast", "threads": "1", "bf": "0"} | {
    "maxrate": "2500k",
    "bufsize": "5000k",
}


def drawn(picture: np.ndarray, lines: Lines, region: Region) -> np.ndarray:
    """Return a picture (height, width, 3) with the lane in green and its lines over it."""
    first, last = end_rows(picture.shape[0], region)
    ends = {
        side: np.rint([[line.top, first], [line.bottom, last]]).astype(np.int32)
        for side, line in lines.items()
    }
    result = picture.copy()
    if len(ends) == 2:
        tinted = picture.copy()
        cv2.fillPoly(tinted, [np.concatenate([ends["left"], ends["right"][::-1]])], LANE)
        result = cv2.addWeighted(tinted, TINT, picture, 1 - TINT, 0)
    for side, (far, near) in ends.items():
        cv2.line(result, far.tolist(), near.tolist(), LINES[side], max(2, picture.shape[1] // 160))
    return np.asarray(result)


class VideoWriter:
    """Writes pictures (height, width, 3) as MP4 with H.264; only the compressed ones are kept."""

    def __init__(self, rate: int) -> None:
        self._file = BytesIO()
        self._container = av.open(self._file, "w", format="mp4")
        self._stream = self._container.add_stream("libx264", rate=rate)
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {**OPTIONS}
        self._stream.codec_context.thread_count = 1
        self._is_open = False

    def add(self, picture: np.ndarray) -> None:
        """Write a picture; H.264 needs even sides, so an odd one gets its last pixels twice."""
        even = np.pad(picture, [*((0, side % 2) for side in picture.shape[:2]), (0, 0)], "edge")
        if not self._is_open:
            self._stream.height, self._stream.width = even.shape[:2]
            self._is_open = True
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))

    def close(self) -> bytes:
        """Return the video."""
        self._container.mux(self._stream.encode())
        self._container.close()
        return self._file.getvalue()

"""Write pictures as a clip that browsers play, and read videos that the server does not accept."""

from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import av
import cv2
import numpy as np


def encode_clip(pictures: Iterable[np.ndarray], *, rate: int = 15, quality: int = 20) -> bytes:
    """Return pictures (height, width, 3), both even, as MP4 with H.264; equal ones in, equal out.

    `quality` is x264's constant rate factor: lower is better.
    """
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = None
        for picture in pictures:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                # One thread, because several cut the pictures in another way on each machine.
                # Without assembly, with which B-frames depend on what memory held before.
                stream.options = {
                    "crf": str(quality),
                    "preset": "veryfast",
                    "threads": "1",
                    "x264-params": "asm=0",
                }
                stream.codec_context.thread_count = 1
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        if stream is None:
            raise ValueError("a clip needs at least one picture")
        container.mux(stream.encode())
    return file.getvalue()


def read_with_opencv(file: Path) -> Iterator[np.ndarray]:
    """Yield the pictures (height, width, 3) of a video with any codec that OpenCV knows, in RGB."""
    video = cv2.VideoCapture(str(file))
    try:
        while True:
            more, picture = video.read()
            if not more:
                return
            yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    finally:
        video.release()

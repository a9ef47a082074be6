"""The marker of video fields."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar

from slipway.media.containers import container_of
from slipway.media.frames import VideoHeader, check_pixels, decode_frames, read_video_header
from slipway.media.marker import Media
from slipway.media.refusals import Refused

# QuickTime's files are read like MP4, Matroska's like WebM.
MEDIA_TYPES = {"MP4": "video/mp4", "WEBM": "video/webm", "AVI": "video/x-msvideo"}
ALSO = ("video/quicktime", "video/x-matroska")


@dataclass(frozen=True, kw_only=True)
class Video(Media):
    """Marks a video: `clip: Annotated[bytes, Video(max_seconds=10)]`.

    The first frame is decoded to check it, the others when the model reads them. Needs the serving
    group `vision`.
    """

    kind: ClassVar[str] = "video"

    max_bytes: int = 50_000_000
    max_seconds: float = 60
    max_frames: int = 1800
    max_pixels: int = 1920 * 1080
    """The largest width times height."""
    capture: bool = False
    """Offer the camera on the model's page."""

    @property
    def media_types(self) -> tuple[str, ...]:
        return (*MEDIA_TYPES.values(), *ALSO)

    def limits(self) -> dict[str, Any]:
        return {
            "formats": list(MEDIA_TYPES),
            "max_seconds": self.max_seconds,
            "max_frames": self.max_frames,
            "max_pixels": self.max_pixels,
            "capture": self.capture,
        }

    def media_type_of(self, data: bytes) -> str:
        return MEDIA_TYPES[container_of(data) or "MP4"]

    def describe(self, data: bytes) -> dict[str, Any]:
        """Return format, width and height as stored, seconds and frames."""
        header = read_video_header(data)
        return {
            "format": header.format,
            "width": header.width,
            "height": header.height,
            "seconds": round(header.seconds, 3),
            "frames": header.frames,
        }

    def check_content(self, data: bytes) -> None:
        self._check_limits(read_video_header(data, self.max_frames))
        with closing(decode_frames(data, max_pixels=self.max_pixels)) as frames:
            next(frames)

    def _check_limits(self, header: VideoHeader) -> None:
        check_pixels(header.width, header.height, self.max_pixels)
        if header.seconds > self.max_seconds:
            got = f"{header.seconds:.1f}"
            raise Refused(f"must be at most {self.max_seconds:g} seconds long, got {got}")
        if header.frames > self.max_frames:
            raise Refused(f"must have at most {self.max_frames:,} frames")

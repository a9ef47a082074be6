"""The marker of picture fields."""

from dataclasses import dataclass
from typing import Any, ClassVar

from slipway.media.marker import Media
from slipway.media.picture_header import MEDIA_TYPES, read_picture_header
from slipway.media.pictures import decode_image
from slipway.media.refusals import Refused


@dataclass(frozen=True, kw_only=True)
class Image(Media):
    """Marks a picture: `image: Annotated[bytes, Image(max_side=1024)]`."""

    kind: ClassVar[str] = "image"

    max_side: int = 4096
    min_side: int = 1
    formats: tuple[str, ...] = ("PNG", "JPEG", "WEBP")
    """Accepted formats, recognized by the content: PNG, JPEG, WEBP, GIF, BMP."""
    capture: bool = False
    """Offer the camera on the model's page."""
    draw: bool = False
    """Offer a canvas to draw on."""

    def __post_init__(self) -> None:
        if not self.formats or not set(self.formats) <= MEDIA_TYPES.keys():
            raise ValueError(f"formats must be of {', '.join(MEDIA_TYPES)}, got {self.formats}")

    @property
    def media_types(self) -> tuple[str, ...]:
        return tuple(MEDIA_TYPES[name] for name in self.formats)

    def limits(self) -> dict[str, Any]:
        return {
            "formats": list(self.formats),
            "max_side": self.max_side,
            "min_side": self.min_side,
            "capture": self.capture,
            "draw": self.draw,
        }

    def media_type_of(self, data: bytes) -> str:
        return MEDIA_TYPES[read_picture_header(data, self.formats).format]

    def describe(self, data: bytes) -> dict[str, Any]:
        """Return format, width and height as stored, before the EXIF orientation is applied."""
        header = read_picture_header(data, self.formats)
        return {"format": header.format, "width": header.width, "height": header.height}

    def check_content(self, data: bytes) -> None:
        header = read_picture_header(data, self.formats)
        size = f"{header.width} x {header.height}"
        if max(header.width, header.height) > self.max_side:
            raise Refused(f"must be at most {self.max_side} pixels a side, got {size}")
        if min(header.width, header.height) < self.min_side:
            raise Refused(f"must be at least {self.min_side} pixels a side, got {size}")
        decode_image(data)

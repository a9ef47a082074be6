"""The marker of files that the library does not decode: documents, meshes, archives."""

from dataclasses import dataclass
from typing import ClassVar

from slipway.media.marker import Media
from slipway.media.refusals import Refused

# What files of a media type begin with; PDF readers accept up to 1,024 bytes before it.
BEGINNINGS = {
    "application/pdf": (b"%PDF-", 1024),
    "application/zip": (b"PK\x03\x04", 0),
    "model/gltf-binary": (b"glTF", 0),
}


@dataclass(frozen=True, kw_only=True)
class Blob(Media):
    """Marks a file: `document: Annotated[bytes, Blob(media_type="application/pdf")]`.

    Of PDF, ZIP and binary glTF the first bytes are checked. The model parses the content, which
    may be hostile.
    """

    kind: ClassVar[str] = "blob"

    media_type: str = "application/pdf"
    max_bytes: int = 20_000_000

    @property
    def media_types(self) -> tuple[str, ...]:
        return (self.media_type,)

    def describe(self, data: bytes) -> dict[str, str]:
        """Return the media type."""
        return {"media_type": self.media_type}

    def check_content(self, data: bytes) -> None:
        beginning, latest = BEGINNINGS.get(self.media_type, (b"", 0))
        if data.find(beginning, 0, latest + len(beginning)) < 0:
            raise Refused(f"is not {self.media_type}")

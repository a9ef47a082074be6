"""The marker of sound fields."""

from dataclasses import dataclass
from typing import Any, ClassVar

from slipway.media.containers import container_of
from slipway.media.marker import Media
from slipway.media.refusals import Refused
from slipway.media.sound import decode_audio, read_sound_header

MEDIA_TYPES = {
    "WAV": "audio/wav",
    "MP3": "audio/mpeg",
    "FLAC": "audio/flac",
    "OGG": "audio/ogg",
    "MP4": "audio/mp4",
    "WEBM": "audio/webm",
}


@dataclass(frozen=True, kw_only=True)
class Audio(Media):
    """Marks sound: `speech: Annotated[bytes, Audio(max_seconds=30, sample_rate=16_000)]`.

    Everything but plain WAV needs the serving group `audio`.
    """

    kind: ClassVar[str] = "audio"

    max_seconds: float = 60
    sample_rate: int | None = None
    """The rate at which the model reads the sound; every rate is accepted and converted."""
    capture: bool = False
    """Offer the microphone on the model's page."""

    @property
    def media_types(self) -> tuple[str, ...]:
        return tuple(MEDIA_TYPES.values())

    def limits(self) -> dict[str, Any]:
        return {
            "formats": list(MEDIA_TYPES),
            "max_seconds": self.max_seconds,
            "sample_rate": self.sample_rate,
            "capture": self.capture,
        }

    def media_type_of(self, data: bytes) -> str:
        return MEDIA_TYPES[container_of(data) or "WAV"]

    def describe(self, data: bytes) -> dict[str, Any]:
        """Return format, sample rate, channels, and the seconds if the header has them."""
        header = read_sound_header(data)
        facts = {
            "format": header.format,
            "sample_rate": header.sample_rate,
            "channels": header.channels,
            "seconds": header.seconds,
        }
        return {name: value for name, value in facts.items() if value is not None}

    def check_content(self, data: bytes) -> None:
        header = read_sound_header(data)
        if header.seconds is not None and header.seconds > self.max_seconds:
            got = f"{header.seconds:.1f}"
            raise Refused(f"must be at most {self.max_seconds:g} seconds long, got {got}")
        decode_audio(data, self.sample_rate or header.sample_rate, self.max_seconds)

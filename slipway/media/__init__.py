"""Pictures, sound, video, documents and state as fields of records; imports only what serving has.

PyAV is imported when a video, or sound other than plain WAV, is decoded.
"""

from slipway.media.audio import Audio
from slipway.media.blob import Blob
from slipway.media.boxes import Box, Point, Track, box_overlaps, nms
from slipway.media.containers import GroupMissing
from slipway.media.fields import media_fields
from slipway.media.frames import decode_frames
from slipway.media.image import Image
from slipway.media.letterbox import letterbox
from slipway.media.marker import Media
from slipway.media.mask import Mask
from slipway.media.pictures import decode_image, encode_jpeg, encode_png, encode_quickly
from slipway.media.sound import decode_audio
from slipway.media.state import State, decode_state, encode_state
from slipway.media.summary import summarize_record
from slipway.media.video import Video
from slipway.media.wav import encode_wav

__all__ = [
    "Audio",
    "Blob",
    "Box",
    "GroupMissing",
    "Image",
    "Mask",
    "Media",
    "Point",
    "State",
    "Track",
    "Video",
    "box_overlaps",
    "decode_audio",
    "decode_frames",
    "decode_image",
    "decode_state",
    "encode_jpeg",
    "encode_png",
    "encode_quickly",
    "encode_state",
    "encode_wav",
    "letterbox",
    "media_fields",
    "nms",
    "summarize_record",
]

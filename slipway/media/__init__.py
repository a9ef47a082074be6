"""Pictures, sound, video, documents and state as fields of records; imports only what serving has.

PyAV is imported when a video, or sound other than plain WAV, is decoded.
"""

from slipway.media.boxes import Box, Point, Track, box_overlaps, nms
from slipway.media.fields import media_fields
from slipway.media.image import Image
from slipway.media.letterbox import letterbox
from slipway.media.marker import Media
from slipway.media.mask import Mask
from slipway.media.pictures import decode_image, encode_jpeg, encode_png

__all__ = [
    "Box",
    "Image",
    "Mask",
    "Media",
    "Point",
    "Track",
    "box_overlaps",
    "decode_image",
    "encode_jpeg",
    "encode_png",
    "letterbox",
    "media_fields",
    "nms",
]

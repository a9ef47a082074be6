"""The number of samples that an MP4 file claims, checked before FFmpeg takes memory for them.

FFmpeg's index takes some 70 bytes a sample, and a file can claim samples of equal size without a
byte for each: 2 kB that claim 30 million frames took 2 GB and 7 seconds.
"""

import struct
from collections.abc import Iterator

from slipway.media.refusals import DAMAGED, Refused

# Nine hours of video at 30 frames a second.
MAX_SAMPLES = 1_000_000
# Boxes with a number of entries: how many bytes lie between the name and that number.
SAMPLES = {b"stsz": 8, b"stz2": 8, b"trun": 4}
# FFmpeg repeats the samples for each edit; recorders write one or two.
EDITS = {b"elst": 4}
# A compressed header, as QuickTime 3 wrote it, could hold anything.
COMPRESSED = b"cmov"


def check_tables(data: bytes) -> None:
    """Raise Refused if the file claims more than `MAX_SAMPLES`, each counted for every edit."""
    samples = edits = 0
    for part in _without_media(data):
        if COMPRESSED in part:
            raise Refused("has a codec that is not accepted")
        samples += sum(_claimed(part, SAMPLES))
        edits += sum(_claimed(part, EDITS))
    if samples * max(edits, 1) > MAX_SAMPLES:
        raise Refused(f"must have at most {MAX_SAMPLES:,} samples")


def _without_media(data: bytes) -> Iterator[bytes]:
    """Yield the boxes of the file except `mdat`, which hold the coded samples."""
    place = 0
    while place + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, place)
        if size == 1:
            if place + 16 > len(data):
                raise Refused(DAMAGED)
            (size,) = struct.unpack_from(">Q", data, place + 8)
        end = len(data) if size < 8 else min(place + size, len(data))
        if name != b"mdat":
            yield data[place:end]
        place = end


def _claimed(part: bytes, boxes: dict[bytes, int]) -> Iterator[int]:
    """Yield the numbers of entries; boxes are found by name alone, wherever they are nested."""
    for name, skipped in boxes.items():
        place = part.find(name)
        while place >= 0:
            number = part[place + 4 + skipped : place + 8 + skipped]
            yield int.from_bytes(number, "big")
            place = part.find(name, place + 4)

"""Decoding and encoding of pictures, and what detectors need of them."""

import numpy as np
import PIL.Image
import pytest

from slipway.media import decode_image, encode_jpeg, encode_png, letterbox
from slipway.media.pictures import UPRIGHT
from tests.slipway.media.media_samples import noise, picture_file, saved

ORIENTATION = 0x0112


def oriented(picture: PIL.Image.Image, orientation: int, format: str) -> bytes:
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    return saved(picture, format, exif=exif, **options)


def test_a_png_is_decoded_to_the_same_pixels() -> None:
    colors = noise()
    assert np.array_equal(decode_image(encode_png(colors)), colors)
    grey = colors[..., 0]
    assert np.array_equal(decode_image(encode_png(grey), "L"), grey)
    assert np.array_equal(decode_image(encode_png(grey)), np.stack([grey] * 3, axis=2))
    assert decode_image(encode_png(colors), "L").shape == grey.shape


def test_a_jpeg_is_decoded_to_nearly_the_same_pixels() -> None:
    smooth = np.tile(np.arange(0, 240, 5, dtype=np.uint8)[:, None, None], (1, 40, 3))
    decoded = decode_image(encode_jpeg(smooth, quality=95)).astype(int)
    assert np.abs(decoded - smooth).max() <= 3


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, *UPRIGHT])
def test_the_exif_orientation_is_applied_once(format: str, orientation: int) -> None:
    # Four quarters of different brightness, twice as wide as high.
    upright = np.kron(np.array([[250, 170], [90, 10]], dtype=np.uint8), np.ones((16, 32)))
    picture = PIL.Image.fromarray(upright.astype(np.uint8))
    back = {turn: turn for turn in PIL.Image.Transpose}
    back[PIL.Image.Transpose.ROTATE_90] = PIL.Image.Transpose.ROTATE_270
    back[PIL.Image.Transpose.ROTATE_270] = PIL.Image.Transpose.ROTATE_90
    stored = picture
    if orientation != 1:
        stored = picture.transpose(back[UPRIGHT[orientation]])
    decoded = decode_image(oriented(stored.convert("RGB"), orientation, format), "L")
    assert decoded.shape == upright.shape
    assert np.abs(decoded.astype(int) - upright).max() <= 4


def test_orientations_are_those_of_the_exif_standard() -> None:
    """6 means that the stored picture must be turned clockwise by a quarter."""
    stored = np.zeros((10, 20), dtype=np.uint8)
    stored[0, 0] = 255
    turned = decode_image(oriented(PIL.Image.fromarray(stored), 6, "PNG"), "L")
    assert turned.shape == (20, 10)
    assert turned[0, 9] == 255


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    decoded = decode_image(saved(PIL.Image.fromarray(values), "PNG"), "L")
    assert decoded.tolist() == [[0, 1, 128, 255]]


def test_transparent_parts_become_black() -> None:
    colors = np.full((2, 2, 4), 200, dtype=np.uint8)
    colors[0, 0, 3] = 0
    colors[1, 1, 3] = 255
    decoded = decode_image(encode_png(colors))
    assert decoded[0, 0].tolist() == [0, 0, 0]
    assert decoded[1, 1].tolist() == [200, 200, 200]
    palette = PIL.Image.new("P", (2, 1), 0)
    palette.putpalette([255, 255, 255, 9, 9, 9])
    palette.putpixel((1, 0), 1)
    decoded = decode_image(saved(palette, "PNG", transparency=0))
    assert decoded.tolist() == [[[0, 0, 0], [9, 9, 9]]]
    grey16 = PIL.Image.fromarray(np.array([[65535, 25700]], dtype=np.uint16))
    assert decode_image(saved(grey16, "PNG", transparency=65535), "L").tolist() == [[0, 100]]


@pytest.mark.parametrize(
    ("format", "mode"),
    [
        *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
        *(("JPEG", mode) for mode in ("L", "RGB", "CMYK", "YCbCr")),
        *(("WEBP", mode) for mode in ("RGB", "RGBA")),
        *(("GIF", mode) for mode in ("L", "P")),
        *(("BMP", mode) for mode in ("1", "L", "P", "RGB")),
    ],
)
def test_every_mode_becomes_colors_and_grey_values(format: str, mode: str) -> None:
    data = picture_file(format, mode)
    for wanted, shape in (("RGB", (24, 32, 3)), ("L", (24, 32))):
        decoded = decode_image(data, wanted)  # type: ignore[arg-type]
        assert (decoded.shape, decoded.dtype) == (shape, np.uint8)
        assert decoded.min() < 100 < decoded.max()


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP"])
def test_the_first_frame_of_an_animation_is_taken(format: str) -> None:
    red, blue = (PIL.Image.new("RGB", (8, 8), color) for color in ("red", "blue"))
    data = saved(red, format, save_all=True, append_images=[blue])
    assert decode_image(data)[4, 4, 0] > 200
    assert decode_image(data)[4, 4, 2] < 50


def test_a_picture_is_resized_by_height_and_width() -> None:
    data = picture_file("PNG")
    assert decode_image(data, size=28).shape == (28, 28, 3)
    assert decode_image(data, "L", size=(10, 20)).shape == (10, 20)
    # The frame's mean stays that of the picture.
    assert abs(decode_image(data, size=12).mean() - decode_image(data).mean()) < 3


def test_a_decoded_picture_cannot_be_changed_for_others() -> None:
    decoded = decode_image(picture_file("PNG"))
    with pytest.raises(ValueError, match="read-only"):
        decoded[0, 0] = 0


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), dtype=np.float32),
        np.zeros((4, 4, 2), dtype=np.uint8),
        np.zeros((0, 4), dtype=np.uint8),
        np.zeros(4, dtype=np.uint8),
    ],
)
def test_what_is_no_picture_is_not_encoded(array: np.ndarray) -> None:
    for encode in (encode_png, encode_jpeg):
        with pytest.raises(ValueError, match="a picture is uint8"):
            encode(array)


def test_masks_and_transparency_are_encoded() -> None:
    mask = np.array([[True, False]])
    assert decode_image(encode_png(mask), "L").tolist() == [[255, 0]]
    with pytest.raises(ValueError, match="no transparency"):
        encode_jpeg(np.zeros((2, 2, 4), dtype=np.uint8))


@pytest.mark.parametrize("shape", [(20, 40, 3), (40, 20, 3), (30, 30), (1, 500, 3)])
def test_a_letterbox_keeps_proportions_and_gives_places_back(shape: tuple[int, ...]) -> None:
    image = np.zeros(shape, dtype=np.uint8)
    image[0, 0] = 255
    framed, scale, (left, top) = letterbox(image, 64)
    assert framed.shape == (64, 64, *shape[2:])
    inside = np.argwhere(framed.reshape(64, 64, -1)[..., 0] != 114)
    assert inside.min(axis=0).tolist() == [top, left]
    assert inside.max(axis=0) - inside.min(axis=0) + 1 == pytest.approx(
        [max(1, shape[0] * scale), shape[1] * scale], abs=1
    )
    assert letterbox(image, (32, 64))[0].shape[:2] == (32, 64)

"""Write pictures as PNG, JPEG, BMP or WEBP; `slipway.media` reads them."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

FORMATS = {"png": "PNG", "jpeg": "JPEG", "bmp": "BMP", "webp": "WEBP"}


def encode(pixels: np.ndarray, format: str, quality: int) -> bytes:
    """Return the bytes of a picture, (height, width) or (height, width, 3) of uint8.

    `quality` (1 to 100) matters for JPEG and WEBP, which lose digits; PNG and BMP lose none.
    """
    options: dict[str, Any] = {"quality": quality} if format in ("jpeg", "webp") else {}
    file = BytesIO()
    Image.fromarray(pixels).save(file, FORMATS[format], **options)
    return file.getvalue()

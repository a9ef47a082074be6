"""Write codes as grids of modules: EAN-13 by own code, QR codes by ZXing-C++."""

import numpy as np
import zxingcpp

from . import ean13

# Light modules around a code are a part of it.
QUIET = {"qr_code": 4, "ean_13": 11}
BAR_HEIGHT = 40


def code_modules(kind: str, text: str, correction: str = "M") -> np.ndarray:
    """Return the modules of a code with its light margin, uint8 (rows, columns), 0 where dark.

    Raises:
        ValueError: the text does not fit into a code of this kind.
    """
    if kind == "ean_13":
        modules = np.where(np.tile(ean13.bars(text), (BAR_HEIGHT, 1)), 0, 255).astype(np.uint8)
    else:
        try:
            code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level=correction)
        except ValueError:
            raise ValueError(
                f"the text is too long for a QR code with correction {correction}: "
                "shorten it, or choose a lower correction"
            ) from None
        modules = np.array(code.to_image(scale=1, add_quiet_zones=False))
    return np.pad(modules, QUIET[kind], constant_values=255)

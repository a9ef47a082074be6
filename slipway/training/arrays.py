"""Arrays in one file whose bytes depend on the arrays alone."""

import io
import zipfile
from pathlib import Path

import numpy as np

# The earliest that a ZIP archive can name.
EPOCH = (1980, 1, 1, 0, 0, 0)


def write_arrays(file: Path, **arrays: np.ndarray | float) -> None:
    """Write `arrays` by name as an uncompressed `.npz`, which `numpy.load` reads.

    `numpy.savez` asks zipfile for 64-bit headers, which Python writes in another way since 3.11.4:
    equal arrays gave other bytes under another Python 3.11.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(values), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), content.getvalue())

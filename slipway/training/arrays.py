"""Write arrays to one file whose bytes depend only on the arrays."""

import io
import zipfile
from pathlib import Path

import numpy as np

# The earliest time that a ZIP archive can store.
EPOCH = (1980, 1, 1, 0, 0, 0)


def write_arrays(file: Path, **arrays: np.ndarray | float) -> None:
    """Write `arrays` by name as an uncompressed `.npz`, which `numpy.load` reads.

    `numpy.savez` makes zipfile write 64-bit headers, which Python writes differently since 3.11.4:
    equal arrays gave different bytes under another Python 3.11.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(values), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), content.getvalue())

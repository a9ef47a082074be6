"""Import Feast without torch."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_torch() -> Iterator[None]:
    """Make torch seem uninstalled inside the block, unless it was imported before.

    Feast imports torch for batches of tensors, which are not used here. The import takes 2.5 of
    9 s, and 180 MB in every worker that looks features up.
    """
    if "torch" in sys.modules:
        yield
        return
    # Feast (0.67) imports torch in feast/torch_wrapper.py whenever feast is imported, and has no
    # setting or lazy import for it. It catches the ImportError that this None raises.
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torch"]

"""Feast, imported without torch where that is installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_torch() -> Iterator[None]:
    """Within the block torch seems not to be installed, unless it was imported before.

    Feast imports it for batches of tensors, which nobody asks of it here: 2.5 of 9 s, and 180 MB in
    every worker that looks features up.
    """
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torch"]

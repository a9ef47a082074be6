"""Find a Node.js to run JavaScript with."""

import shutil

from slipway.datasets import sources


def node() -> str:
    """Return the machine's Node.js, or that of the Python package that also brings npm."""
    return shutil.which("node") or str(sources._npm()[0])

"""`python -m infra.delivery.sizes [TARGET ...]`: measure the images, and write sizes.json.

The sizes are MB above the Python image, which differs from place to place. docs/operations.md
states them, and the images' tests compare them with what is built.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.delivery import images
from infra.docker import docker
from slipway import home
from slipway.files import replace_text

FILE = Path("infra/images/sizes.json")
BASE = "python:3.11-slim-bookworm"
# What each image is for, as docs/operations.md says it.
PURPOSES = {
    "serving": "model servers; models that require no serving group and look up no features",
    "serving-features": "the default: `serving` with Feast, which looks up online features",
    "serving-media": "`serving-features` with OpenCV, PyAV and tokenizers: all serving groups",
    "monitor": "drift and performance",
    "stream": "prediction records and labels to Kafka",
    "explain": "the dashboard of explanations",
}


def megabytes(image: str) -> float:
    """Return the size above the Python image, in MB.

    Raises:
        DockerFault: one of the two images is not there.
    """
    return (_bytes(image) - _bytes(BASE)) / 1e6


def _bytes(image: str) -> int:
    return int(docker("image", "inspect", "--format", "{{.Size}}", image))


def read(root: Path) -> dict[str, int]:
    """Return the measured MB by target."""
    sizes: dict[str, int] = json.loads((root / FILE).read_text())
    return sizes


def rows(sizes: dict[str, int]) -> list[str]:
    """Return the rows of the table in docs/operations.md."""
    return [f"| `{name}` | {text} | {sizes[name]} MB |" for name, text in PURPOSES.items()]


def measure(root: Path, targets: Sequence[str]) -> dict[str, int]:
    """Build and measure the targets; return them with what was measured before."""
    sizes = read(root) if (root / FILE).is_file() else {}
    for target in targets:
        sizes[target] = round(megabytes(images.build(root, target, "test")))
    return {name: sizes[name] for name in PURPOSES if name in sizes}


def main() -> None:
    root = home.root()
    sizes = measure(root, sys.argv[1:] or list(PURPOSES))
    replace_text(root / FILE, json.dumps(sizes, indent=1) + "\n")
    for name, size in sizes.items():
        print(f"{name}: {size} MB")


if __name__ == "__main__":
    main()

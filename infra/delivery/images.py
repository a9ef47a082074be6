"""Build and inspect the repository's images, by Dockerfile target."""

import json
from pathlib import Path
from typing import Any

from infra.delivery import dockerfile
from infra.docker import docker

BUILD_SECONDS = 2400


def targets(root: Path) -> list[str]:
    return dockerfile.targets((root / dockerfile.FILE).read_text())


def name(target: str, tag: str) -> str:
    return f"slipway/{target}:{tag}"


def build(root: Path, target: str, tag: str) -> str:
    """Build the target from the working tree and return the image's name.

    Raises:
        DockerFault: it cannot be built.
    """
    image = name(target, tag)
    # The build reaches the package index through the machine's own network.
    network = ("--network", "host")
    file = ("--file", str(dockerfile.FILE), "--target", target)
    args = ("build", "--quiet", *network, *file, "--tag", image, ".")
    docker(*args, folder=root, seconds=BUILD_SECONDS)
    return image


def configured(image: str) -> dict[str, Any]:
    """Return an image's `Config`: user, variables, labels.

    Raises:
        DockerFault: there is no such image; build it first.
    """
    found: list[dict[str, Any]] = json.loads(docker("image", "inspect", image))
    return dict(found[0]["Config"])

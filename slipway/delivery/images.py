"""The repository's images by the name of their target, built and looked up through Docker."""

import json
from pathlib import Path
from typing import Any

from slipway.delivery import dockerfile
from slipway.docker import docker

BUILD_SECONDS = 2400


def targets(root: Path) -> list[str]:
    return dockerfile.targets((root / dockerfile.FILE).read_text())


def name(target: str, tag: str) -> str:
    return f"slipway/{target}:{tag}"


def build(root: Path, target: str, tag: str) -> str:
    """From the working tree; the image's name.

    Raises:
        DockerFault: it cannot be built.
    """
    made = name(target, tag)
    # The build reaches the package index as the machine itself does.
    network = ("--network", "host")
    file = ("--file", str(dockerfile.FILE), "--target", target)
    words = ("build", "--quiet", *network, *file, "--tag", made, ".")
    docker(*words, folder=root, seconds=BUILD_SECONDS)
    return made


def configured(image: str) -> dict[str, Any]:
    """Its `Config`: user, variables, labels.

    Raises:
        DockerFault: there is no such image; build it first.
    """
    found: list[dict[str, Any]] = json.loads(docker("image", "inspect", image))
    return dict(found[0]["Config"])

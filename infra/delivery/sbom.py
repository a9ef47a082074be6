"""The software bill of materials (SBOM) of an image: Python and Debian packages, as CycloneDX."""

import json
import os
import subprocess
import sys
from pathlib import Path

from slipway.files import replace_text

FORMAT = "cyclonedx-json@1.6"


class SbomFault(Exception):
    """Syft failed, or its output is not valid CycloneDX."""


def write(image: str, file: Path) -> int:
    """Write the image's SBOM to `file` and return the number of its components.

    Raises:
        SbomFault: the image cannot be read, or the list is not valid CycloneDX.
    """
    text = listed(image)
    validate(text)
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_text(file, text)
    return len(json.loads(text)["components"])


def listed(image: str) -> str:
    """Return Syft's output for an image in Docker.

    Raises:
        SbomFault: Syft is missing or failed.
    """
    syft = Path(sys.executable).with_name("syft")
    # Syft would check for a newer version of itself.
    environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false", "NO_COLOR": "1"}
    # Not --quiet: on a disk with too little space for twice the image, Syft would fail silently.
    command = [str(syft), "scan", f"docker:{image}", "--output", FORMAT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        output: str = done.stdout
    except FileNotFoundError as error:
        raise SbomFault(f"{syft} is missing: make the environment with `make env`") from error
    if done.returncode:
        raise SbomFault(f"syft cannot list {image}: {done.stderr.strip()[-2000:]}")
    return output


def validate(text: str) -> None:
    """Validate the text against the format's schema.

    Raises:
        SbomFault: the text is not valid CycloneDX; the message says where.
    """
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SbomFault(f"not valid CycloneDX 1.6: {str(fault.data)[:500]}")

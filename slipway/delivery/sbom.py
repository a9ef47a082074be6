"""The bill of materials of an image: every package of Python and of Debian, as CycloneDX JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

from slipway.files import replace_text

FORMAT = "cyclonedx-json@1.6"


class SbomFault(Exception):
    """Syft failed, or wrote what the format does not allow."""


def write(image: str, file: Path) -> int:
    """List the image into `file`; the number of its components.

    Raises:
        SbomFault: the image cannot be read, or the list is not valid CycloneDX.
    """
    text = listed(image)
    validate(text)
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_text(file, text)
    return len(json.loads(text)["components"])


def listed(image: str) -> str:
    """What Syft finds in the image that Docker holds.

    Raises:
        SbomFault: it failed.
    """
    syft = Path(sys.executable).with_name("syft")
    # It would ask for a newer version of itself.
    environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false", "NO_COLOR": "1"}
    # Not --quiet: a disk too small for twice the image then fails without a word.
    command = [str(syft), "scan", f"docker:{image}", "--output", FORMAT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        told: str = done.stdout
    except FileNotFoundError as error:
        raise SbomFault(f"{syft} is missing: make the environment with `make env`") from error
    if done.returncode:
        raise SbomFault(f"syft cannot list {image}: {done.stderr.strip()[-2000:]}")
    return told


def validate(text: str) -> None:
    """Against the format's own schema.

    Raises:
        SbomFault: the text is not what it claims to be; the message says where.
    """
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SbomFault(f"not valid CycloneDX 1.6: {str(fault.data)[:500]}")

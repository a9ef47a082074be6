"""Python scripts in processes of their own."""

import subprocess
import sys

from tests.conftest import ROOT


def start_python(script: str, *arguments: object) -> "subprocess.Popen[str]":
    """Start the script in the repository's root, with pipes to its three streams."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

"""Run the load generator in a separate process, so that no other Python work delays it."""

import subprocess
import sys

from infra.load.generator import Figures, LoadSpec
from slipway import home

GRACE_SECONDS = 60


class GeneratorFailed(Exception):
    """The generator's process failed; the message is its last line."""


def generate(spec: LoadSpec) -> Figures:
    """Run the load; latencies in milliseconds.

    Raises:
        GeneratorFailed: the generator's process failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "infra.load.generator"],
        input=spec.model_dump_json().encode(),
        capture_output=True,
        cwd=home.root(),
        timeout=spec.seconds + GRACE_SECONDS,
    )
    if done.returncode:
        lines = done.stderr.decode().strip().splitlines()
        raise GeneratorFailed(f"the generator failed: {lines[-1] if lines else done.returncode}")
    return Figures.model_validate_json(done.stdout)

"""The load generator in a process of its own, so that no other work of Python's holds it up."""

import subprocess
import sys

from benchmarks.load import Figures, Order
from slipway import home

GRACE_SECONDS = 60


class GeneratorFailed(Exception):
    """Its process ended badly; the message is its last line."""


def generate(order: Order) -> Figures:
    """Carry it out; latencies in milliseconds.

    Raises:
        GeneratorFailed: it did.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=order.model_dump_json().encode(),
        capture_output=True,
        cwd=home.root(),
        timeout=order.seconds + GRACE_SECONDS,
    )
    if done.returncode:
        told = done.stderr.decode().strip().splitlines()
        raise GeneratorFailed(f"the generator failed: {told[-1] if told else done.returncode}")
    return Figures.model_validate_json(done.stdout)

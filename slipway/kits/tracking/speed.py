"""Measure how many frames a second a model looks at."""

import json
import os
import time
from pathlib import Path

from slipway.contract import Model

from .camera import CameraRecord


def measure_speed(model: Model, record: CameraRecord, frames: int, *, rounds: int = 3) -> float:
    """Return the frames a second of a request, the best of several rounds."""
    best = 0.0
    for _ in range(rounds):
        start = time.perf_counter()
        model.predict([record])
        best = max(best, frames / (time.perf_counter() - start))
    return best


def write_speeds(file: Path, speeds: dict[str, float]) -> None:
    """Write the frames a second by kind of request, and on how many cores they were measured."""
    rates = {name: round(each, 1) for name, each in speeds.items()}
    content = {"cores": len(os.sched_getaffinity(0)), "frames_a_second": rates}
    file.write_text(json.dumps(content, indent=1) + "\n")
    print(file.read_text(), end="")

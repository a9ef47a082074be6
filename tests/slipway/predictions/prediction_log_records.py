"""Records of the prediction log, and child processes that write them."""

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from slipway.predictions import ids
from slipway.predictions.record import line
from slipway.predictions.writer import PredictionLog
from tests.waiting import PATIENCE

SMALL = 16 * 1024
"""The size of a segment that a few records fill."""
ABOUT = {"project": "titanic", "version": "3", "digest": "ab" * 32, "variant": "champion"}
OUTPUTS = b'[{"survived":true,"probability":0.25}]'


def example(id: str, number: int = 0, *, size: int = 100, **changed: Any) -> bytes:
    """Return the line of a record with a number and about `size` bytes in its input."""
    sent = json.dumps({"number": number, "name": "x" * size}).encode()
    return line(
        **{"id": id, "inputs": sent, "outputs": OUTPUTS, "seconds": 0.000125, **ABOUT, **changed}
    )


def add(log: PredictionLog, number: int, **changed: Any) -> str:
    """Append a record and return its id.

    It retries, since fast writes into tiny segments outrun the thread that prepares them.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        id = log.next_id()
        if log.append(example(id, number, **changed)):
            return id
        assert time.monotonic() < deadline, log.fault
        time.sleep(0.005)


def numbers(records: Iterable[dict[str, Any]]) -> list[int]:
    """Return the numbers in the inputs of records, sorted."""
    return sorted(each["inputs"][0]["number"] for each in records)


def segment_of(id: str, folder: Path) -> Path:
    """Return the open segment that holds the record."""
    place = ids.place(id)
    assert place is not None
    return folder / f"{place.segment:08x}.jsonl.open"


def python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start Python with code and arguments, and a pipe for its output."""
    command = [sys.executable, "-c", code, *(str(each) for each in arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)

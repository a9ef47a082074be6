"""A clock for retention that a jump of the machine's clock does not move.

A clock that was set 40 days ahead by mistake must not delete 40 days of records. So the age of
records is measured by a time of the folder's own, kept in a file: it follows the machine's clock,
but at most at twice the speed of the time since boot, which nobody can set. After a jump, what the
jump made too old is deleted over as many days as it was long; until then it can be corrected.
"""

import json
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from slipway.files import replace_text

NAME = "retention-clock.json"
# The longest time without power that is believed.
OFF_SECONDS = 7 * 86_400.0
SPEED = 2.0


class Reading(BaseModel):
    """The folder's time, when it was last read."""

    model_config = ConfigDict(frozen=True)

    own: float
    """Unix time."""
    boot_seconds: float
    """Seconds since the machine's start, those of sleep included."""
    boot_id: str


def own_time(folder: Path) -> float:
    """Return the folder's own Unix time; it is at most that of the machine's clock.

    Raises:
        OSError: the disk is dead or refuses.
    """
    wall = time.time()
    boot_seconds = time.clock_gettime(time.CLOCK_BOOTTIME)
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    before = _last(folder)
    now = wall
    if before is not None:
        passed = boot_seconds - before.boot_seconds
        if before.boot_id != boot_id:
            passed = boot_seconds + OFF_SECONDS
        now = min(wall, before.own + SPEED * max(passed, 0.0))
    _write(folder, Reading(own=now, boot_seconds=boot_seconds, boot_id=boot_id))
    return now


def _last(folder: Path) -> Reading | None:
    try:
        return Reading.model_validate(json.loads((folder / NAME).read_bytes()))
    except (FileNotFoundError, ValueError):
        return None


def _write(folder: Path, reading: Reading) -> None:
    replace_text(folder / NAME, reading.model_dump_json())

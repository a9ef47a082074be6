"""Durability of the prediction log: killed writers, recovery, and disks that fail or hang."""

import json
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from slipway.predictions import ids, reader
from slipway.predictions.compact import compact
from slipway.predictions.reader import find, records, recover
from slipway.predictions.writer import PredictionLog
from tests.slipway.predictions.prediction_log_records import (
    SMALL,
    add,
    example,
    numbers,
    python,
    segment_of,
)
from tests.waiting import PATIENCE, until

# Killed writers

FLOOD = """
import sys
from pathlib import Path
from slipway.predictions.writer import PredictionLog
from tests.slipway.predictions.prediction_log_records import example
log = PredictionLog(Path(sys.argv[1]), segment_bytes=int(sys.argv[2]))
number = 0
while True:
    id = log.next_id()
    if log.append(example(id, number)):
        sys.stdout.write(id + "\\n")
        sys.stdout.flush()
        number += 1
"""


@pytest.mark.parametrize("segment_bytes", [SMALL, 2**22])
def test_nothing_acknowledged_is_lost_when_a_writer_is_killed(
    tmp_path: Path, segment_bytes: int
) -> None:
    acknowledged: list[str] = []
    for delay in (0.1, 0.3):
        child = python(FLOOD, tmp_path, segment_bytes)
        assert child.stdout is not None
        acknowledged.append(child.stdout.readline().strip())
        # At an arbitrary moment, while the pipe is drained.
        timer = threading.Timer(delay, child.send_signal, [signal.SIGKILL])
        timer.start()
        acknowledged += [id.strip() for id in child.stdout if id.endswith("\n")]
        assert child.wait(PATIENCE) == -signal.SIGKILL
    assert len(acknowledged) > 200
    for id in random.sample(acknowledged, 100):
        assert find(tmp_path, id), "before recovery"
    # Two at once, as when two servers start.
    others = [threading.Thread(target=recover, args=(tmp_path,)) for _ in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert not list(tmp_path.glob("*.open"))
    assert all(find(tmp_path, id) for id in acknowledged)
    stored = Counter(record["id"] for record in records(tmp_path))
    assert set(acknowledged) <= set(stored)
    assert max(stored.values()) == 1
    # At most one record of each child was written but not yet printed.
    assert len(stored) - len(acknowledged) <= 2


def test_recovery_leaves_a_running_writer_alone(tmp_path: Path) -> None:
    child = python(FLOOD, tmp_path, 2**22)
    assert child.stdout is not None
    child.stdout.readline()
    log = PredictionLog(tmp_path)
    first = add(log, 1)
    assert recover(tmp_path) == reader.Recovered(segments=0, records=0, torn=0)
    assert log.append(example(log.next_id(), 2))
    child.kill()
    child.wait(PATIENCE)
    recovered = recover(tmp_path)
    assert recovered.segments == 1
    assert recovered.records > 0
    assert find(tmp_path, first)
    log.close()


def test_recovery_blanks_torn_and_missing_pages_and_keeps_the_rest_in_place(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "alive")
    added = [add(log, number) for number in range(100)]
    (tmp_path / "dead").mkdir()
    # As after a power failure: zeros where a page was not written, and half a last line.
    current = segment_of(added[0], tmp_path / "alive")
    damaged = bytearray(current.read_bytes())
    offsets = [place.offset for place in map(ids.place, added) if place]
    for start, end in ((offsets[10] + 5, offsets[13] + 5), (offsets[99] + 50, len(damaged))):
        damaged[start:end] = bytes(end - start)
    dead = tmp_path / "dead" / current.name
    dead.write_bytes(damaged)
    log.close()

    recovered = recover(dead.parent)
    assert (recovered.segments, recovered.records) == (1, 95)
    assert recovered.torn >= 2
    kept = [number for number in range(99) if number not in (10, 11, 12, 13)]
    assert numbers(records(dead.parent)) == kept
    for number, id in enumerate(added):
        assert (find(dead.parent, id) is not None) == (number in kept)
    # A second recovery does nothing, and the segment can be compacted.
    assert recover(dead.parent).segments == 0
    assert compact(dead.parent, seconds=0).records == 95
    assert numbers(records(dead.parent)) == kept


def test_recovery_removes_what_was_never_written(tmp_path: Path) -> None:
    (tmp_path / "0000abcd.jsonl.open").write_bytes(bytes(5000))
    (tmp_path / "0000abce.jsonl.new").write_bytes(bytes(5000))
    assert recover(tmp_path).records == 0
    assert list(tmp_path.iterdir()) == []


# Failing disks


def test_a_folder_replaced_by_a_file_loses_nothing_once_repaired(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log = PredictionLog(folder, segment_bytes=SMALL)
    added = [add(log, number) for number in range(20)]
    while not folder.is_file():
        try:
            folder.rename(tmp_path / f"away-{time.monotonic_ns()}")
            folder.write_text("in the way")
        except IsADirectoryError:
            continue  # the log created the folder again first
    until(lambda: not log.healthy)
    assert "log" in log.fault
    attempted = 20
    down = ""
    while not log.dropped:
        id = log.next_id()
        if log.append(example(id, attempted)):
            added.append(id)
        else:
            down = id
        attempted += 1
    with pytest.raises(ids.NotLogged, match="while the log was down"):
        find(folder, down)
    folder.unlink()
    until(lambda: log.healthy)
    for _ in range(20):
        added.append(add(log, attempted))
        attempted += 1
    log.close()
    assert log.written == len(added)
    assert log.written + log.dropped >= attempted
    assert log.lost == 0
    assert [id for id in added if find(folder, id) is None] == []


def test_a_removed_folder_is_created_again_and_its_open_segment_saved(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log = PredictionLog(folder)
    first = add(log, 1)
    folder.rename(tmp_path / "away")
    shutil.rmtree(tmp_path / "away")
    until(folder.exists)
    second = add(log, 2)
    log.close()
    assert numbers(records(folder)) == [1, 2]
    assert find(folder, first)
    assert find(folder, second)


FULL = """
import json, resource, sys, time
from pathlib import Path
from slipway.predictions.writer import PredictionLog
from tests.slipway.predictions.prediction_log_records import example
from tests.waiting import PATIENCE
folder, size = Path(sys.argv[1]), 2**16
log = PredictionLog(folder, segment_bytes=size)
kept, down, attempted = [], [], 0
def flood(until):
    global attempted
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline, log.fault
        for _ in range(20):
            id = log.next_id()
            (kept if log.append(example(id, attempted)) else down).append(id)
            attempted += 1
        time.sleep(0.001)
flood(lambda: log.written > 100)
# No file may grow beyond this size from now on, which fallocate sees as a full disk.
resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, resource.RLIM_INFINITY))
flood(lambda: log.dropped > 500 and not log.healthy)
fault, before = log.fault, log.written
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
flood(lambda: log.written > before + 500)
healthy = log.healthy
log.close()
print(json.dumps({"attempted": attempted, "written": log.written, "dropped": log.dropped,
    "lost": log.lost, "fault": fault, "healthy": healthy, "kept": kept, "down": down}))
"""


def test_a_full_disk_drops_and_counts_and_logging_resumes_with_room(tmp_path: Path) -> None:
    child = python(FULL, tmp_path)
    result = json.loads(child.communicate(timeout=600)[0])
    assert result["written"] + result["dropped"] == result["attempted"]
    assert (result["lost"], result["healthy"]) == (0, True)
    assert "too large" in result["fault"]
    assert result["written"] == len(result["kept"])
    assert all(find(tmp_path, id) for id in result["kept"])
    for id in random.sample(result["down"], 20):
        with pytest.raises(ids.NotLogged):
            find(tmp_path, id)


CUT = """
import json, os, sys, time
from pathlib import Path
from slipway.predictions.writer import PredictionLog
from tests.slipway.predictions.prediction_log_records import add, example, segment_of
folder = Path(sys.argv[1])
log = PredictionLog(folder, segment_bytes=2**22)
kept = [add(log, number, size=1000) for number in range(100)]
os.truncate(segment_of(kept[0], folder), 50_000)
taken = log.append(example(log.next_id(), 100, size=100_000, input_bytes=2**20))
more = [add(log, number, size=1000) for number in range(101, 200)]
log.close()
print(json.dumps({"taken": taken, "kept": kept, "more": more, "lost": log.lost,
    "written": log.written, "dropped": log.dropped}))
"""


def test_a_segment_cut_short_under_the_writer_neither_kills_it_nor_goes_uncounted(
    tmp_path: Path,
) -> None:
    child = python(CUT, tmp_path)
    result = json.loads(child.communicate(timeout=600)[0])
    assert child.returncode == 0
    assert not result["taken"]
    found = [id for id in result["kept"] + result["more"] if find(tmp_path, id)]
    assert set(result["more"]) <= set(found)
    assert result["lost"] == result["written"] - len(found) > 0


def test_a_disk_that_hangs_delays_no_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = PredictionLog(tmp_path, segment_bytes=2**20, sync_seconds=0.05)
    added = [add(log, 0)]
    back = threading.Event()
    hangs = threading.Event()
    sync, allocate = os.fdatasync, os.posix_fallocate

    # These stand in for the disk, not for the log.
    def slow_sync(file: int) -> None:
        hangs.set()
        back.wait(PATIENCE)
        sync(file)

    def slow_allocate(file: int, start: int, size: int) -> None:
        hangs.set()
        back.wait(PATIENCE)
        allocate(file, start, size)

    monkeypatch.setattr(os, "fdatasync", slow_sync)
    monkeypatch.setattr(os, "posix_fallocate", slow_allocate)
    added.append(add(log, 1))
    assert hangs.wait(PATIENCE)
    longest, attempted, start = 0.0, 2, time.monotonic()
    while time.monotonic() < start + 1 or not log.dropped:
        before = time.monotonic()
        id = log.next_id()
        if log.append(example(id, 2, size=1000)):
            added.append(id)
        longest = max(longest, time.monotonic() - before)
        attempted += 1
    print(f"\n{attempted} predictions beside a hanging disk, the slowest {longest * 1e3:.1f} ms")
    # A wait for the disk would last until it is back; the limit allows for other processes.
    assert longest < 5
    assert log.dropped > 0
    assert log.written + log.dropped == attempted
    assert not log.healthy
    assert "has not responded for" in log.fault
    back.set()
    added.append(add(log, 3))
    log.close()
    assert all(find(tmp_path, id) for id in added)

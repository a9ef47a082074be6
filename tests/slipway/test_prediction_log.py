"""The prediction record: ids, durability, dying disks, recovery, compaction and retention."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.predictions import ids, reader
from slipway.predictions.compact import compact, retain
from slipway.predictions.reader import find, records, recover
from slipway.predictions.record import PredictionRecord, line
from slipway.predictions.writer import PredictionLog
from tests.waiting import PATIENCE, until

SMALL = 16 * 1024
ABOUT = {"project": "titanic", "version": "3", "digest": "ab" * 32, "variant": "champion"}
OUTPUTS = b'[{"survived":true,"probability":0.25}]'


def example(id: str, number: int = 0, *, size: int = 100, **given: Any) -> bytes:
    sent = json.dumps({"number": number, "name": "x" * size}).encode()
    return line(
        **{"id": id, "inputs": sent, "outputs": OUTPUTS, "seconds": 0.000125, **ABOUT, **given}
    )


def add(log: PredictionLog, number: int, **given: Any) -> str:
    """Append until it is taken: a flood into tiny segments outruns the thread that makes them."""
    deadline = time.monotonic() + PATIENCE
    while True:
        id = log.next_id()
        if log.append(example(id, number, **given)):
            return id
        assert time.monotonic() < deadline, log.fault
        time.sleep(0.005)


def numbers(found: Any) -> list[int]:
    return sorted(each["inputs"][0]["number"] for each in found)


def segment_of(id: str, folder: Path) -> Path:
    """The open segment that holds the record."""
    place = ids.place(id)
    assert place is not None
    return folder / f"{place.segment:08x}.jsonl.open"


def python(code: str, *words: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *(str(word) for word in words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


# Ids.


@settings(deadline=None)
@given(
    milliseconds=st.integers(0, 2**48 - 1),
    count=st.integers(0, 2**12 - 1),
    segment=st.integers(1, 2**32 - 1),
    offset=st.integers(0, 2**30 - 1),
)
def test_an_id_holds_its_place(milliseconds: int, count: int, segment: int, offset: int) -> None:
    id = ids.compose(milliseconds=milliseconds, count=count, segment=segment, offset=offset)
    assert ids.place(id) == ids.Place(milliseconds, segment, offset)
    assert ids.milliseconds(id) == milliseconds
    assert str(uuid.UUID(id)) == id
    assert (uuid.UUID(id).version, uuid.UUID(id).variant) == (8, uuid.RFC_4122)


@settings(deadline=None)
@given(st.text(max_size=50) | st.uuids().map(lambda each: each.hex))
def test_what_is_no_uuid_is_malformed(text: str) -> None:
    with pytest.raises(ids.MalformedId, match="must be a UUID"):
        ids.place(text)


@settings(deadline=None)
@given(st.uuids(version=4))
def test_a_foreign_uuid_is_unknown(other: uuid.UUID) -> None:
    assert ids.place(str(other)) is None


def test_the_log_gives_ids_of_the_documented_layout(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    before = int(time.time() * 1000)
    given = [add(log, number) for number in range(5000)]
    after = int(time.time() * 1000)
    assert len(set(given)) == 5000
    size = len(example(given[0]))
    for number, id in enumerate(given[:10]):
        place = ids.place(id)
        assert place is not None
        assert before <= place.milliseconds <= after
        assert place.offset == number * size
        assert (tmp_path / f"{place.segment:08x}.jsonl.open").exists()
    log.close()


def test_ids_stay_unique_without_a_segment_and_without_an_append(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    unused = {log.next_id() for _ in range(3000)}
    log.close()
    muted = {log.next_id() for _ in range(3000)}
    assert len(unused | muted) == 6000
    for id in list(muted)[:10]:
        with pytest.raises(ids.NotLogged):
            find(tmp_path, id)


# The line.

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
bodies = st.dictionaries(st.text(min_size=1, max_size=8), values, max_size=4)


@settings(deadline=None)
@given(
    body=bodies | st.lists(bodies, min_size=1, max_size=3),
    indent=st.sampled_from([None, 0, 2]),
    trace=st.none() | st.text(max_size=40),
    seconds=st.floats(0, 1000),
)
def test_a_line_is_one_line_and_a_valid_record(
    body: Any, indent: int | None, trace: str | None, seconds: float
) -> None:
    id = ids.compose(milliseconds=1_750_000_000_042, count=7, segment=9, offset=0)
    sent = json.dumps(body, indent=indent).encode() + b"\n"
    told = line(id=id, inputs=sent, outputs=OUTPUTS, seconds=seconds, trace=trace, **ABOUT)
    assert told.endswith(b"\n")
    assert told.count(b"\n") == 1
    record = PredictionRecord.model_validate_json(told)
    assert record.inputs == (body if isinstance(body, list) else [body])
    assert record.outputs == json.loads(OUTPUTS)
    assert record.time == datetime(2025, 6, 15, 15, 6, 40, 42000, UTC)
    assert record.trace == trace
    assert record.seconds == pytest.approx(seconds, abs=1e-6)


def test_long_inputs_are_recorded_by_their_hash() -> None:
    id = ids.compose(milliseconds=1, count=1, segment=1, offset=0)
    of = ids.compose(milliseconds=1, count=2, segment=1, offset=0)
    record = PredictionRecord.model_validate_json(example(id, size=100, input_bytes=99, of=of))
    assert record.inputs is None
    assert record.inputs_sha256 is not None
    assert record.of == of
    assert PredictionRecord.model_validate_json(example(id, size=100)).inputs_sha256 is None


# Writing and finding.


def test_every_record_of_many_segments_is_found_while_open_and_when_closed(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, segment_bytes=SMALL)
    given = {add(log, number): number for number in range(500)}

    def check() -> None:
        for id, number in given.items():
            record = find(tmp_path, id)
            assert record is not None
            assert (record["id"], record["inputs"][0]["number"]) == (id, number)
            PredictionRecord.model_validate(record)
        assert numbers(records(tmp_path)) == list(range(500))

    check()
    log.close()
    assert len(list(tmp_path.glob("*.jsonl"))) > 10
    assert not list(tmp_path.glob("*.open"))
    check()
    assert (log.written, log.lost) == (500, 0)
    assert log.bytes == sum(file.stat().st_size for file in tmp_path.glob("*.jsonl"))


def test_records_come_in_the_order_of_time_through_all_segments(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, segment_bytes=SMALL)
    given = []
    for number in range(150):
        given.append(add(log, number))
        if number % 10 == 0:
            time.sleep(0.002)
    assert [each["id"] for each in records(tmp_path)] == given
    log.close()


def test_an_id_beside_a_record_is_unknown(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    id = add(log, 0)
    place = ids.place(id)
    assert place is not None
    for offset in (1, len(example(id)), 2**30 - 1):
        wrong = ids.compose(
            milliseconds=place.milliseconds, count=0, segment=place.segment, offset=offset
        )
        assert find(tmp_path, wrong) is None
    other = ids.compose(
        milliseconds=place.milliseconds + 1, count=0, segment=place.segment, offset=0
    )
    assert find(tmp_path, other) is None
    assert find(tmp_path, id.upper()) is not None
    log.close()


def test_a_line_of_a_quarter_of_a_segment_always_fits_and_a_longer_than_all_never(
    tmp_path: Path,
) -> None:
    log = PredictionLog(tmp_path, segment_bytes=SMALL)
    room = SMALL // 4 - len(example(log.next_id(), size=0))
    for number in range(40):
        until(lambda: bool(log._spares))
        id = log.next_id()
        assert log.append(example(id, number % 10, size=room - 1))
    id = log.next_id()
    assert not log.append(example(id, size=SMALL, input_bytes=2**20))
    assert find(tmp_path, id) is None
    assert add(log, 1)
    assert (log.written, log.dropped) == (41, 1)
    log.close()


def test_a_segment_is_closed_by_age(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, segment_seconds=0.05)
    first = add(log, 1)
    time.sleep(0.1)
    second = add(log, 2)
    until(lambda: len(list(tmp_path.glob("*.jsonl"))) == 1)
    assert find(tmp_path, first) is not None
    assert find(tmp_path, second) is not None
    log.close()


def test_two_writers_share_a_folder(tmp_path: Path) -> None:
    logs = [PredictionLog(tmp_path, segment_bytes=SMALL) for _ in range(2)]
    given = [add(log, number) for number in range(200) for log in logs]
    for log in logs:
        log.close()
    assert len(set(given)) == 400
    assert Counter(numbers(records(tmp_path))) == dict.fromkeys(range(200), 2)
    assert all(find(tmp_path, id) for id in given)


# Killed writers.

FLOOD = """
import sys
from pathlib import Path
from slipway.predictions.writer import PredictionLog
from tests.slipway.test_prediction_log import example
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
    # The one that was written but not yet printed, of each child.
    assert len(stored) - len(acknowledged) <= 2


def test_recovery_leaves_a_living_writer_alone(tmp_path: Path) -> None:
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
    given = [add(log, number) for number in range(100)]
    (tmp_path / "dead").mkdir()
    # As after a loss of power: zeros where a page was not written, and half a last line.
    current = segment_of(given[0], tmp_path / "alive")
    damaged = bytearray(current.read_bytes())
    offsets = [place.offset for place in map(ids.place, given) if place]
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
    for number, id in enumerate(given):
        assert (find(dead.parent, id) is not None) == (number in kept)
    # Nothing to do a second time, and it compacts.
    assert recover(dead.parent).segments == 0
    assert compact(dead.parent, seconds=0).records == 95
    assert numbers(records(dead.parent)) == kept


def test_recovery_removes_what_was_never_written(tmp_path: Path) -> None:
    (tmp_path / "0000abcd.jsonl.open").write_bytes(bytes(5000))
    (tmp_path / "0000abce.jsonl.new").write_bytes(bytes(5000))
    assert recover(tmp_path).records == 0
    assert list(tmp_path.iterdir()) == []


# Dying disks.


def test_a_folder_replaced_by_a_file_loses_nothing_once_repaired(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log = PredictionLog(folder, segment_bytes=SMALL)
    given = [add(log, number) for number in range(20)]
    while not folder.is_file():
        try:
            folder.rename(tmp_path / f"away-{time.monotonic_ns()}")
            folder.write_text("in the way")
        except IsADirectoryError:
            continue  # the log was quicker to make it anew
    until(lambda: not log.healthy)
    assert "log" in log.fault
    attempted = 20
    down = ""
    while not log.dropped:
        id = log.next_id()
        if log.append(example(id, attempted)):
            given.append(id)
        else:
            down = id
        attempted += 1
    with pytest.raises(ids.NotLogged, match="while the log was down"):
        find(folder, down)
    folder.unlink()
    until(lambda: log.healthy)
    for _ in range(20):
        given.append(add(log, attempted))
        attempted += 1
    log.close()
    assert log.written == len(given)
    assert log.written + log.dropped >= attempted
    assert log.lost == 0
    assert [id for id in given if find(folder, id) is None] == []


def test_a_removed_folder_is_made_anew_and_its_open_segment_saved(tmp_path: Path) -> None:
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
from tests.slipway.test_prediction_log import example
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
# No file may grow over this from now on: what a full disk is to fallocate.
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
    told = json.loads(child.communicate(timeout=600)[0])
    assert told["written"] + told["dropped"] == told["attempted"]
    assert (told["lost"], told["healthy"]) == (0, True)
    assert "too large" in told["fault"]
    assert told["written"] == len(told["kept"])
    assert all(find(tmp_path, id) for id in told["kept"])
    for id in random.sample(told["down"], 20):
        with pytest.raises(ids.NotLogged):
            find(tmp_path, id)


CUT = """
import json, os, sys, time
from pathlib import Path
from slipway.predictions.writer import PredictionLog
from tests.slipway.test_prediction_log import add, example, segment_of
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
    told = json.loads(child.communicate(timeout=600)[0])
    assert child.returncode == 0
    assert not told["taken"]
    found = [id for id in told["kept"] + told["more"] if find(tmp_path, id)]
    assert set(told["more"]) <= set(found)
    assert told["lost"] == told["written"] - len(found) > 0


def test_a_disk_that_hangs_holds_up_no_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = PredictionLog(tmp_path, segment_bytes=2**20, sync_seconds=0.05)
    given = [add(log, 0)]
    back = threading.Event()
    hangs = threading.Event()
    sync, allocate = os.fdatasync, os.posix_fallocate

    # Stand-ins for the disk, not for the log.
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
    given.append(add(log, 1))
    assert hangs.wait(PATIENCE)
    longest, attempted, start = 0.0, 2, time.monotonic()
    while time.monotonic() < start + 1 or not log.dropped:
        before = time.monotonic()
        id = log.next_id()
        if log.append(example(id, 2, size=1000)):
            given.append(id)
        longest = max(longest, time.monotonic() - before)
        attempted += 1
    print(f"\n{attempted} predictions beside a hanging disk, the slowest {longest * 1e3:.1f} ms")
    # Who waited for the disk would wait until it is back; here other processes take their turns.
    assert longest < 5
    assert log.dropped > 0
    assert log.written + log.dropped == attempted
    assert not log.healthy
    assert "has not answered for" in log.fault
    back.set()
    given.append(add(log, 3))
    log.close()
    assert all(find(tmp_path, id) for id in given)


def test_a_closed_log_drops_and_never_raises(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    add(log, 1)
    log.close()
    log.close()
    assert not log.append(example(log.next_id()))
    assert not log.healthy
    assert (log.written, log.dropped) == (1, 1)


def test_segments_too_large_for_an_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="segment_bytes must be 4096 to 1073741824"):
        PredictionLog(tmp_path, segment_bytes=2**31)


# Compaction and retention.


def filled(folder: Path, count: int = 300) -> dict[str, dict[str, Any]]:
    """Records as the log has them, two projects, some with all that is optional."""
    log = PredictionLog(folder, segment_bytes=SMALL)
    given = []
    for number in range(count):
        more = {"of": log.next_id(), "variant": "shadow"} if number % 3 == 0 else {}
        project = "titanic" if number % 2 else "spam"
        trace = None if number % 5 else 'a "quoted" trace'
        limit = 50 if number % 7 == 0 else 2**16
        given.append(add(log, number, project=project, trace=trace, input_bytes=limit, **more))
        if number % 50 == 0:
            time.sleep(0.003)
    log.close()
    found = {id: find(folder, id) for id in given}
    return {id: record for id, record in found.items() if record}


def test_compaction_changes_no_record_and_no_order(tmp_path: Path) -> None:
    before = filled(tmp_path)
    assert len(before) == 300
    listed = list(records(tmp_path))
    assert compact(tmp_path, seconds=3600).segments == 0
    done = compact(tmp_path, seconds=0)
    assert (done.records, done.faults) == (300, ())
    assert done.segments == len(list(tmp_path.glob("*.parquet"))) > 5
    assert not list(tmp_path.glob("*.jsonl"))
    assert {id: find(tmp_path, id) for id in before} == before
    assert list(records(tmp_path)) == listed


@pytest.mark.parametrize("compacted", [False, True])
def test_records_are_chosen_by_time_and_project(tmp_path: Path, compacted: bool) -> None:
    filled(tmp_path)
    if compacted:
        compact(tmp_path, seconds=0)
    every = list(records(tmp_path))
    times = [reader.seconds(each["time"]) for each in every]
    since, until = times[100], times[200]
    wanted = [
        record
        for record, at in zip(every, times, strict=True)
        if since <= at < until and record["project"] == "spam"
    ]
    assert 0 < len(wanted) < 150
    assert list(records(tmp_path, since=since, until=until, project="spam")) == wanted
    assert list(records(tmp_path, project="nobody")) == []
    assert list(records(tmp_path, since=time.time() + 10)) == []


CRASH = """
import os, pathlib, sys
from slipway.predictions import compact
step = sys.argv[2]
def crash(self, *rest, **more):
    os._exit(9)
setattr(pathlib.Path, step, crash)
compact.compact(pathlib.Path(sys.argv[1]), seconds=0)
"""


@pytest.mark.parametrize(("step", "left"), [("rename", ".parquet.new"), ("unlink", ".parquet")])
def test_a_crash_in_compaction_neither_loses_nor_doubles(
    tmp_path: Path, step: str, left: str
) -> None:
    before = filled(tmp_path, 60)
    child = python(CRASH, tmp_path, step)
    assert child.wait(PATIENCE) == 9
    assert len(list(tmp_path.glob(f"*{left}"))) == 1
    assert {id: find(tmp_path, id) for id in before} == before
    assert sorted(each["id"] for each in records(tmp_path)) == sorted(before)
    compact(tmp_path, seconds=0)
    assert {file.suffix for file in tmp_path.iterdir()} == {".parquet"}
    assert {id: find(tmp_path, id) for id in before} == before
    assert sorted(each["id"] for each in records(tmp_path)) == sorted(before)


def test_reading_goes_on_while_segments_are_compacted(tmp_path: Path) -> None:
    before = filled(tmp_path)
    stream = records(tmp_path)
    told = [next(stream)["id"] for _ in range(40)]
    compact(tmp_path, seconds=0)
    told += [each["id"] for each in stream]
    assert sorted(told) == sorted(before)


def test_a_line_that_is_no_record_stops_its_segment_only(tmp_path: Path) -> None:
    before = filled(tmp_path, 60)
    (tmp_path / "0000abcd.jsonl").write_bytes(b'{"id":"what"}\n')
    done = compact(tmp_path, seconds=0)
    assert done.records == len(before)
    assert done.faults == ("0000abcd.jsonl, byte 0: a prediction record lacks its id",)
    assert [file.name for file in tmp_path.glob("*.jsonl")] == ["0000abcd.jsonl"]


def test_retention_deletes_the_oldest_and_says_how_many_records(tmp_path: Path) -> None:
    before = filled(tmp_path)
    compact(tmp_path, seconds=0)
    size = sum(file.stat().st_size for file in tmp_path.glob("*.parquet"))
    assert retain(tmp_path, days=1, bytes=size).records == 0
    some = retain(tmp_path, days=1, bytes=size // 2)
    kept = list(records(tmp_path))
    assert some.segments > 0
    assert some.records == 300 - len(kept)
    assert 0 < len(kept) < 300
    gone = [record["time"] for id, record in before.items() if find(tmp_path, id) is None]
    assert max(gone) <= min(each["time"] for each in kept)
    assert retain(tmp_path, days=1e-9, bytes=size).records == len(kept)
    assert list(records(tmp_path)) == []


def test_what_a_record_costs_the_event_loop(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    told = example(log.next_id(), size=700)
    rounds = []
    for _ in range(5):
        start = time.thread_time()
        for _ in range(10_000):
            log.next_id()
            log.append(told)
        rounds.append((time.thread_time() - start) / 10_000)
        time.sleep(0.1)
    start = time.thread_time()
    for _ in range(10_000):
        example_id = log.next_id()
    spent = (time.thread_time() - start) / 10_000
    lines = time.thread_time()
    for _ in range(10_000):
        line(id=example_id, inputs=told[:-1], outputs=OUTPUTS, seconds=0.1, **ABOUT)
    lines = (time.thread_time() - lines) / 10_000
    print(
        f"\n{len(told)} bytes: next_id + append {sorted(rounds)[2] * 1e6:.2f} us (median of 5), "
        f"next_id alone {spent * 1e6:.2f} us, line {lines * 1e6:.2f} us; dropped {log.dropped}"
    )
    assert log.written + log.dropped == 50_000
    log.close()

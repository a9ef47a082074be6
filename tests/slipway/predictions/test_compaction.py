"""Compaction of the prediction log to Parquet, and retention."""

import time
from pathlib import Path
from typing import Any

import pytest

from slipway.predictions import reader
from slipway.predictions.compact import compact, retain
from slipway.predictions.reader import find, records
from slipway.predictions.writer import PredictionLog
from tests.slipway.predictions.prediction_log_records import SMALL, add, python
from tests.waiting import PATIENCE


def filled(folder: Path, count: int = 300) -> dict[str, dict[str, Any]]:
    """Log records of two projects, some with all optional fields, and return them by id."""
    log = PredictionLog(folder, segment_bytes=SMALL)
    added = []
    for number in range(count):
        more: dict[str, Any] = {"of": log.next_id(), "variant": "shadow"} if number % 3 == 0 else {}
        if number % 4 == 0:
            more["features"] = b'{"brightness":[0.5,null]}'
        if number % 5 == 0:
            more["purpose"] = "demo"
        project = "titanic" if number % 2 else "spam"
        trace = None if number % 5 else 'a "quoted" trace'
        limit = 50 if number % 7 == 0 else 2**16
        added.append(add(log, number, project=project, trace=trace, input_bytes=limit, **more))
        if number % 50 == 0:
            time.sleep(0.003)
    log.close()
    found = {id: find(folder, id) for id in added}
    return {id: record for id, record in found.items() if record}


def test_compaction_changes_no_record_and_no_order(tmp_path: Path) -> None:
    before = filled(tmp_path)
    assert len(before) == 300
    listed = list(records(tmp_path))
    assert compact(tmp_path, seconds=3600).segments == 0
    done = compact(tmp_path, seconds=0)
    assert (done.records, done.damaged) == (300, 0)
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
def test_a_crash_in_compaction_neither_loses_nor_duplicates_records(
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
    read = [next(stream)["id"] for _ in range(40)]
    compact(tmp_path, seconds=0)
    read += [each["id"] for each in stream]
    assert sorted(read) == sorted(before)


@pytest.mark.parametrize("damage", [b"\0", b"\xff", b"9"])
def test_a_damaged_line_hides_no_other(tmp_path: Path, damage: bytes) -> None:
    before = filled(tmp_path, 60)
    file = min(tmp_path.glob("*.jsonl"))
    content = bytearray(file.read_bytes())
    middle = content.index(b'"seconds":', len(content) // 2) + 10
    content[middle : middle + 1] = damage
    assert content != file.read_bytes()
    file.write_bytes(content)
    (tmp_path / "0000abcd.jsonl").write_bytes(b'{"id":"what"}\n')
    assert len(list(records(tmp_path))) == len(before) - 1
    done = compact(tmp_path, seconds=0)
    assert (done.records, done.damaged) == (len(before) - 1, 2)
    assert (tmp_path / "0000abcd.damaged").read_bytes() == b'{"id":"what"}\n'
    assert len(list(records(tmp_path))) == len(before) - 1


@pytest.mark.parametrize("poison", [b"\0", b'1\n{"id":2}'])
def test_bytes_that_would_end_a_line_are_not_written(tmp_path: Path, poison: bytes) -> None:
    log = PredictionLog(tmp_path, segment_bytes=SMALL)
    add(log, 1)
    log.next_id()
    assert not log.append(b'{"id":' + poison + b"}\n")
    add(log, 2)
    log.close()
    assert log.dropped == 1
    assert len(list(records(tmp_path))) == 2


def test_a_jump_of_the_clock_deletes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = filled(tmp_path, 60)
    compact(tmp_path, seconds=0)
    assert retain(tmp_path, days=30, bytes=2**40).records == 0
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 40 * 86_400)
    assert retain(tmp_path, days=30, bytes=2**40).records == 0
    # A month after the jump nothing was corrected: the records are as old as they seem.
    boot = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: boot(clock) + 30 * 86_400)
    assert retain(tmp_path, days=30, bytes=2**40).records == len(kept)


def test_retention_deletes_the_oldest_and_counts_the_records(tmp_path: Path) -> None:
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


def test_files_without_a_purpose_are_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were written before records had one."""
    from slipway.predictions import parquet

    before = filled(tmp_path, 30)
    columns = [field for field in parquet.SCHEMA if field.name != "purpose"]
    with monkeypatch.context() as patch:
        patch.setattr(parquet, "SCHEMA", parquet.pa.schema(columns))
        compact(tmp_path, seconds=0)
    without = {
        id: {key: value for key, value in record.items() if key != "purpose"}
        for id, record in before.items()
    }
    assert {id: find(tmp_path, id) for id in before} == without
    assert list(records(tmp_path)) == list(without.values())

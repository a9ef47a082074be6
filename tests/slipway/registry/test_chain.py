"""The chained log: tampering is detected, torn lines are set aside, and no entry is lost."""

import json
import os
import time
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from slipway.registry import promotions
from slipway.registry.chain import BLOCK, ChainBroken, ChainLog
from tests.slipway.python_script import start_python

# Appends numbered entries and prints the number of each when its `append` has returned.
APPENDER = """
import sys
from pathlib import Path
from filelock import FileLock
from slipway.registry.chain import ChainLog
file, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
log = ChainLog(file, lock=lambda: FileLock(f"{file}.lock"))
for number in range(count):
    log.append({"name": name, "number": number, "text": "x" * 500})
    print(number, flush=True)
"""

# The file may grow by 100 bytes: the kernel truncates the line, as with a full disk.
FULL_DISK = """
import resource, sys
from pathlib import Path
from filelock import FileLock
from slipway.registry.chain import ChainLog
file = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 100,) * 2)
ChainLog(file, lock=lambda: FileLock(f"{file}.lock")).append({"number": 3, "text": "x" * 500})
"""


def log_at(file: Path) -> ChainLog:
    return ChainLog(file, lock=lambda: FileLock(f"{file}.lock"))


@pytest.fixture
def log(tmp_path: Path) -> ChainLog:
    found = log_at(tmp_path / "log.jsonl")
    for number in range(3):
        found.append({"number": number})
    return found


def numbers(log: ChainLog) -> list[int]:
    return [entry["number"] for entry in log.entries()]


def test_entries_come_back_as_appended(log: ChainLog) -> None:
    written = log.append({"number": 3, "text": "ä\u2028\n"})
    assert log.entries()[-1] == written
    assert written["time"].endswith("+00:00")
    assert numbers(log) == [0, 1, 2, 3]


def test_a_missing_file_has_no_entries(tmp_path: Path) -> None:
    assert log_at(tmp_path / "log.jsonl").entries() == []


@pytest.mark.parametrize("own", ["time", "previous"])
def test_fields_that_the_log_sets_are_refused(log: ChainLog, own: str) -> None:
    with pytest.raises(ValueError, match=f"{own}: set by the log"):
        log.append({own: "mine"})
    assert numbers(log) == [0, 1, 2]


def test_the_promotion_log_is_a_chain_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    decisions = [
        promotions.Decision("iris", each, True, "because", {"score": 0.5}) for each in "123"
    ]
    promotions.append(decisions[0])
    log_at(promotions.log_file()).append(vars(decisions[1]))
    promotions.append(decisions[2])
    assert promotions.history() == log_at(promotions.log_file()).entries()
    assert [entry["version"] for entry in promotions.history()] == ["1", "2", "3"]


@pytest.mark.parametrize("line", [0, 1])
def test_a_changed_line_is_detected(log: ChainLog, line: int) -> None:
    lines = log.file.read_text().splitlines(keepends=True)
    lines[line] = lines[line].replace('"number": ', '"number": 1')
    log.file.write_text("".join(lines))
    with pytest.raises(ChainBroken, match=f"log.jsonl line {line + 2} does not follow"):
        log.entries()


@pytest.mark.parametrize("line", [0, 1])
def test_a_removed_line_is_detected(log: ChainLog, line: int) -> None:
    lines = log.file.read_text().splitlines(keepends=True)
    del lines[line]
    log.file.write_text("".join(lines))
    with pytest.raises(ChainBroken, match=f"log.jsonl line {line + 1} does not follow"):
        log.entries()


@pytest.mark.parametrize("line", [b"{\n", b"12\n", b"\n", b"\xff\n", b"[" * 5000 + b"\n"])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_line_that_is_not_an_entry_is_detected(log: ChainLog, line: bytes, place: int) -> None:
    lines = log.file.read_bytes().splitlines(keepends=True)
    log.file.write_bytes(b"".join([*lines[:place], line, *lines[place:]]))
    with pytest.raises(ChainBroken, match=f"log.jsonl line {place + 1} is not JSON"):
        log.entries()


def test_a_truncated_line_is_set_aside_and_the_chain_continues(log: ChainLog) -> None:
    """At every byte at which a killed process can have stopped."""
    whole = log.file.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    torn = log.file.with_name("log.jsonl.torn")
    for kept in range(1, len(last) - 1):
        log.file.write_bytes(whole[: len(whole) - len(last) + kept])
        torn.unlink(missing_ok=True)
        assert numbers(log) == [0, 1], kept
        log.append({"number": 9})
        assert numbers(log) == [0, 1, 9], kept
        assert torn.read_bytes() == last[:kept] + b"\n"


def test_zeros_after_a_power_cut_are_set_aside(log: ChainLog) -> None:
    with log.file.open("ab") as stream:
        stream.write(bytes(300))
    log.append({"number": 3})
    assert numbers(log) == [0, 1, 2, 3]
    assert log.file.with_name("log.jsonl.torn").read_bytes() == bytes(300) + b"\n"


def test_a_last_line_without_a_newline_is_kept(log: ChainLog) -> None:
    log.file.write_bytes(log.file.read_bytes().rstrip(b"\n"))
    assert numbers(log) == [0, 1, 2]
    log.append({"number": 3})
    assert numbers(log) == [0, 1, 2, 3]
    assert not log.file.with_name("log.jsonl.torn").exists()


def test_a_complete_line_added_at_the_end_is_detected(log: ChainLog) -> None:
    with log.file.open("a") as stream:
        stream.write(json.dumps({"number": 7, "previous": "0" * 64}))
    with pytest.raises(ChainBroken, match="line 4 does not follow"):
        log.entries()
    with pytest.raises(ChainBroken, match="last line does not follow"):
        log.append({"number": 3})


def test_a_disk_that_fills_up_within_a_line(log: ChainLog) -> None:
    before = log.file.stat().st_size
    process = start_python(FULL_DISK, log.file)
    assert "File too large" in process.communicate(timeout=600)[1]
    assert process.returncode == 1
    assert log.file.stat().st_size == before + 100
    assert numbers(log) == [0, 1, 2]
    log.append({"number": 4})
    assert numbers(log) == [0, 1, 2, 4]
    assert log.file.with_name("log.jsonl.torn").stat().st_size == 101


@given(st.lists(st.integers(min_value=0, max_value=3 * BLOCK), min_size=1, max_size=4))
def test_lines_of_any_length_are_chained(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int]
) -> None:
    log = log_at(tmp_path_factory.mktemp("chain") / "log.jsonl")
    for length in lengths:
        log.append({"text": "x" * length})
    assert [len(entry["text"]) for entry in log.entries()] == lengths


def test_append_does_not_read_the_whole_file(log: ChainLog) -> None:
    """Reading and hashing the 200 MB before the last line would take 0.2 s or more."""
    end = log.file.read_bytes().splitlines(keepends=True)[-1]
    with log.file.open("wb") as stream:
        stream.truncate(200 * 2**20)
        stream.seek(0, os.SEEK_END)
        stream.write(b"\n" + end)
    started = time.process_time()
    log.append({"number": 3})
    assert time.process_time() - started < 0.05


def test_kill_9_in_the_middle_of_appends_loses_nothing_that_was_acknowledged(
    tmp_path: Path,
) -> None:
    log = log_at(tmp_path / "log.jsonl")
    acknowledged: list[tuple[str, int]] = []
    for name in ("first", "second", "third"):
        process = start_python(APPENDER, log.file, name, 1_000_000)
        assert process.stdout is not None
        printed = [process.stdout.readline() for _ in range(20)]
        process.kill()
        printed += process.communicate(timeout=600)[0].splitlines(keepends=True)
        acknowledged += [(name, int(line)) for line in printed if line.endswith("\n")]
    found = [(entry["name"], entry["number"]) for entry in log.entries()]
    assert len(acknowledged) >= 60
    assert set(acknowledged) <= set(found)
    # A process can have been killed after its last append returned and before it was printed.
    assert len(found) - len(acknowledged) <= 3


def test_concurrent_appenders_make_one_chain(tmp_path: Path) -> None:
    log = log_at(tmp_path / "log.jsonl")
    processes = [start_python(APPENDER, log.file, name, 60) for name in "abc"]
    while any(process.poll() is None for process in processes):
        log.entries()  # a reader takes no lock and never sees a broken chain
        time.sleep(0.01)
    assert [process.returncode for process in processes] == [0, 0, 0]
    for process in processes:
        process.communicate()
    found = log.entries()
    for name in "abc":
        own = [entry["number"] for entry in found if entry["name"] == name]
        assert own == list(range(60))

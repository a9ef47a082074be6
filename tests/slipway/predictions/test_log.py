"""The prediction log: ids, lines, and records that are written and found."""

import json
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.predictions import ids
from slipway.predictions.reader import find, records
from slipway.predictions.record import PredictionRecord, line
from slipway.predictions.writer import PredictionLog
from tests.slipway.predictions.prediction_log_records import (
    ABOUT,
    OUTPUTS,
    SMALL,
    add,
    example,
    numbers,
)
from tests.waiting import until

# Ids


@settings(deadline=None)
@given(
    milliseconds=st.integers(0, 2**48 - 1),
    count=st.integers(0, 2**12 - 1),
    segment=st.integers(1, 2**32 - 1),
    offset=st.integers(0, 2**30 - 1),
)
def test_an_id_holds_the_location_of_its_record(
    milliseconds: int, count: int, segment: int, offset: int
) -> None:
    id = ids.compose(milliseconds=milliseconds, count=count, segment=segment, offset=offset)
    assert ids.place(id) == ids.Place(milliseconds, segment, offset)
    assert ids.milliseconds(id) == milliseconds
    assert str(uuid.UUID(id)) == id
    assert (uuid.UUID(id).version, uuid.UUID(id).variant) == (8, uuid.RFC_4122)


@settings(deadline=None)
@given(st.text(max_size=50) | st.uuids().map(lambda each: each.hex))
def test_text_that_is_not_a_uuid_is_malformed(text: str) -> None:
    with pytest.raises(ids.MalformedId, match="must be a UUID"):
        ids.place(text)


@settings(deadline=None)
@given(st.uuids(version=4))
def test_a_foreign_uuid_is_unknown(other: uuid.UUID) -> None:
    assert ids.place(str(other)) is None


def test_the_log_gives_ids_of_the_documented_layout(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    before = int(time.time() * 1000)
    added = [add(log, number) for number in range(5000)]
    after = int(time.time() * 1000)
    assert len(set(added)) == 5000
    size = len(example(added[0]))
    for number, id in enumerate(added[:10]):
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


# Lines

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
    text = line(id=id, inputs=sent, outputs=OUTPUTS, seconds=seconds, trace=trace, **ABOUT)
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    record = PredictionRecord.model_validate_json(text)
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


def test_bounded_inputs_come_with_the_hash_of_what_was_sent() -> None:
    id = ids.compose(milliseconds=1, count=1, segment=1, offset=0)
    facts = {"inputs_sha256": "ab" * 32, "features": b'{"brightness":[0.5,null]}'}
    record = PredictionRecord.model_validate_json(example(id, size=100, input_bytes=9, **facts))
    assert record.inputs is not None
    assert record.inputs_sha256 == "ab" * 32
    assert record.features == {"brightness": [0.5, None]}


# Writing and finding


def test_every_record_of_many_segments_is_found_while_open_and_when_closed(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, segment_bytes=SMALL)
    added = {add(log, number): number for number in range(500)}

    def check() -> None:
        for id, number in added.items():
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
    added = []
    for number in range(150):
        added.append(add(log, number))
        if number % 10 == 0:
            time.sleep(0.002)
    assert [each["id"] for each in records(tmp_path)] == added
    log.close()


def test_an_id_with_another_offset_or_time_is_unknown(tmp_path: Path) -> None:
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
    added = [add(log, number) for number in range(200) for log in logs]
    for log in logs:
        log.close()
    assert len(set(added)) == 400
    assert Counter(numbers(records(tmp_path))) == dict.fromkeys(range(200), 2)
    assert all(find(tmp_path, id) for id in added)


def test_a_closed_log_drops_and_never_raises(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    add(log, 1)
    log.close()
    log.close()
    assert not log.append(example(log.next_id()))
    assert not log.healthy
    assert (log.written, log.dropped) == (1, 1)


def test_segments_too_large_for_an_id_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="segment_bytes must be 4096 to 1073741824"):
        PredictionLog(tmp_path, segment_bytes=2**31)


def test_the_cost_of_a_record_for_the_event_loop(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    text = example(log.next_id(), size=700)
    rounds = []
    for _ in range(5):
        start = time.thread_time()
        for _ in range(10_000):
            log.next_id()
            log.append(text)
        rounds.append((time.thread_time() - start) / 10_000)
        time.sleep(0.1)
    start = time.thread_time()
    for _ in range(10_000):
        example_id = log.next_id()
    spent = (time.thread_time() - start) / 10_000
    lines = time.thread_time()
    for _ in range(10_000):
        line(id=example_id, inputs=text[:-1], outputs=OUTPUTS, seconds=0.1, **ABOUT)
    lines = (time.thread_time() - lines) / 10_000
    print(
        f"\n{len(text)} bytes: next_id + append {sorted(rounds)[2] * 1e6:.2f} us (median of 5), "
        f"next_id alone {spent * 1e6:.2f} us, line {lines * 1e6:.2f} us; dropped {log.dropped}"
    )
    assert log.written + log.dropped == 50_000
    log.close()

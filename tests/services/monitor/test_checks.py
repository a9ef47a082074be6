"""Checks of the monitor, in this process, over a real registry and a real prediction log."""

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest

from services.monitor import publishing
from services.monitor.reports import Reports
from services.monitor.rounds import Monitor, NotServed
from slipway.predictions import ids
from slipway.predictions.compact import compact
from slipway.registry import reference
from tests.services import monitored_project
from tests.services.fake_models import ModelRegistryFixture
from tests.services.monitor.monitor_fixture import (
    ROWS,
    fake_models,
    log_folder,
    older,
    plant,
    receiver,
    settings,
)
from tests.webhook import Receiver

__all__ = ["fake_models", "receiver"]


def test_undrifted_windows_raise_no_alarm(fake_models: ModelRegistryFixture) -> None:
    monitored_project.register(fake_models, monitored_project.reference_rows(600))
    monitor = Monitor(settings())
    for segment in range(0x10, 0x24):
        plant(fake_models, segment)
        monitor.round()
        check = monitor.latest[monitored_project.NAME]
        assert check.outcome == "judged"
        assert not check.drift_alarm, (segment, check.drift_summary())
    assert check.windows[0].rows == 20 * ROWS


def test_only_the_champions_rows_count(fake_models: ModelRegistryFixture) -> None:
    version = monitored_project.register(fake_models, monitored_project.reference_rows(500))
    plant(fake_models, 0x10, version=version)
    changed = monitored_project.traffic(ROWS, seed=2, age=older)
    for segment, options in (
        (0x11, {"variant": "challenger"}),
        (0x12, {"variant": "shadow"}),
        (0x13, {"version": "9"}),
        (0x14, {"project": "another"}),
    ):
        monitored_project.write_segment(
            log_folder(fake_models), changed, segment=segment, **options
        )
    monitor = Monitor(settings())
    check = monitor.check(monitored_project.NAME)
    assert [window.rows for window in check.windows] == [ROWS, ROWS]
    assert not check.drift_alarm


def test_a_new_champion_is_compared_with_its_own_reference(
    fake_models: ModelRegistryFixture, receiver: Receiver
) -> None:
    """This includes its traffic from before the alias was moved back."""
    first = monitored_project.register(fake_models, monitored_project.reference_rows(500))
    monitor = Monitor(settings(webhook=receiver.address, windows=("count",)))
    plant(fake_models, 0x10, version=first, age=older)
    monitor.round()
    assert monitor.latest[monitored_project.NAME].drift_alarm
    rows = monitored_project.reference_rows(500)
    for row, record in zip(rows, monitored_project.traffic(500, seed=9, age=older), strict=True):
        row.update(record=record, prediction=monitored_project.predicted(record))
    second = monitored_project.register(fake_models, rows)
    plant(fake_models, 0x11, version=second, age=older)
    monitor.round()
    check = monitor.latest[monitored_project.NAME]
    assert (check.version, check.drift_alarm) == (second, False)
    assert [each["status"] for each in receiver.notices] == ["firing", "resolved"]
    fake_models.client.set_registered_model_alias(monitored_project.NAME, "champion", first)
    monitor.round()
    assert monitor.latest[monitored_project.NAME].drift_alarm
    assert monitor.latest[monitored_project.NAME].windows[0].rows == ROWS


def test_a_version_without_a_reference_is_reported(fake_models: ModelRegistryFixture) -> None:
    monitored_project.register(fake_models, [])
    check = Monitor(settings()).check(monitored_project.NAME)
    assert check.outcome == "no_reference"
    assert check.note.startswith("version 1 was registered without a reference: train it again")


def test_few_rows_are_not_judged_and_do_not_change_an_alarm(
    fake_models: ModelRegistryFixture,
) -> None:
    monitored_project.register(fake_models, monitored_project.reference_rows(500))
    monitor = Monitor(settings(window_seconds=3600))
    now = time.time()
    plant(fake_models, 0x10, rows=60, at=now)
    check = monitor.check(monitored_project.NAME)
    assert check.outcome == "too_few_rows"
    assert check.windows[0].note == "60 rows, at least 100 are needed"
    plant(fake_models, 0x11, age=older, at=now)
    assert monitor.check(monitored_project.NAME).drift_alarm
    fresh = Monitor(settings(least_rows=5000))
    assert fresh.check(monitored_project.NAME).outcome == "too_few_rows"
    assert [each.alarm for each in fresh.alarms(monitored_project.NAME)] == ["drift"]


def test_foreign_records_and_files_do_not_block_others(fake_models: ModelRegistryFixture) -> None:
    monitored_project.register(fake_models, monitored_project.reference_rows(500))
    [_id, *_] = plant(fake_models, 0x10)
    folder = log_folder(fake_models)
    (folder / "00000099.parquet").write_bytes(b"PAR1")
    (folder / "old-notes.jsonl").write_text("{}\n")
    offset, lines = 0, []
    for body in (
        {"time": "today", "project": "shop", "version": "1", "variant": "champion"},
        {"project": "shop", "version": "1", "variant": "champion"},
        {"time": 3},
        {
            "time": "2999-01-01T00:00:00Z",
            "project": "shop",
            "version": "1",
            "variant": "champion",
            "inputs": [{}],
            "outputs": [{}],
        },
        {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "project": "shop",
            "version": "1",
            "variant": "champion",
            "inputs": [7, None, {"age": {"deep": []}, "country": 1e308, "visits": "many"}],
            "outputs": ["x", {}, {"bought": "perhaps", "probability": [1]}],
        },
        {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "project": "shop",
            "version": "1",
            "variant": "champion",
            "inputs": None,
            "outputs": [{}, {}],
        },
    ):
        id = ids.compose(milliseconds=int(time.time() * 1000), count=1, segment=0x77, offset=offset)
        text = json.dumps({"id": id, **body}).encode() + b"\n"
        lines.append(text)
        offset += len(text)
    (folder / "00000077.jsonl").write_bytes(b"".join(lines) + b'{"id": "torn')
    monitor = Monitor(settings(windows=("time",)))
    check = monitor.check(monitored_project.NAME)
    assert check.outcome == "judged"
    assert not check.drift_alarm
    assert check.windows[0].rows == ROWS + 1
    assert check.windows[0].unreadable == 4
    assert monitor.traffic.bad_records == 2
    assert monitor.traffic.follower.faults == {"00000099"}


def test_a_damaged_copy_of_the_reference_is_fetched_again(
    fake_models: ModelRegistryFixture,
) -> None:
    monitored_project.register(fake_models, monitored_project.reference_rows(300))
    plant(fake_models, 0x10)
    Monitor(settings()).round()
    [file] = (fake_models.home / "monitor").rglob(Path(reference.FILE).name)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    monitor = Monitor(settings())
    assert "cannot be read" in monitor.check(monitored_project.NAME).note
    assert monitor.check(monitored_project.NAME).outcome == "judged"
    assert gzip.decompress(file.read_bytes()) == gzip.decompress(whole)


def test_no_code_of_a_version_is_run(fake_models: ModelRegistryFixture) -> None:
    trap = fake_models.folder / "ran"
    code = f"open({str(trap)!r}, 'w')\n{monitored_project.CODE}"
    monitored_project.register(fake_models, monitored_project.reference_rows(300), code=code)
    plant(fake_models, 0x10)
    check = Monitor(settings()).check(monitored_project.NAME)
    assert [each.field for each in check.fairness] == ["country"]
    assert not trap.exists()


def test_labels_count_once_they_are_mature(
    fake_models: ModelRegistryFixture, receiver: Receiver
) -> None:
    """Early labels are mostly errors here; labels of old predictions are mostly right."""
    monitored_project.register(fake_models, monitored_project.reference_rows(500))
    now = time.time()
    for segment, ago, right in ((0x10, 7200, 0.85), (0x11, 60, 0.1)):
        planted = plant(fake_models, segment, at=now - ago)
        sent = monitored_project.traffic(ROWS, seed=segment)
        monitored_project.attach(
            log_folder(fake_models), list(zip(planted, sent, strict=True))[: ROWS // 2], right=right
        )
    compact(log_folder(fake_models), seconds=0)
    hour = settings(maturity_seconds=3600, webhook=receiver.address)
    found = Monitor(hour).check(monitored_project.NAME).performance
    assert found is not None
    assert found.labelled == ROWS // 2
    assert found.labelled_share == pytest.approx(0.5)
    assert found.scores[0].value == pytest.approx(0.85, abs=0.08)
    assert found.worse == []
    check = Monitor(settings(maturity={"shop": 0})).check(monitored_project.NAME)
    assert check.performance is not None
    assert check.performance.labelled == ROWS
    assert check.performance_alarm
    monitor = Monitor(settings(webhook=receiver.address))
    monitor.round()
    labels = [notice["alerts"][0]["labels"]["alertname"] for notice in receiver.notices]
    assert labels == ["ModelPerformance"]


def test_wrong_labels_count_until_they_are_corrected(fake_models: ModelRegistryFixture) -> None:
    """The newest feedback of a prediction counts."""
    monitored_project.register(fake_models, monitored_project.reference_rows(500))
    planted = plant(fake_models, 0x10)
    sent = monitored_project.traffic(ROWS, seed=0x10)
    pairs = list(zip(planted, sent, strict=True))
    monitor = Monitor(settings())
    for right, alarm in ((0.1, True), (0.85, False)):
        monitored_project.attach(log_folder(fake_models), pairs, right=right)
        check = monitor.check(monitored_project.NAME)
        assert check.performance is not None
        assert check.performance.labelled == ROWS
        assert check.performance_alarm == alarm


def test_gaps_between_groups_are_measured(fake_models: ModelRegistryFixture) -> None:
    monitored_project.register(fake_models, monitored_project.reference_rows(800))
    plant(
        fake_models,
        0x10,
        rows=800,
        age=lambda record, rng: 20 if record["country"] == "de" else record["age"],
    )
    check = Monitor(settings()).check(monitored_project.NAME)
    [slices] = check.fairness
    assert slices.field == "country"
    assert slices.gaps["positive_rate"] > 0.4
    assert slices.reference_gaps["positive_rate"] < 0.25


def test_an_unreachable_receiver_is_notified_later(
    fake_models: ModelRegistryFixture, receiver: Receiver
) -> None:
    monitored_project.register(fake_models, monitored_project.reference_rows(500))
    plant(fake_models, 0x10, age=older)
    monitor = Monitor(settings(webhook=receiver.address))
    receiver.status = 503
    monitor.round()
    assert receiver.notices == []
    receiver.status = 202
    again = Monitor(settings(webhook=receiver.address))  # after a restart, too
    again.round()
    assert [each["status"] for each in receiver.notices] == ["firing"]


def test_history_is_bounded(fake_models: ModelRegistryFixture) -> None:
    monitored_project.register(fake_models, monitored_project.reference_rows(300))
    plant(fake_models, 0x10)
    monitor = Monitor(settings(windows=("count",), history_bytes=10_000))
    for _ in range(8):
        monitor.check(monitored_project.NAME)
    folder = fake_models.home / "monitor" / "history"
    assert sorted(file.name for file in folder.iterdir()) == [
        "shop.jsonl",
        "shop.jsonl.before",
    ]
    assert sum(file.stat().st_size for file in folder.iterdir()) < 40_000
    assert 3 <= len(monitor.history.checks(monitored_project.NAME, limit=100)) < 8


def test_a_removed_project_has_no_series_any_more(fake_models: ModelRegistryFixture) -> None:
    monitored_project.register(fake_models, monitored_project.reference_rows(300))
    plant(fake_models, 0x10)
    monitor = Monitor(settings())
    monitor.round()
    assert b'slipway_monitor_drifted{field="age",project="shop"' in publishing.exposition()
    fake_models.client.delete_registered_model_alias(monitored_project.NAME, "champion")
    monitor.round()
    assert b'slipway_monitor_drifted{field="age",project="shop"' not in publishing.exposition()
    with pytest.raises(NotServed):
        monitor.check(monitored_project.NAME)


def test_an_error_of_one_project_does_not_stop_the_others(
    fake_models: ModelRegistryFixture, monkeypatch: Any
) -> None:
    monitored_project.register(fake_models, monitored_project.reference_rows(300))
    monitored_project.register(fake_models, monitored_project.reference_rows(300), name="broken")
    plant(fake_models, 0x10)
    monitored_project.write_segment(
        log_folder(fake_models),
        monitored_project.traffic(200, seed=1),
        segment=0x20,
        project="broken",
    )
    (log_folder(fake_models) / "feedback.db").write_bytes(b"no database at all" * 100)
    monitor = Monitor(settings())
    monitor.round()
    assert {name: each.outcome for name, each in monitor.latest.items()} == {
        "shop": "failed",
        "broken": "failed",
    }
    (log_folder(fake_models) / "feedback.db").unlink()
    monitor.round()
    assert {each.outcome for each in monitor.latest.values()} == {"judged"}


def test_reports_are_bounded_and_compressed(tmp_path: Path) -> None:
    reports = Reports(tmp_path, keep=2)
    page = "<html>" + "x" * 100_000
    report_ids = [reports.write("shop", "time", page, now=1.7e9 + turn) for turn in range(4)]
    assert reports.ids("shop") == [report_ids[3], report_ids[2]]
    assert reports.newest("shop") == 1.7e9 + 3
    packed = reports.read("shop", report_ids[3])
    assert gzip.decompress(packed).decode() == page
    assert len(packed) < 1000
    for gone in (report_ids[0], "../shop/" + report_ids[3], "x"):
        with pytest.raises(FileNotFoundError):
            reports.read("shop", gone)

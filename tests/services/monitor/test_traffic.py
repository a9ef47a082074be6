"""The monitor's traffic: sampling of windows, reading of the log, and joining of labels."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from services.monitor.labels import Labels
from services.monitor.log import Follower
from services.monitor.window_sampler import WindowSampler
from slipway.predictions.compact import compact
from slipway.predictions.feedback_store import FeedbackStore
from slipway.predictions.record import line
from slipway.predictions.writer import PredictionLog
from tests.services import monitored_project


class TestWindowSampler:
    def sampler(self, **options: Any) -> WindowSampler[int]:
        return WindowSampler(**{"bucket_seconds": 10.0, "reservoir": 50, "newest": 20, **options})

    def test_each_row_has_the_same_probability(self) -> None:
        """400 times, 50 rows are drawn from 400 rows in four buckets of different sizes."""
        drawn: Counter[int] = Counter()
        for seed in range(400):
            sampler = self.sampler(seed=seed)
            for row in range(400):
                sampler.add((row / 400) ** 2 * 40, lambda row=row: row)  # type: ignore[misc]
            window = sampler.since(0)
            assert (window.total, len(window.rows)) == (400, 50)
            drawn.update(window.rows)
        # Each is drawn 50 times on average, with a standard deviation of 6.6.
        assert set(drawn) == set(range(400))
        assert min(drawn.values()) > 20
        assert max(drawn.values()) < 85

    def test_an_unchanged_window_is_drawn_the_same_twice(self) -> None:
        sampler = self.sampler()
        for row in range(500):
            sampler.add(row / 20, lambda row=row: row)  # type: ignore[misc]
        assert sampler.since(0) == sampler.since(0)

    def test_memory_is_bounded_and_only_sampled_rows_are_read(self) -> None:
        sampler, read = self.sampler(), []

        def reading() -> int:
            read.append(1)
            return 0

        for _ in range(20_000):
            sampler.add(5.0, reading)
        sampler.settle()
        # 50 (1 + ln(20,000 / 50)) = 350 entered the reservoir, and the last 20 were settled.
        assert len(read) < 600
        assert len(sampler.since(0).rows) == 50
        assert len(sampler.latest(since=0).rows) == 20

    def test_the_newest_rows_are_found_in_any_order_of_arrival(self) -> None:
        sampler = self.sampler()
        rows = list(range(300))
        random.Random(1).shuffle(rows)
        for row in rows:
            sampler.add(row / 10, lambda row=row: row)  # type: ignore[misc]
        assert sampler.latest(since=0).rows == list(range(280, 300))
        assert sampler.latest(since=29.0).rows == list(range(290, 300))

    def test_old_rows_are_deleted_and_later_their_counts(self) -> None:
        sampler = self.sampler(count_seconds=1.0)
        for row in range(100):
            sampler.add(float(row), lambda row=row: row)  # type: ignore[misc]
        assert sampler.count(0, 100)[0] == 100
        assert sampler.count(10.5, 19.5) == (10, 10.0, 20.0)
        sampler.forget(rows_before=50, counts_before=20)
        assert sorted(sampler.since(0).rows) == list(range(50, 100))
        assert sampler.count(0, 100)[0] == 80

    def test_unreadable_rows_are_counted_separately(self) -> None:
        sampler = self.sampler()

        def broken() -> int:
            raise ValueError("no row")

        with pytest.raises(ValueError, match="no row"):
            sampler.add(1.0, broken)
        sampler.miss(2.0)
        sampler.add(3.0, lambda: 7)
        assert sampler.since(0) == ([7], 1, 2, 0.0)


class TestFollower:
    def numbers(self, records: Any) -> list[int]:
        return [each["inputs"][0]["number"] for each in records]

    def append(self, log: PredictionLog, numbers: range) -> None:
        for each in numbers:
            id = log.next_id()
            sent = json.dumps({"number": each}).encode()
            text = line(
                id=id,
                project="p",
                version="1",
                digest="d",
                variant="champion",
                inputs=sent,
                outputs=b"[{}]",
                seconds=0.1,
            )
            assert log.append(text)

    def test_each_record_is_read_once_while_segments_are_renamed(self, tmp_path: Path) -> None:
        follower, log = Follower(tmp_path), PredictionLog(tmp_path, segment_bytes=2**20)
        assert list(follower.advance(since=0)) == []
        self.append(log, range(10))
        assert self.numbers(follower.advance(since=0)) == list(range(10))
        self.append(log, range(10, 15))
        log.close()
        assert self.numbers(follower.advance(since=0)) == list(range(10, 15))
        assert list(follower.advance(since=0)) == []
        compact(tmp_path, seconds=0)
        assert list(follower.advance(since=0)) == []
        assert sorted(self.numbers(follower.again(since=0))) == list(range(15))

    def test_a_segment_compacted_midway_is_read_to_its_end(self, tmp_path: Path) -> None:
        follower, log = Follower(tmp_path), PredictionLog(tmp_path, segment_bytes=2**20)
        self.append(log, range(6))
        assert len(list(follower.advance(since=0))) == 6
        self.append(log, range(6, 9))
        log.close()
        compact(tmp_path, seconds=0)
        assert not list(tmp_path.glob("*.jsonl"))
        assert self.numbers(follower.advance(since=0)) == [6, 7, 8]

    def test_again_repeats_what_was_read_and_nothing_newer(self, tmp_path: Path) -> None:
        follower, log = Follower(tmp_path), PredictionLog(tmp_path, segment_bytes=2**20)
        self.append(log, range(3))
        list(follower.advance(since=0))
        self.append(log, range(3, 5))
        assert self.numbers(follower.again(since=0)) == [0, 1, 2]
        assert self.numbers(follower.advance(since=0)) == [3, 4]
        log.close()

    def test_foreign_and_damaged_files_do_not_block_others(self, tmp_path: Path) -> None:
        monitored_project.write_segment(
            tmp_path, monitored_project.traffic(5, seed=1), segment=0x10
        )
        (tmp_path / "notes.jsonl").write_text("hello\n")
        (tmp_path / "00000001.parquet").write_bytes(b"PAR1 not at all")
        (tmp_path / "00000002.jsonl").write_bytes(b'{"id": 1}\n\xff\xfe\n[]\n{"id"')
        (tmp_path / "00000003.jsonl").mkdir()
        follower = Follower(tmp_path)
        assert len(list(follower.advance(since=0))) == 5
        assert follower.faults == {"00000001", "00000003"}
        assert list(follower.advance(since=0)) == []
        assert follower.faults == {"00000001", "00000003"}

    def test_old_segments_are_not_opened(self, tmp_path: Path) -> None:
        monitored_project.write_segment(
            tmp_path, monitored_project.traffic(5, seed=1), segment=0x10
        )
        assert list(Follower(tmp_path).advance(since=time.time() + 60)) == []


class TestLabels:
    def joined(self, folder: Path, **options: Any) -> Any:
        labels = Labels(
            folder, project=monitored_project.NAME, version="1", protected=["country"], **options
        )
        return labels.mature(since=0, until=time.time() + 60)

    @pytest.mark.parametrize("compacted", [False, True])
    def test_labels_are_joined_with_their_predictions(
        self, tmp_path: Path, compacted: bool
    ) -> None:
        records = monitored_project.traffic(30, seed=1)
        ids = monitored_project.write_segment(tmp_path, records, segment=0x10)
        monitored_project.attach(tmp_path, list(zip(ids, records, strict=True))[:20], right=1.0)
        if compacted:
            compact(tmp_path, seconds=0)
            assert (tmp_path / "00000010.parquet").exists()
        rows, total = self.joined(tmp_path)
        assert total == len(rows) == 20
        assert all(row.label["bought"] == row.prediction["bought"] for row in rows)
        assert Counter(row.protected["country"] for row in rows) == Counter(
            record["country"] for record in records[:20]
        )

    def test_the_newest_feedback_counts(self, tmp_path: Path) -> None:
        records = monitored_project.traffic(1, seed=1)
        [id] = monitored_project.write_segment(tmp_path, records, segment=0x10)
        labels = Labels(tmp_path, project=monitored_project.NAME, version="1")
        store = FeedbackStore(tmp_path)
        for label in (True, False, False, True):
            store.attach(id=id, label={"bought": label})
            [row] = labels.mature(since=0, until=time.time() + 60).rows
            assert row.label == {"bought": label}
        store.close()

    def test_only_the_champion_version_in_the_period_counts(self, tmp_path: Path) -> None:
        now = time.time()
        for segment, version, variant, ago in (
            (0x10, "1", "champion", 7200),
            (0x11, "2", "champion", 7200),
            (0x12, "1", "challenger", 7200),
            (0x13, "1", "champion", 10),
        ):
            records = monitored_project.traffic(4, seed=segment)
            ids = monitored_project.write_segment(
                tmp_path, records, segment=segment, at=now - ago, version=version, variant=variant
            )
            monitored_project.attach(tmp_path, list(zip(ids, records, strict=True)), right=1.0)
        labels = Labels(tmp_path, project=monitored_project.NAME, version="1")
        assert labels.mature(since=0, until=now - 3600).total == 4
        assert labels.mature(since=0, until=now + 60).total == 8

    def test_the_newest_labels_are_joined_and_all_are_counted(self, tmp_path: Path) -> None:
        records = monitored_project.traffic(50, seed=1)
        ids = monitored_project.write_segment(tmp_path, records, segment=0x10, seconds=50)
        monitored_project.attach(tmp_path, list(zip(ids, records, strict=True)), right=1.0)
        rows, total = self.joined(tmp_path, limit=10)
        assert (len(rows), total) == (10, 50)
        assert [row.prediction for row in rows] == [
            monitored_project.predicted(each) for each in records[:-11:-1]
        ]

    def test_deleted_predictions_are_left_out(self, tmp_path: Path) -> None:
        records = monitored_project.traffic(5, seed=1)
        ids = monitored_project.write_segment(tmp_path, records, segment=0x10)
        monitored_project.attach(tmp_path, list(zip(ids, records, strict=True)), right=1.0)
        (tmp_path / "00000010.jsonl").unlink()
        assert self.joined(tmp_path) == ([], 5)

    def test_without_feedback_there_are_no_labels(self, tmp_path: Path) -> None:
        assert self.joined(tmp_path) == ([], 0)


def test_the_monitor_needs_only_the_monitoring_packages() -> None:
    """It imports no torch, DVC, full MLflow or ONNX."""
    refuse = ("torch", "dvc", "onnx", "skl2onnx", "matplotlib", "pandera", "xgboost", "feast")
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {refuse!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import services.monitor.app
import slipway.registry.reference
from services.monitor import drift, effects, labels
from slipway.quality import fairness, performance
print("fine")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "fine\n", done.stderr

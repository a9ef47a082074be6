"""Monitoring: what is compared, which differences count, and how rows are drawn for it."""

import base64
import itertools
import json
import random
import time
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.monitoring import derived, drift, fairness, performance, significance
from slipway.monitoring.declared import declared
from slipway.monitoring.drift import Rule
from slipway.monitoring.labels import Labels
from slipway.monitoring.layout import Layout
from slipway.monitoring.log import Follower
from slipway.monitoring.performance import Margin, Target
from slipway.monitoring.strata import Strata
from slipway.monitoring.values import category, number
from slipway.predictions.compact import compact
from slipway.predictions.feedback import FeedbackStore
from slipway.predictions.record import line
from slipway.predictions.writer import PredictionLog
from tests.services import shop

REFERENCE = shop.reference_rows(1000)
LAYOUT = Layout.learn(REFERENCE, defaults={"plan": "basic", "remark": "", "age": None})
TABLE = LAYOUT.table(LAYOUT.values(row["record"], row["answer"]) for row in REFERENCE)


def found(records: list[dict[str, Any]], **rule: Any) -> dict[str, drift.FieldDrift]:
    """By field, of a window of these records."""
    window = LAYOUT.table(LAYOUT.values(record, shop.answer(record)) for record in records)
    return {each.field: each for each in drift.compare(TABLE, window, LAYOUT, Rule(**rule))}


def drifted(records: list[dict[str, Any]], **rule: Any) -> set[str]:
    return {name for name, each in found(records, **rule).items() if each.drifted}


def picture(level: int, *, side: int = 8, alphabet: str = "url") -> str:
    from PIL import Image

    held = BytesIO()
    grey = np.full((side, side), level, dtype=np.uint8)
    grey[0] = 255 - level
    Image.fromarray(grey).save(held, "PNG")
    encode = base64.urlsafe_b64encode if alphabet == "url" else base64.b64encode
    return encode(held.getvalue()).decode()


class TestDeclared:
    def test_protected_fields_and_defaults_are_read_off_the_text(self) -> None:
        said = declared(shop.CODE)
        assert said.protected == ("country",)
        assert said.defaults == {"age": None, "plan": "basic", "remark": ""}

    def test_no_code_is_run(self, tmp_path: Path) -> None:
        trap = tmp_path / "ran"
        code = f"open({str(trap)!r}, 'w')\n{shop.CODE}\nraise SystemExit\n"
        assert declared(code).protected == ("country",)
        assert not trap.exists()

    def test_what_would_have_to_be_run_is_not_known(self) -> None:
        code = shop.CODE.replace('USUAL = "basic"', "USUAL = str(len('basic'))")
        assert "plan" not in declared(code).defaults

    def test_fields_of_a_base_record_count(self) -> None:
        code = shop.CODE.replace(
            "class Visitor(Record):",
            "class Guest(Record):\n    hat: int = 1\n\n\nclass Visitor(Guest):",
        )
        assert declared(code).defaults["hat"] == 1

    def test_a_file_without_a_model_declares_nothing(self) -> None:
        assert declared("x = 1\n").protected == ()

    def test_every_project_declares_what_its_class_says(self) -> None:
        from slipway.project import discover
        from tests.conftest import ROOT

        for project in discover(ROOT):
            model = project.model()
            said = declared((project.folder / "model.py").read_text())
            assert said.protected == model.protected, project.name
            fields = model.input_type().model_fields
            assert said.defaults.keys() <= fields.keys(), project.name
            plain = {
                name: field.default
                for name, field in fields.items()
                if not field.is_required() and field.default_factory is None
            }
            assert said.defaults == plain, project.name


class TestLayout:
    def test_kinds_come_from_the_reference(self) -> None:
        kinds = {field.label: field.kind for field in LAYOUT.fields}
        assert kinds == {
            "answer.bought": "category",
            "answer.probability": "number",
            "age": "number",
            "visits": "number",
            "country": "category",
            "plan": "category",
            "remark": "text",
        }
        assert {"remark:length", "remark:words", "remark:digits"} < LAYOUT.numeric.keys()

    def test_what_a_caller_left_out_is_the_default_not_missing(self) -> None:
        sent = {"visits": 3, "country": "de"}
        values = LAYOUT.values(sent, shop.answer({"age": None}))
        assert values["plan"] == "basic"
        assert values["age"] is None
        assert LAYOUT.values({**sent, "plan": None}, {})["plan"] is None

    def test_pictures_are_watched_by_brightness_contrast_and_size(self) -> None:
        rows = [
            {"record": {"image": picture(level)}, "answer": {"label": "x"}}
            for level in range(10, 50)
        ]
        layout = Layout.learn(rows)
        dark = layout.values({"image": picture(20)}, {"label": "x"})
        light = layout.values({"image": picture(200, side=16)}, {"label": "x"})
        assert list(dark) == ["answer.label", "image:brightness", "image:contrast", "image:pixels"]
        assert dark["image:brightness"] < light["image:brightness"]  # type: ignore[operator]
        assert (dark["image:pixels"], light["image:pixels"]) == (64.0, 256.0)

    @pytest.mark.parametrize("alphabet", ["url", "standard"])
    def test_both_alphabets_of_base64_are_read(self, alphabet: str) -> None:
        for level in range(256):
            assert derived.is_picture(picture(level, alphabet=alphabet))

    @pytest.mark.parametrize(
        "value", [None, 3, "x" * 100, "iVBORw0KGgo" * 20, picture(9)[:80] + "A" * 40, {}, []]
    )
    def test_damaged_pictures_are_missing_values(self, value: Any) -> None:
        assert set(derived.of_picture(value).values()) == {None}

    def test_lists_of_numbers_are_watched_objects_are_left_out(self) -> None:
        rows = [
            {"record": {"curve": [1.0, 2.0, i]}, "answer": {"shares": {"a": 1.0}, "label": "x"}}
            for i in range(20)
        ]
        layout = Layout.learn(rows)
        assert layout.left_out == ("answer.shares",)
        values = layout.values({"curve": [2, 4]}, {})
        assert values["curve:mean"] == 3
        assert values["curve:spread"] == 1
        assert values["curve:length"] == 2

    def test_columns_are_bounded_the_answers_first(self) -> None:
        layout = Layout.learn(REFERENCE, limit=3)
        assert list(layout.numeric) == ["answer.bought", "answer.probability", "age"]
        assert "remark" in layout.left_out

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        )
    )
    @settings(max_examples=100, deadline=None)
    def test_no_value_of_json_is_an_error(self, value: Any) -> None:
        names = [field.name for field in LAYOUT.fields if field.source == "record"]
        values = LAYOUT.values(dict.fromkeys(names, value), {"bought": value, "probability": value})
        LAYOUT.table([values])
        assert number(value) is None or isinstance(number(value), float)
        assert category(value) is None or isinstance(category(value), str)


class TestSignificance:
    def test_holm_agrees_with_statsmodels(self) -> None:
        from statsmodels.stats.multitest import multipletests

        rng = np.random.default_rng(1)
        for size in (1, 2, 7, 60):
            values = rng.random(size) ** 4
            expected = multipletests(values, method="holm")[1]
            assert significance.holm(values.tolist()) == pytest.approx(expected.tolist())

    def test_range_test_is_exact(self) -> None:
        """Against all ways in which 3 of 8 ordered values can be the window's."""
        orders = list(itertools.combinations(range(8), 3))
        for k in (1, 2, 3):
            beyond = sum(all(7 - i in places for i in range(k)) for places in orders)
            window = np.array([*range(100, 100 + k), *range(1, 4 - k)], dtype=float)
            reference = np.array([0.0, 5, 6, 7, 8])
            expected = min(1.0, 2 * beyond / len(orders))
            assert significance.of_range(reference, window) == pytest.approx(expected)

    def test_a_small_reference_is_taken_for_a_sample(self) -> None:
        """Of 400 pairs from one source about one in twenty is below 0.05; Evidently's chi-square,
        which takes the shares of 179 reference rows for the truth, says so of most."""
        import pandas as pd
        from evidently.legacy.calculations.stattests import chi_stat_test
        from evidently.legacy.core import ColumnType

        rng = np.random.default_rng(3)
        ours = theirs = 0
        for _ in range(400):
            reference = rng.choice(list("abcde"), 179, p=[0.4, 0.3, 0.15, 0.1, 0.05])
            window = rng.choice(list("abcde"), 2000, p=[0.4, 0.3, 0.15, 0.1, 0.05])
            ours += significance.of_categories(reference, window) < 0.05
            told = chi_stat_test(
                pd.Series(reference), pd.Series(window), ColumnType.Categorical, 0.05
            )
            theirs += told.drift_score < 0.05
        # Binomial(400, 0.05) lies within 7 and 36 but for one run in 10,000.
        assert 7 <= ours <= 36
        assert theirs > 200

    def test_rare_categories_do_not_make_alarms(self) -> None:
        """Twenty kinds that share 2 % of the rows. One that turns up among 150 rows, where a
        twentieth of one is expected, alone makes chi-square significant; together they do not."""
        rng = np.random.default_rng(4)
        shares = [0.98, *[0.001] * 20]
        low = 0
        for _ in range(600):
            reference, window = (rng.choice(21, size, p=shares).astype(str) for size in (150, 2000))
            low += significance.of_categories(reference, window) < 0.001
        assert low <= 3

    @pytest.mark.parametrize("values", [[], [1.0], [2.0] * 50])
    def test_nothing_to_compare_is_no_evidence(self, values: list[float]) -> None:
        few = np.array(values)
        assert significance.of_numbers(few, few) == 1
        assert significance.of_categories(few.astype(str), few.astype(str)) == 1
        assert significance.of_range(few, few) == 1


class TestDrift:
    def test_no_alarm_in_twenty_undrifted_windows(self) -> None:
        alarms = {seed: drifted(shop.traffic(400, seed=seed)) for seed in range(100, 120)}
        assert not any(alarms.values()), alarms

    @pytest.mark.parametrize(
        ("field", "column", "change"),
        [
            ("age", "age", lambda record, rng: rng.gauss(50, 12)),
            ("age", "age", lambda record, rng: rng.gauss(40, 30)),
            ("age", "age", lambda record, rng: None if rng.random() < 0.4 else record["age"]),
            ("age", "age", lambda record, rng: 1e6 if rng.random() < 0.05 else record["age"]),
            ("visits", "visits", lambda record, rng: record["visits"] + 2),
            ("country", "country", lambda record, rng: rng.choice(["de", "fr", "it", "es"])),
            ("country", "country", lambda record, rng: "pl"),
            ("plan", "plan", lambda record, rng: "gold"),
            ("remark", "remark:digits", lambda record, rng: record["remark"] + " 0123456789"),
            ("remark", "remark:words", lambda record, rng: "no"),
        ],
    )
    def test_planted_drift_is_found_and_named(self, field: str, column: str, change: Any) -> None:
        records = shop.traffic(400, seed=5, **{field: change})
        hit = drifted(records)
        assert column in hit
        # An answer that follows from the field may drift with it; no other field does.
        assert {name for name in hit if not name.startswith(("answer.", field))} == set()

    def test_why_is_told(self) -> None:
        gone = found(shop.traffic(400, seed=6, age=lambda record, rng: None))["age"]
        assert gone.because == ["missing"]
        assert (gone.missing_share, gone.typical) == (1, "none")
        assert gone.reference_missing_share == pytest.approx(0.1, abs=0.04)
        new = found(shop.traffic(400, seed=6, country=lambda record, rng: "pl"))["country"]
        assert new.new_category_share == 1
        assert new.constant
        far = found(
            shop.traffic(400, seed=6, age=lambda record, rng: 500 if rng.random() < 0.05 else 40)
        )["age"]
        assert "range" in far.because
        assert far.out_of_range_share == pytest.approx(0.05, abs=0.04)

    def test_a_difference_that_is_real_but_small_is_quiet(self) -> None:
        """A shift of 0.06 standard deviations, in as many rows as make it certain."""
        rng = np.random.default_rng(1)
        rows = [{"record": {"x": x}, "answer": {"y": 1}} for x in rng.normal(0, 1, 5000).tolist()]
        layout = Layout.learn(rows)
        reference = layout.table(layout.values(row["record"], row["answer"]) for row in rows)
        window = layout.table(
            layout.values({"x": x}, {"y": 1}) for x in rng.normal(0.06, 1, 50_000).tolist()
        )
        x = drift.compare(reference, window, layout, Rule())[1]
        assert x.p_value < 0.001
        assert not x.drifted
        assert drift.compare(reference, window, layout, Rule(numbers=0.03))[1].drifted

    def test_windows_and_references_that_are_too_small_are_refused(self) -> None:
        with pytest.raises(ValueError, match="window: at least 100 rows are needed, got 99"):
            found(shop.traffic(99, seed=1))
        with pytest.raises(ValueError, match="reference: at least 2000 rows are needed, got 1000"):
            found(shop.traffic(2000, seed=1), least_rows=2000)

    def test_what_is_found_can_be_written_as_json(self) -> None:
        for each in found(shop.traffic(200, seed=2, age=lambda record, rng: None)).values():
            json.loads(each.model_dump_json())


class TestStrata:
    def made(self, **given: Any) -> Strata[int]:
        return Strata(**{"bucket_seconds": 10.0, "reservoir": 50, "newest": 20, **given})

    def test_each_row_is_as_likely_as_any_other(self) -> None:
        """400 rows of four uneven buckets, of which 50 are drawn, 400 times over."""
        drawn: Counter[int] = Counter()
        for seed in range(400):
            strata = self.made(seed=seed)
            for row in range(400):
                strata.add((row / 400) ** 2 * 40, lambda row=row: row)  # type: ignore[misc]
            window = strata.since(0)
            assert (window.total, len(window.rows)) == (400, 50)
            drawn.update(window.rows)
        # Each is drawn 50 times on average, with a standard deviation of 6.6.
        assert set(drawn) == set(range(400))
        assert min(drawn.values()) > 20
        assert max(drawn.values()) < 85

    def test_a_window_that_is_looked_at_twice_is_the_same(self) -> None:
        strata = self.made()
        for row in range(500):
            strata.add(row / 20, lambda row=row: row)  # type: ignore[misc]
        assert strata.since(0) == strata.since(0)

    def test_memory_is_bounded_and_only_drawn_rows_are_read(self) -> None:
        strata, read = self.made(), []

        def reading() -> int:
            read.append(1)
            return 0

        for _ in range(20_000):
            strata.add(5.0, reading)
        strata.settle()
        # 50 (1 + ln(20,000 / 50)) = 350 entered the reservoir, and the last 20 were settled.
        assert len(read) < 600
        assert len(strata.since(0).rows) == 50
        assert len(strata.latest(since=0).rows) == 20

    def test_the_newest_are_the_newest_in_whatever_order_they_come(self) -> None:
        strata = self.made()
        rows = list(range(300))
        random.Random(1).shuffle(rows)
        for row in rows:
            strata.add(row / 10, lambda row=row: row)  # type: ignore[misc]
        assert strata.latest(since=0).rows == list(range(280, 300))
        assert strata.latest(since=29.0).rows == list(range(290, 300))

    def test_what_is_old_goes_and_is_counted_no_more(self) -> None:
        strata = self.made(count_seconds=1.0)
        for row in range(100):
            strata.add(float(row), lambda row=row: row)  # type: ignore[misc]
        assert strata.count(0, 100)[0] == 100
        assert strata.count(10.5, 19.5) == (10, 10.0, 20.0)
        strata.forget(rows_before=50, counts_before=20)
        assert sorted(strata.since(0).rows) == list(range(50, 100))
        assert strata.count(0, 100)[0] == 80

    def test_rows_that_cannot_be_read_are_counted_apart(self) -> None:
        strata = self.made()

        def broken() -> int:
            raise ValueError("no row")

        with pytest.raises(ValueError, match="no row"):
            strata.add(1.0, broken)
        strata.miss(2.0)
        strata.add(3.0, lambda: 7)
        assert strata.since(0) == ([7], 1, 2, 0.0)


class TestFollower:
    def numbers(self, records: Any) -> list[int]:
        return [each["inputs"][0]["number"] for each in records]

    def append(self, log: PredictionLog, numbers: range) -> None:
        for each in numbers:
            id = log.next_id()
            sent = json.dumps({"number": each}).encode()
            told = line(
                id=id,
                project="p",
                version="1",
                digest="d",
                variant="champion",
                inputs=sent,
                outputs=b"[{}]",
                seconds=0.1,
            )
            assert log.append(told)

    def test_each_record_is_told_once_while_segments_move_on(self, tmp_path: Path) -> None:
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

    def test_a_segment_compacted_half_way_is_read_to_its_end(self, tmp_path: Path) -> None:
        follower, log = Follower(tmp_path), PredictionLog(tmp_path, segment_bytes=2**20)
        self.append(log, range(6))
        assert len(list(follower.advance(since=0))) == 6
        self.append(log, range(6, 9))
        log.close()
        compact(tmp_path, seconds=0)
        assert not list(tmp_path.glob("*.jsonl"))
        assert self.numbers(follower.advance(since=0)) == [6, 7, 8]

    def test_again_tells_what_was_told_and_nothing_newer(self, tmp_path: Path) -> None:
        follower, log = Follower(tmp_path), PredictionLog(tmp_path, segment_bytes=2**20)
        self.append(log, range(3))
        list(follower.advance(since=0))
        self.append(log, range(3, 5))
        assert self.numbers(follower.again(since=0)) == [0, 1, 2]
        assert self.numbers(follower.advance(since=0)) == [3, 4]
        log.close()

    def test_foreign_and_damaged_files_hold_nobody_up(self, tmp_path: Path) -> None:
        shop.write_segment(tmp_path, shop.traffic(5, seed=1), segment=0x10)
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
        shop.write_segment(tmp_path, shop.traffic(5, seed=1), segment=0x10)
        assert list(Follower(tmp_path).advance(since=time.time() + 60)) == []


class TestLabels:
    def joined(self, folder: Path, **given: Any) -> Any:
        labels = Labels(folder, project=shop.NAME, version="1", protected=["country"], **given)
        return labels.mature(since=0, until=time.time() + 60)

    @pytest.mark.parametrize("compacted", [False, True])
    def test_truths_find_what_was_answered(self, tmp_path: Path, compacted: bool) -> None:
        records = shop.traffic(30, seed=1)
        given = shop.write_segment(tmp_path, records, segment=0x10)
        shop.attach(tmp_path, list(zip(given, records, strict=True))[:20], right=1.0)
        if compacted:
            compact(tmp_path, seconds=0)
            assert (tmp_path / "00000010.parquet").exists()
        rows, total = self.joined(tmp_path)
        assert total == len(rows) == 20
        assert all(row.truth["bought"] == row.answer["bought"] for row in rows)
        assert Counter(row.watched["country"] for row in rows) == Counter(
            record["country"] for record in records[:20]
        )

    def test_the_last_that_was_said_counts(self, tmp_path: Path) -> None:
        records = shop.traffic(1, seed=1)
        [id] = shop.write_segment(tmp_path, records, segment=0x10)
        labels = Labels(tmp_path, project=shop.NAME, version="1")
        store = FeedbackStore(tmp_path)
        for said in (True, False, False, True):
            store.attach(id=id, truth={"bought": said})
            [row] = labels.mature(since=0, until=time.time() + 60).rows
            assert row.truth == {"bought": said}
        store.close()

    def test_only_the_version_the_champion_and_the_time_asked_for(self, tmp_path: Path) -> None:
        now = time.time()
        for segment, version, variant, ago in (
            (0x10, "1", "champion", 7200),
            (0x11, "2", "champion", 7200),
            (0x12, "1", "challenger", 7200),
            (0x13, "1", "champion", 10),
        ):
            records = shop.traffic(4, seed=segment)
            given = shop.write_segment(
                tmp_path, records, segment=segment, at=now - ago, version=version, variant=variant
            )
            shop.attach(tmp_path, list(zip(given, records, strict=True)), right=1.0)
        labels = Labels(tmp_path, project=shop.NAME, version="1")
        assert labels.mature(since=0, until=now - 3600).total == 4
        assert labels.mature(since=0, until=now + 60).total == 8

    def test_the_newest_are_joined_all_are_counted(self, tmp_path: Path) -> None:
        records = shop.traffic(50, seed=1)
        given = shop.write_segment(tmp_path, records, segment=0x10, seconds=50)
        shop.attach(tmp_path, list(zip(given, records, strict=True)), right=1.0)
        rows, total = self.joined(tmp_path, limit=10)
        assert (len(rows), total) == (10, 50)
        assert [row.answer for row in rows] == [shop.answer(each) for each in records[:-11:-1]]

    def test_predictions_that_are_gone_are_left_out(self, tmp_path: Path) -> None:
        records = shop.traffic(5, seed=1)
        given = shop.write_segment(tmp_path, records, segment=0x10)
        shop.attach(tmp_path, list(zip(given, records, strict=True)), right=1.0)
        (tmp_path / "00000010.jsonl").unlink()
        assert self.joined(tmp_path) == ([], 5)

    def test_without_any_feedback_there_is_none(self, tmp_path: Path) -> None:
        assert self.joined(tmp_path) == ([], 0)


class TestPerformance:
    def test_metrics_agree_with_scikit_learn(self) -> None:
        from sklearn import metrics

        rng = np.random.default_rng(2)
        known = rng.random(500) < 0.3
        likely = np.clip(0.3 * known + 0.7 * rng.random(500), 0, 1).round(2)
        pairs = [
            ({"hit": bool(p >= 0.5), "chance": float(p)}, {"hit": bool(t)})
            for p, t in zip(likely, known, strict=True)
        ]
        found = {
            each.metric: each for each in performance.scores(pairs, Target("hit", "flag", "chance"))
        }
        assert found["accuracy"].value == pytest.approx(((likely >= 0.5) == known).mean())
        assert found["f1"].value == pytest.approx(metrics.f1_score(known, likely >= 0.5))
        assert found["roc_auc"].value == pytest.approx(metrics.roc_auc_score(known, likely))
        assert found["brier"].value == pytest.approx(metrics.brier_score_loss(known, likely))
        for each in found.values():
            assert each.low < each.value < each.high

    def test_numbers_and_labels_have_metrics_of_their_own(self) -> None:
        from sklearn import metrics

        rng = np.random.default_rng(2)
        told, known = rng.normal(5, 2, 300), rng.normal(5, 2, 300)
        pairs: list[Any] = [
            ({"price": float(a)}, {"price": float(t)}) for a, t in zip(told, known, strict=True)
        ]
        of_numbers = performance.scores(pairs, Target("price", "number"))
        assert {each.metric: each.value for each in of_numbers} == pytest.approx(
            {
                "mae": metrics.mean_absolute_error(known, told),
                "rmse": metrics.root_mean_squared_error(known, told),
                "bias": float((told - known).mean()),
                "r2": metrics.r2_score(known, told),
            }
        )
        labels = rng.choice(list("abc"), (2, 300))
        pairs = [({"kind": str(a)}, {"kind": str(t)}) for a, t in labels.T]
        of_labels = performance.scores(pairs, Target("kind", "label"))
        assert {each.metric: each.value for each in of_labels} == pytest.approx(
            {
                "accuracy": metrics.accuracy_score(labels[1], labels[0]),
                "macro_f1": metrics.f1_score(labels[1], labels[0], average="macro"),
            }
        )

    def test_intervals_hold_the_truth_as_often_as_they_say(self) -> None:
        """Of 100 windows with an accuracy of 0.8, about 95."""
        rng = np.random.default_rng(5)
        held = 0
        for _ in range(100):
            right = rng.random(150) < 0.8
            pairs: list[Any] = [({"k": "a"}, {"k": "a" if hit else "b"}) for hit in right]
            score = performance.scores(pairs, Target("k", "label"))[0]
            held += score.low <= 0.8 <= score.high
        assert 87 <= held <= 100

    def test_the_field_that_the_truth_is_about_is_found(self) -> None:
        rng = random.Random(1)
        rows = []
        for _ in range(50):
            price = rng.uniform(1e5, 3e5)
            rows.append(
                {
                    "answer": {"low": price * 0.8, "price": price, "high": price * 1.2},
                    "truth": price * rng.uniform(0.9, 1.1),
                }
            )
        assert Target.learn(rows) == Target("price", "number")
        assert Target.learn(REFERENCE) == Target("bought", "flag", "probability")
        labelled = [{"answer": {"label": "a", "probability": 0.9}, "truth": "b"}] * 3
        assert Target.learn(labelled) == Target("label", "label")
        named = [{"answer": {"a": 1.5, "b": 2.5}, "truth": {"b": 2.0}}] * 3
        assert Target.learn(named) == Target("b", "number")
        assert Target.learn([{"answer": {"x": {}}, "truth": 1}]) is None
        assert Target.learn([]) is None

    def window(self, rows: int, right: float, seed: int) -> list[performance.Score]:
        rng = random.Random(seed)
        pairs: list[Any] = []
        for record in shop.traffic(rows, seed=seed):
            told = shop.answer(record)
            pairs.append((told, {"bought": shop.truth(told, rng, right=right)}))
        return performance.scores(pairs, Target("bought", "flag", "probability"))

    def test_worse_is_told_and_luck_is_not(self) -> None:
        target = Target.learn(REFERENCE)
        assert target is not None
        reference = performance.scores(target.pairs(REFERENCE), target)
        for seed in range(20):
            assert performance.worse(self.window(300, 0.85, seed), reference, Margin()) == []
        [said, *_] = performance.worse(self.window(300, 0.6, 50), reference, Margin())
        assert said.startswith("accuracy 0.")
        assert "on the test rows 0.8" in said
        assert performance.worse(self.window(40, 0.3, 50), reference, Margin()) == []

    def test_a_difference_within_the_margin_is_no_alarm_however_sure(self) -> None:
        before = performance.Score(
            metric="accuracy", value=0.90, low=0.899, high=0.901, error=0.0005, n=10**6
        )
        now = before.model_copy(update={"value": 0.87})
        assert performance.worse([now], [before], Margin()) == []
        assert performance.worse([now], [before], Margin(share=0.02))

    def test_truths_of_another_kind_do_not_count(self) -> None:
        pairs: list[Any] = [({"bought": True}, {"bought": each}) for each in ("yes", None, [], 1)]
        [score] = performance.scores(pairs, Target("bought", "flag"))
        assert (score.n, score.value) == (1, 1)
        assert performance.scores([], Target("bought", "flag")) == []


class TestFairness:
    def sliced(self, unfair: bool, rows: int = 600) -> fairness.Slices:
        rng = random.Random(3)
        answers, labelled = [], []
        for record in shop.traffic(rows, seed=4):
            told = shop.answer(record)
            if unfair and record["country"] == "it":
                told = {**told, "bought": False}
            answers.append((record["country"], told))
            truth = shop.truth(told, rng, right=0.5 if record["country"] == "it" else 0.9)
            labelled.append((record["country"], (told, {"bought": truth})))
        window = fairness.Answered(answers, labelled)
        reference = fairness.Answered([], [])
        return fairness.slices("country", window, reference, Target("bought", "flag"))

    def test_gaps_are_of_rates_and_of_performance(self) -> None:
        fair, unfair = self.sliced(False), self.sliced(True)
        assert unfair.gaps["positive_rate"] > 0.4 > fair.gaps["positive_rate"]
        assert unfair.gaps["accuracy"] > 0.25
        assert fair.reference_gaps == {}

    def test_each_figure_has_an_interval(self) -> None:
        for group in self.sliced(False).groups:
            for each in group.metrics:
                assert each.low <= each.value <= each.high
                assert each.high - each.low > 0

    def test_small_groups_have_no_figures_and_make_no_gap(self) -> None:
        slices = self.sliced(True, rows=60)
        small = [group for group in slices.groups if group.rows < fairness.LEAST_ROWS]
        assert small
        assert all(group.metrics == [] for group in small)
        assert "positive_rate" not in slices.gaps

    def test_numbers_are_grouped_by_quarters_and_rare_values_together(self) -> None:
        group = fairness.grouping(float(each) for each in range(100))
        assert [group(value) for value in (0, 30, 60, 99, None, "x")] == [
            "up to 24.75",
            "24.75 to 49.5",
            "49.5 to 74.25",
            "over 74.25",
            "unknown",
            "unknown",
        ]
        names = fairness.grouping([str(each % 20) for each in range(200)])
        told = {names(str(each)) for each in range(20)}
        assert len(told) == fairness.MOST_GROUPS
        assert "other" in told
        assert fairness.grouping([True, False])(True) == "true"


def test_nothing_here_needs_more_than_the_monitoring_packages() -> None:
    """Torch, DVC, full MLflow and ONNX stay out, also of the service."""
    import subprocess
    import sys

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
from slipway.monitoring import drift, effects, fairness, labels, performance
print("fine")
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout == "fine\n", told.stderr

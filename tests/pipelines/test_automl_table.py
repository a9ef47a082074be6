"""The AutoML on anyone's table: columns, limits, comparison, and what is refused."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from pipelines.ml.automl_from_scratch import (
    columns,
    limits,
    table,
    table_search,
)
from pipelines.ml.automl_from_scratch.space import Settings
from slipway.datasets import fetch
from tests.pipelines.limited_jobs import TRIED, broken, hungry, slow

# The tables are those of other projects, which do not concern these tests.
CONCERNS = ("pipelines/ml/automl_from_scratch/*",)

TITANIC = ("titanic", "train.csv", "Survived")
HEART = ("heart_disease_4_sites", "heart_disease_uci.csv", "num")


@pytest.mark.parametrize(("name", "file", "target"), [TITANIC, HEART])
def test_a_real_table_with_categories_and_missing_values(
    name: str, file: str, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = fetch(name).path(file)
    limits_of_search = ["--trials", "7", "--output", str(tmp_path)]
    assert table.main([str(source), "--target", target, *limits_of_search]) == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["search"]["trials"] == len(found["trials"]) == 7
    assert found["search"]["validation_accuracy"] == max(each["score"] for each in found["trials"])
    assert found["agreement"] >= table.AGREEMENT
    held = found["held_out"]
    assert held["search"]["accuracy"] > held["majority"]["accuracy"] + 0.05
    for other in ("majority", "default_logistic", "default_svm"):
        gap = held["search"]["accuracy"] - held[other]["accuracy"]
        assert held[other]["search_ahead"] == pytest.approx(gap)
        assert held[other]["search_ahead_low"] <= gap <= held[other]["search_ahead_high"]
        assert other in printed
    # The graph alone classifies cells of the raw table, also missing and unknown ones.
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (label,) = session.run(
        ["label"],
        {
            "numbers": np.full((1, len(found["inputs"]["numbers"])), np.nan, dtype=np.float32),
            "categories": np.full((1, len(found["inputs"]["categories"])), "never seen", object),
        },
    )
    assert label[0] in found["labels"]


def test_columns_are_detected() -> None:
    passengers = columns.read_table(fetch("titanic").path("train.csv"), "Survived")
    assert passengers.numbers == ["Pclass", "Age", "SibSp", "Parch", "Fare"]
    assert passengers.categories == ["Sex", "Embarked"]
    assert set(passengers.left_out) == {"PassengerId", "Name", "Ticket", "Cabin"}
    assert passengers.left_out["PassengerId"] == "a row number"
    assert set(passengers.labels) == {"0", "1"}
    ages = passengers.cells[:, 1].astype(float)
    assert np.isnan(ages).sum() == 177
    assert (passengers.cells[:, 6] == "").sum() == 2


def test_equal_rows_stay_together_in_every_split() -> None:
    passengers = columns.read_table(fetch("titanic").path("train.csv"), "Survived")
    keys = np.array([str(row.tolist()) for row in passengers.cells])
    assert len(set(keys)) < len(keys)
    learn, test = columns.held_out(passengers, 0)
    assert len(learn) + len(test) == 891
    assert 150 < len(test) < 210
    assert not set(keys[learn]) & set(keys[test])
    for part, rest in columns.folds_of(passengers, learn, 4, 0):
        assert not set(keys[part]) & set(keys[rest])
        assert set(part) | set(rest) == set(learn)


def write_table(folder: Path, rows: list[str]) -> Path:
    file = folder / "some.csv"
    file.write_text("\n".join(rows) + "\n")
    return file


@pytest.mark.parametrize(
    ("rows", "target", "message"),
    [
        (["a,b", *(f"{each},{each % 2}" for each in range(80))], "c", "no column 'c'"),
        (["a,b", *(f"{each},{each % 2}" for each in range(30))], "b", "30 rows have a value"),
        (["a,b", *(f"{each},x" for each in range(80))], "b", "'x' in every row"),
        (["a,b", *(f"{each},{each * 1.5}" for each in range(80))], "b", "80 values"),
        (["a,b", "1,rare", *(f"{each},{each % 2}" for each in range(80))], "b", "'rare' in 1 rows"),
        (["a,b", *(f"5,{each % 2}" for each in range(80))], "b", "no column beside 'b'"),
        (["a,b"], "b", "no rows below its header"),
        (["word"] * 80, "b", "not a CSV file"),
    ],
)
def test_a_bad_table_is_refused_with_its_reason(
    rows: list[str],
    target: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write_table(tmp_path, rows)
    output = tmp_path / "made"
    assert table.main([str(file), "--target", target, "--output", str(output)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert str(file) in error
    assert not output.exists()


def test_a_missing_or_binary_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert table.main([str(tmp_path / "none.csv"), "--target", "b"]) == 1
    assert "there is no such file" in capsys.readouterr().err
    (tmp_path / "some.csv").write_bytes(bytes(range(256)) * 40)
    assert table.main([str(tmp_path / "some.csv"), "--target", "b"]) == 1
    assert "not a CSV file" in capsys.readouterr().err


def test_a_table_with_semicolons_and_missing_labels_is_read(tmp_path: Path) -> None:
    rows = ["size;colour;kind", *(f"{each};red;{each % 2}" for each in range(0, 160, 2))]
    rows += [f"{each};blue;{each % 2}" for each in range(1, 160, 2)] + ["3;red;", "4;blue;"]
    found = columns.read_table(write_table(tmp_path, rows), "kind")
    assert (found.numbers, found.categories) == (["size"], ["colour"])
    assert found.unlabelled == 2
    # pandas reads whole numbers beside missing ones as floats.
    assert set(found.labels) == {"0", "1"}


def test_a_large_table_is_tried_again_with_more_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows = ["a,b,kind"]
    for a, b in rng.normal(size=(400, 2)):
        rows.append(f"{a:.4f},{b:.4f},{'far' if a**2 + b**2 > 1.4 else 'near'}")
    monkeypatch.setattr(table_search, "ROWS_FOR_ONE_FOLD", 300)
    monkeypatch.setattr(table_search, "FIRST_RUNG", 60)
    found = columns.read_table(write_table(tmp_path, rows), "kind")
    learn, _ = columns.held_out(found, 0)
    trials: list[limits.Trial] = []
    table_search.search(trials.append, table=found, rows=learn, trials=8, seconds=600, seed=0)
    assert [each.rows for each in trials[:8]] == [60] * 8
    assert [each.settings for each in trials[:2]] == list(table_search.DEFAULTS.values())
    again = trials[8:]
    assert len(again) == table_search.LAST_RUNG
    assert {each.rows for each in again} == {len(learn) * 3 // 4}
    best = table_search.best_trials(trials)
    assert best[0] in again
    assert best[0].score == max(each.score or 0 for each in again)


def test_settings_beyond_the_memory_are_recorded_and_the_search_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passengers = columns.read_table(fetch("titanic").path("train.csv"), "Survived")

    def scored(settings: Settings, *rest: object) -> float:
        if settings["learner"] == "svm":
            raise MemoryError
        return 0.7

    monkeypatch.setattr(table_search, "accuracy", scored)
    trials: list[limits.Trial] = []
    rows = np.arange(300)
    table_search.search(trials.append, table=passengers, rows=rows, trials=7, seconds=600, seed=0)
    assert len(trials) == 7
    for each in trials:
        assert (each.score is None) == (each.settings["learner"] == "svm")
    assert all(each.score for each in table_search.best_trials(trials))


def test_a_search_is_stopped_after_its_time_and_keeps_its_trials() -> None:
    # The time includes starting Python, which takes longer on a busy machine.
    runs = (limits.search_within(slow, {}, seconds=each, megabytes=200) for each in (5, 25, 100))
    found, ended = next(each for each in runs if each[0])
    assert (found, ended) == ([TRIED], "killed")


def test_a_search_beyond_its_memory_or_with_an_error_says_so() -> None:
    assert limits.search_within(hungry, {}, seconds=100, megabytes=600) == ([TRIED], "done")
    with pytest.raises(limits.SearchFailed, match="MemoryError"):
        limits.search_within(hungry, {}, seconds=100, megabytes=200)
    with pytest.raises(limits.SearchFailed, match="no such setting"):
        limits.search_within(broken, {}, seconds=100, megabytes=200)

"""Test the choice of test files by a change: nothing that may break is left out."""

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests import by_change, selection
from tests.by_change import LEFT_OUT, OF_ALL_PROJECTS, Change, patterns_of
from tests.conftest import ROOT
from tests.tiers import all_files

CHOSEN = [name for name in all_files() if patterns_of(ROOT / name) is not None]


@cache
def left_out(*files: str) -> set[str]:
    change = Change.of_files(files)
    return {name for name in all_files() if not change.runs(name)}


def test_every_pattern_fits_a_file() -> None:
    assert CHOSEN
    for name in CHOSEN:
        assert Change.of_files([]).concerns(name)


def test_a_page_leaves_out_the_costly_files_and_the_tests_of_single_projects() -> None:
    found = left_out("README.md")
    assert set(CHOSEN) <= found
    assert "tests/pipelines/test_uplift.py" in found
    assert not found & {*OF_ALL_PROJECTS, "tests/test_newcomer.py", "tests/slipway/test_cli.py"}


@pytest.mark.parametrize(
    ("file", "runs"),
    [
        ("pipelines/ml/uplift/train.py", "pipelines/test_uplift.py"),
        ("pipelines/ml/uplift/dvc.lock", "slipway/projects/test_verify_lock.py"),
        ("pipelines/datasets/hillstrom_email.yaml", "pipelines/test_uplift.py"),
        ("slipway/kits/tabular/study.py", "pipelines/test_titanic.py"),
        ("pipelines/cv/lanes/hough.py", "pipelines/cv/lanes/test_hough.py"),
        # Found by walking imports, not named by a pattern.
        ("slipway/contract/record.py", "services/predict/test_durability.py"),
        ("services/web/problem.py", "services/monitor/test_monitor.py"),
        ("slipway/arithmetic.py", "slipway/projects/test_verify_lock.py"),
        # A deleted file.
        ("services/stream/gone.py", "services/stream/test_stream.py"),
        ("tests/infra/test_locust.py", "infra/test_locust.py"),
    ],
)
def test_a_change_runs_what_it_may_break(file: str, runs: str) -> None:
    assert f"tests/{runs}" not in left_out(file)


def test_a_project_runs_only_its_own_tests() -> None:
    nothing, found = left_out("README.md"), left_out("pipelines/ml/titanic/train.py")
    assert nothing - found == {"tests/pipelines/test_titanic.py"}


@pytest.mark.parametrize(
    "file", ["unknown.txt", "pyproject.toml", "tests/waiting.py", "infra/environment/locks/x.txt"]
)
def test_an_unknown_file_and_what_all_tests_rest_on_run_everything(file: str) -> None:
    assert Change.of_files([file]).all_because.startswith(file)
    assert left_out(file, "README.md") == set()


def test_make_test_all_runs_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(selection.ALL, "1")
    assert Change.of_checkout().all_because == "SLIPWAY_TEST_ALL=1"


def test_without_a_base_everything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(selection.ALL, raising=False)
    monkeypatch.setenv("SLIPWAY_TEST_SINCE", "no-such-commit")
    assert Change.of_checkout().all_because.startswith("no base: git knows no commit no-such")


@pytest.mark.parametrize("text", ['CONCERNS = ["a"]', "CONCERNS = (1,)"])
def test_patterns_of_another_kind_are_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "test_x.py"
    file.write_text(text)
    with pytest.raises(ValueError, match="CONCERNS must be a tuple of texts"):
        patterns_of(file)


def test_a_pattern_that_fits_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_change, "patterns_of", lambda file: ("slipway/gone/*",))
    with pytest.raises(ValueError, match="no file fits 'slipway/gone/"):
        Change.of_files([]).concerns("tests/test_tiers.py")


def test_a_file_is_left_out_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    decision = {"because": "", "changed": 1, "left_out": ["tests/test_groups.py"]}
    monkeypatch.setenv(LEFT_OUT, json.dumps(decision))

    def ignored(name: str, *words: str) -> bool | None:
        config = SimpleNamespace(invocation_params=SimpleNamespace(args=words, dir=ROOT))
        return by_change.pytest_ignore_collect(ROOT / name, cast(pytest.Config, config))

    assert ignored("tests/test_groups.py") is True
    assert ignored("tests/test_tiers.py") is None
    assert ignored("tests/test_groups.py", "tests/test_groups.py::test_it") is None
    monkeypatch.delenv(LEFT_OUT)
    assert ignored("tests/test_groups.py") is None

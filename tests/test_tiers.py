"""Test the tiers: each test file is in one, and the fast tier starts nothing slow."""

import re

import pytest

from tests.conftest import ROOT, files_of_checkout
from tests.tiers import TIERS, all_files, files, tier_of

# A fast test starts no model server, no registry server and no Spark, trains no project, and makes
# no environment. A single program, like git, is allowed: milliseconds.
SLOW = re.compile(
    r"\b(serving_python|features_python|small_models|small_registry|mlflow_server|serving_alone"
    r"|running|trained|server|SparkSession|make_venv)\b\s*[(:,)]"
)


def test_every_test_file_is_in_a_tier() -> None:
    without = [name for name in all_files() if tier_of(name) is None]
    assert without == [], "add a pattern to TIERS of tests/tiers.py"


def test_no_test_file_is_longer_than_400_lines() -> None:
    files_of_tests = (file for file in files_of_checkout() if file.startswith("tests/"))
    lengths = {
        file: len((ROOT / file).read_text().splitlines())
        for file in files_of_tests
        if file.endswith(".py")
    }
    assert [f"{file}: {lines}" for file, lines in lengths.items() if lines > 400] == []


@pytest.mark.parametrize("pattern", TIERS)
def test_every_pattern_decides_about_a_file(pattern: str) -> None:
    deciding = {_deciding(name) for name in all_files()}
    assert pattern in deciding


def _deciding(file: str) -> str | None:
    from fnmatch import fnmatchcase

    return next((pattern for pattern in TIERS if fnmatchcase(file, pattern)), None)


@pytest.mark.parametrize("file", files("fast"))
def test_a_fast_file_starts_nothing_slow(file: str) -> None:
    signatures = re.findall(r"^def test_\w+\(.*?\) ->", (ROOT / file).read_text(), re.M | re.S)
    signatures += re.findall(r"^\s+with .*", (ROOT / file).read_text(), re.M)
    assert [line for line in signatures if SLOW.search(line)] == []

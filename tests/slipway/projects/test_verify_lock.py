"""`slipway verify --lock`: a project trained in a scratch folder equals its committed lock."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from slipway import arithmetic
from slipway.dependencies.lock import is_current, md5, output_differences, stages_of
from slipway.project import Project, find
from slipway.projects.verify_lock import NotComparable, check_comparable, verify_lock
from tests.conftest import ROOT

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = (
    "slipway/projects/*.py",
    "slipway/stages/*",
    "slipway/registry/register.py",
    "pipelines/ml/spam/*",
    "pipelines/ml/uplift/*",
)

# They train in seconds, and without pinning their results depend on the instruction set.
QUICK = ("spam", "uplift")
wider = pytest.mark.skipif(
    "avx512f" not in arithmetic.flags(),
    reason="this processor has no more than AVX2: unpinned it computes the same",
)
x86_64 = pytest.mark.skipif(
    not arithmetic.is_x86_64(), reason="locks are compared on x86-64 processors only"
)


def environment(**variables: str) -> dict[str, str]:
    """Return this process's variables without the pins that conftest sets."""
    kept = arithmetic.without_pins(os.environ)
    return {**kept, **variables}


def fingerprint(project: Project) -> dict[str, str]:
    """Return the md5 of each file; other tests' imports may write bytecode meanwhile."""
    return {
        file.name: md5(file)
        for file in sorted(project.folder.glob("*"))
        if file.name not in ("work", "__pycache__")
    }


@x86_64
@pytest.mark.parametrize("name", QUICK)
def test_pinned_it_equals_the_committed_lock(name: str, tmp_path: Path) -> None:
    project = find(name)
    before = fingerprint(project)
    stages: list[str] = []
    verdict = verify_lock(project, tmp_path, on_stage=stages.append, environment=environment())
    assert stages == ["prepare", "fit", "evaluate", "register"]
    assert [str(each) for each in verdict.differing] == []
    assert verdict.outputs == 8
    assert fingerprint(project) == before


@x86_64
@wider
@pytest.mark.parametrize("name", QUICK)
def test_unpinned_it_differs_on_a_processor_with_avx512(name: str, tmp_path: Path) -> None:
    unpinned = environment(**{arithmetic.CHOICE: arithmetic.UNPINNED})
    verdict = verify_lock(find(name), tmp_path, environment=unpinned)
    assert not verdict.equal
    assert verdict.differing


@pytest.fixture
def copied(tmp_path: Path) -> Project:
    """Titanic's committed files in a separate repository with this checkout's library."""
    place = tmp_path / "pipelines" / "ml" / "titanic"
    shutil.copytree(find("titanic").folder, place, ignore=shutil.ignore_patterns("work"))
    for name in ("slipway", "infra", "pipelines/datasets"):
        (tmp_path / name).symlink_to(ROOT / name)
    return Project(place)


def test_inputs_that_changed_since_the_lock_are_named(copied: Project) -> None:
    if arithmetic.is_x86_64():
        check_comparable(copied)
    file = copied.folder / "train.py"
    file.write_text(f"{file.read_text()}\n# changed\n")
    with pytest.raises(NotComparable, match="changed since the lock was written: fit: dep train"):
        check_comparable(copied)


def test_a_project_without_a_lock_is_refused(copied: Project) -> None:
    (copied.folder / "dvc.lock").unlink()
    with pytest.raises(NotComparable, match="titanic has no dvc.lock: slipway repro titanic"):
        check_comparable(copied)


def test_on_arm_locks_are_not_compared(copied: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic.platform, "machine", lambda: "aarch64")
    with pytest.raises(NotComparable, match="this processor is aarch64"):
        check_comparable(copied)


def test_an_output_that_differs_is_named(copied: Project) -> None:
    lock = stages_of(copied.folder / "dvc.lock")
    wanted = {
        "evaluate": {
            "outs": [each for each in lock["evaluate"]["outs"] if each["path"] == "metrics.json"]
        }
    }
    assert list(output_differences(wanted, copied.folder)) == []
    (copied.folder / "metrics.json").write_text("{}\n")
    (found,) = output_differences(wanted, copied.folder)
    assert str(found) == "evaluate: out metrics.json"


def test_a_folder_has_the_md5_that_dvc_gives_it(tmp_path: Path) -> None:
    """Compared with DVC itself, which adds the folder."""
    folder = tmp_path / "data"
    (folder / "below").mkdir(parents=True)
    (folder / "a.bin").write_bytes(bytes(range(256)))
    (folder / "below" / "ü.txt").write_text("line\r\n")
    for words in (
        ("git", "init", "-q"),
        (sys.executable, "-m", "dvc", "init", "-q"),
        (sys.executable, "-m", "dvc", "add", "-q", "data"),
    ):
        subprocess.run(words, cwd=tmp_path, check=True)
    (noted,) = yaml.safe_load((tmp_path / "data.dvc").read_text())["outs"]
    assert md5(folder) == noted["md5"]
    assert md5(folder / "a.bin") != md5(folder / "below" / "ü.txt")
    assert md5(tmp_path / "none") == "missing"


def test_an_untrained_project_is_not_current(copied: Project) -> None:
    assert not is_current(copied.folder)


@x86_64
def test_the_command_names_the_processor_and_what_differs_and_writes_nothing(
    copied: Project,
) -> None:
    top = copied.folder.parents[2]
    shutil.copy(ROOT / "pyproject.toml", top)
    file = copied.folder / "dvc.lock"
    lock = yaml.safe_load(file.read_text())
    (claimed,) = [
        each for each in lock["stages"]["evaluate"]["outs"] if each["path"] == "metrics.json"
    ]
    claimed["md5"] = "0" * 32
    file.write_text(yaml.safe_dump(lock))
    before = fingerprint(copied)
    done = subprocess.run(
        [sys.executable, "-m", "slipway", "verify", "--lock", "titanic"],
        cwd=top,
        env=environment(PYTHONPATH=str(top)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    named, *others = done.stdout.splitlines()
    assert named == f"processor: {arithmetic.processor()}"
    assert others == ["titanic: evaluate: out metrics.json differs from the lock"]
    assert "1 of 1 differ from their locks: titanic" in done.stderr
    assert fingerprint(copied) == before


def test_an_unknown_project_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "slipway", "verify", "--lock", "titanc"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "no project 'titanc'" in done.stderr

"""The copy that a run trains in, with real git and DVC; the user's files stay unchanged."""

import shutil
from pathlib import Path

import pytest
import yaml

from services.trainer.overrides import Overrides
from services.trainer.worktree import Worktree, WorktreeFault, forget, head
from tests.conftest import ROOT
from tests.slipway.checkout import git

PLACE = "pipelines/ml/flowers"
PARAMS = "# by hand\nfit: {power: 1, tree: {depth: 2}}\n"


def write_repository(root: Path) -> Path:
    """Write the files of a repository, without git."""
    for name in (".gitignore", ".dvc/config"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / PLACE).mkdir(parents=True)
    for name, text in {
        "pyproject.toml": "",
        f"{PLACE}/params.yaml": PARAMS,
        f"{PLACE}/gone.py": "",
        f"{PLACE}/metrics.json": "{}",
    }.items():
        (root / name).write_text(text)
    stages = {"stages": {"prepare": {"cmd": "python -m slipway prepare", "deps": ["data.py"]}}}
    (root / PLACE / "dvc.yaml").write_text(yaml.safe_dump(stages))
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one commit and uncommitted changes of its owner."""
    root = write_repository(tmp_path / "repository")
    git(root, "init", "--quiet", "-b", "main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "first")
    (root / PLACE / "params.yaml").write_text(PARAMS.replace("power: 1", "power: 5"))
    (root / PLACE / "gone.py").unlink()
    (root / PLACE / "new.py").write_text("new")
    (root / "customers.csv").write_text("not for training")
    (root / PLACE / "work" / "data").mkdir(parents=True)
    (root / PLACE / "work" / "data" / "train.parquet").write_text("an output")
    return root


def copy(root: Path) -> Worktree:
    worktree = Worktree(root, root.parent / "tree", "ml", "flowers")
    worktree.make()
    return worktree


def test_the_copy_has_the_users_changes_and_changes_nothing_of_theirs(root: Path) -> None:
    before = git(root, "status", "--porcelain")
    worktree = copy(root)
    place = worktree.project.folder
    assert "power: 5" in (place / "params.yaml").read_text()
    assert (place / "new.py").read_text() == "new"
    for left_out in ("gone.py", "work"):
        assert not (place / left_out).exists()
    assert not (worktree.folder / "customers.csv").exists()

    worktree.override(Overrides(fit={"tree": {"depth": 9}}))
    commit = worktree.commit("Run 1")
    assert git(worktree.folder, "status", "--porcelain") == ""
    # The files that a run overwrites do not count as changes.
    (place / "dvc.lock").write_text("schema: '2.0'\nstages: {prepare: {cmd: x}}\n")
    (place / "metrics.json").write_text('{"accuracy": 1}')
    (place / "examples.json").write_text("[]")
    assert git(worktree.folder, "status", "--porcelain") == ""
    assert head(worktree.folder) == commit
    (place / "model.py").write_text("a change")
    assert "model.py" in git(worktree.folder, "status", "--porcelain")

    name = worktree.keep("20260101T000000-abcdef", "succeeded: v1")
    assert name == "refs/slipway/runs/20260101T000000-abcdef"
    params = git(root, "show", f"{commit}:{PLACE}/params.yaml")
    assert yaml.safe_load(params)["fit"] == {"power": 5, "tree": {"depth": 9}}
    assert git(root, "show", f"{name}:{PLACE}/metrics.json") == '{"accuracy": 1}'
    assert "prepare" in git(root, "show", f"{name}:{PLACE}/dvc.lock")
    assert git(root, "show", f"{name}:{PLACE}/examples.json") == "[]"
    # The commits are on no branch, and the owner's files are unchanged.
    assert git(root, "log", "--format=%s").split() == ["first"]
    assert git(root, "status", "--porcelain") == before
    forget(root, "20260101T000000-abcdef")
    assert git(root, "for-each-ref", "refs/slipway") == ""


def test_feedback_is_a_data_version_in_the_shared_cache(root: Path) -> None:
    worktree = copy(root)
    rows = root.parent / "rows"
    rows.mkdir()
    (rows / "train.parquet").write_bytes(b"rows")
    first = worktree.add_feedback(rows)
    assert worktree.add_feedback(rows) == first
    prepare = yaml.safe_load((worktree.project.folder / "dvc.yaml").read_text())["stages"][
        "prepare"
    ]
    assert prepare["cmd"] == [*("python -m slipway prepare", "python -m slipway.stages.extend")]
    assert prepare["deps"] == ["data.py", "feedback", "../../../slipway/stages/extend.py"]
    worktree.commit("Run 1")
    assert first in git(worktree.folder, "show", f"HEAD:{PLACE}/feedback.dvc")
    assert "train.parquet" not in git(worktree.folder, "ls-files")
    # The rows are in the repository's cache, because the copy is removed later.
    digits = first.removesuffix(".dir")
    kept = root / ".dvc" / "cache" / "files" / "md5" / digits[:2] / f"{digits[2:]}.dir"
    assert kept.is_file()
    (rows / "train.parquet").write_bytes(b"other rows")
    assert worktree.add_feedback(rows) != first


def test_without_a_commit_or_git_the_copy_is_a_plain_one(tmp_path: Path) -> None:
    fresh = write_repository(tmp_path / "fresh" / "repository")
    git(fresh, "init", "--quiet")
    plain = write_repository(tmp_path / "plain" / "repository")
    (plain / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    (plain / ".slipway").mkdir()
    (plain / ".slipway" / "mlflow.db").write_text("a registry")
    names = []
    for root in (fresh, plain):
        worktree = copy(root)
        assert (worktree.project.folder / "params.yaml").read_text() == PARAMS
        assert not (worktree.folder / ".slipway").exists()
        assert worktree.commit("Run 1")
        assert git(worktree.folder, "status", "--porcelain") == ""
        names.append(worktree.keep("1", "succeeded"))
    assert names == ["refs/slipway/runs/1", None]


def test_a_copy_is_whole_or_absent(root: Path, tmp_path: Path) -> None:
    (root / ".dvc" / "config").write_text("[core\n")
    with pytest.raises(WorktreeFault, match="dvc cache"):
        copy(root)
    assert not (root.parent / "tree").exists()
    shutil.copy(ROOT / ".dvc" / "config", root / ".dvc" / "config")
    worktree = copy(root)
    (worktree.project.folder / "params.yaml").write_text("fit: {}")
    worktree.make()
    assert (worktree.project.folder / "params.yaml").read_text() == "fit: {}"


@pytest.mark.parametrize("left", ["", "schema: '2.0'\nstages:\n  prepare:\n    cmd: [", "\0\0"])
def test_leftovers_of_a_killed_dvc_are_removed(root: Path, left: str) -> None:
    worktree = copy(root)
    lock, rwlock = worktree.project.folder / "dvc.lock", worktree.folder / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(exist_ok=True)
    rwlock.write_text("{")
    worktree.unlock()
    assert lock.is_file()
    assert not rwlock.exists()
    lock.write_text(left)
    worktree.unlock()
    assert not lock.exists()

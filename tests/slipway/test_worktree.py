"""The copy that a run trains in: real git and DVC, and the user's files stay as they are."""

import shutil
from pathlib import Path

import pytest
import yaml

from slipway.retraining import worktree
from slipway.retraining.overrides import Overrides
from slipway.retraining.worktree import Worktree, WorktreeFault
from tests.conftest import ROOT
from tests.slipway.checkout import git

PLACE = "pipelines/ml/flowers"
PARAMS = "# by hand\nfit: {power: 1, tree: {depth: 2}}\n"


def written(root: Path) -> Path:
    """A repository's files, in no git yet."""
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
    """A commit, and what its owner has done since."""
    root = written(tmp_path / "repository")
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
    made = Worktree(root, root.parent / "tree", "ml", "flowers")
    made.make()
    return made


def test_it_holds_what_the_user_has_and_nothing_comes_back(root: Path) -> None:
    before = git(root, "status", "--porcelain")
    made = copy(root)
    place = made.project.folder
    assert "power: 5" in (place / "params.yaml").read_text()
    assert (place / "new.py").read_text() == "new"
    for left_out in ("gone.py", "work"):
        assert not (place / left_out).exists()
    assert not (made.folder / "customers.csv").exists()

    made.override(Overrides(fit={"tree": {"depth": 9}}))
    commit = made.commit("Run 1")
    assert git(made.folder, "status", "--porcelain") == ""
    # What a run writes over is no change of what it is trained from.
    (place / "dvc.lock").write_text("schema: '2.0'\nstages: {prepare: {cmd: x}}\n")
    (place / "metrics.json").write_text('{"accuracy": 1}')
    (place / "examples.json").write_text("[]")
    assert git(made.folder, "status", "--porcelain") == ""
    assert worktree.head(made.folder) == commit
    (place / "model.py").write_text("a change")
    assert "model.py" in git(made.folder, "status", "--porcelain")

    name = made.keep("20260101T000000-abcdef", "succeeded: v1")
    assert name == "refs/slipway/runs/20260101T000000-abcdef"
    told = git(root, "show", f"{commit}:{PLACE}/params.yaml")
    assert yaml.safe_load(told)["fit"] == {"power": 5, "tree": {"depth": 9}}
    assert git(root, "show", f"{name}:{PLACE}/metrics.json") == '{"accuracy": 1}'
    assert "prepare" in git(root, "show", f"{name}:{PLACE}/dvc.lock")
    assert git(root, "show", f"{name}:{PLACE}/examples.json") == "[]"
    # On no branch, and the owner's files are as they were.
    assert git(root, "log", "--format=%s").split() == ["first"]
    assert git(root, "status", "--porcelain") == before
    worktree.forget(root, "20260101T000000-abcdef")
    assert git(root, "for-each-ref", "refs/slipway") == ""


def test_feedback_is_a_data_version_in_the_shared_cache(root: Path) -> None:
    made = copy(root)
    rows = root.parent / "rows"
    rows.mkdir()
    (rows / "train.parquet").write_bytes(b"rows")
    first = made.add_feedback(rows)
    assert made.add_feedback(rows) == first
    prepare = yaml.safe_load((made.project.folder / "dvc.yaml").read_text())["stages"]["prepare"]
    assert prepare["cmd"] == [*("python -m slipway prepare", "python -m slipway.retraining.extend")]
    assert prepare["deps"] == ["data.py", "feedback", "../../../slipway/retraining/extend.py"]
    made.commit("Run 1")
    assert first in git(made.folder, "show", f"HEAD:{PLACE}/feedback.dvc")
    assert "train.parquet" not in git(made.folder, "ls-files")
    # Kept with the repository's own data, not with the copy, which goes.
    digits = first.removesuffix(".dir")
    kept = root / ".dvc" / "cache" / "files" / "md5" / digits[:2] / f"{digits[2:]}.dir"
    assert kept.is_file()
    (rows / "train.parquet").write_bytes(b"other rows")
    assert made.add_feedback(rows) != first


def test_without_a_commit_or_without_git_it_is_a_plain_copy(tmp_path: Path) -> None:
    fresh = written(tmp_path / "fresh" / "repository")
    git(fresh, "init", "--quiet")
    plain = written(tmp_path / "plain" / "repository")
    (plain / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    (plain / ".slipway").mkdir()
    (plain / ".slipway" / "mlflow.db").write_text("a registry")
    names = []
    for root in (fresh, plain):
        made = copy(root)
        assert (made.project.folder / "params.yaml").read_text() == PARAMS
        assert not (made.folder / ".slipway").exists()
        assert made.commit("Run 1")
        assert git(made.folder, "status", "--porcelain") == ""
        names.append(made.keep("1", "succeeded"))
    assert names == ["refs/slipway/runs/1", None]


def test_a_copy_is_whole_or_absent(root: Path, tmp_path: Path) -> None:
    (root / ".dvc" / "config").write_text("[core\n")
    with pytest.raises(WorktreeFault, match="dvc cache"):
        copy(root)
    assert not (root.parent / "tree").exists()
    shutil.copy(ROOT / ".dvc" / "config", root / ".dvc" / "config")
    made = copy(root)
    (made.project.folder / "params.yaml").write_text("fit: {}")
    made.make()
    assert (made.project.folder / "params.yaml").read_text() == "fit: {}"


@pytest.mark.parametrize("left", ["", "schema: '2.0'\nstages:\n  prepare:\n    cmd: [", "\0\0"])
def test_what_a_killed_dvc_has_left_is_cleared(root: Path, left: str) -> None:
    made = copy(root)
    lock, rwlock = made.project.folder / "dvc.lock", made.folder / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(exist_ok=True)
    rwlock.write_text("{")
    made.unlock()
    assert lock.is_file()
    assert not rwlock.exists()
    lock.write_text(left)
    made.unlock()
    assert not lock.exists()

"""A copy of the repository to train in, so that the user's own files stay as they are.

It is a git clone with the user's uncommitted changes on top. It shares DVC's cache with the
repository, so stages that are up to date there are not repeated here, and the other way round.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from services.trainer.overrides import Overrides
from slipway.project import Project
from slipway.repro import dvc_environment

# The folders that training reads. New files elsewhere may be large data of the user.
NEEDED = ("pipelines", "slipway", "infra/environment")
# What is not copied from a repository without git.
LEFT_OUT = {".git", ".slipway", "__pycache__", "work", "cache", "tmp", "node_modules"}
# The refs of the runs' commits, which are on no branch: `git show refs/slipway/runs/ID`.
REFS = "refs/slipway/runs"
# The files in the project's folder that a run overwrites; it is not trained from them.
LOCK = "dvc.lock"
PRODUCTS = (LOCK, "metrics.json", "examples.json")
FEEDBACK = "feedback"
AUTHOR = ("-c", "user.name=Slipway", "-c", "user.email=slipway@localhost")
PLAIN = ("-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0")


class WorktreeFault(Exception):
    """Raised if the copy cannot be made; the message is git's or DVC's."""


@dataclass(frozen=True)
class Worktree:
    """The copy in `folder` of the repository in `root`, for one project."""

    root: Path
    folder: Path
    track: str
    name: str

    @property
    def project(self) -> Project:
        """The project in the copy."""
        return Project(self.folder / "pipelines" / self.track / self.name)

    def make(self) -> None:
        """Make the copy, whole or not at all; an existing one stays as it is.

        Raises:
            WorktreeFault: git or DVC failed.
            OSError: the disk is full or failed.
        """
        if self.folder.is_dir():
            return
        new = self.folder.with_name(f"{self.folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        if head(self.root):
            git(self.root, "clone", "--quiet", "--shared", "--no-tags", str(self.root), str(new))
            copied = changed_files(self.root)
        else:
            git(self.root, "init", "--quiet", str(new))
            copied = all_files(self.root)
        for name in copied:
            copy_file(self.root / name, new / name)
        self._share_cache(new)
        self._prepare_products(new)
        new.rename(self.folder)

    def _prepare_products(self, new: Path) -> None:
        # In a project that was never trained none of them is in git yet. DVC refuses a lock that
        # git ignores, so an empty lock is written instead.
        project = f"pipelines/{self.track}/{self.name}"
        with (new / ".git" / "info" / "exclude").open("a") as stream:
            stream.write("".join(f"/{project}/{each}\n" for each in PRODUCTS if each != LOCK))
        lock = new / project / LOCK
        if not lock.exists():
            lock.write_text("schema: '2.0'\nstages: {}\n")

    def _share_cache(self, new: Path) -> None:
        cache = dvc(self.root, "cache", "dir", environment={}).strip()
        place = new / ".dvc"
        place.mkdir(exist_ok=True)
        (place / "config.local").write_text(f"[cache]\n    dir = {cache}\n")

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands in the copy: its own code, no git variables of the user."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        kept["PATH"] = dvc_environment()["PATH"]
        return {
            **kept,
            "PYTHONPATH": str(self.folder),
            "PYTHONUNBUFFERED": "1",
            # DVC would leave a folder below /var for each copy.
            "DVC_SITE_CACHE_DIR": str(self.folder / ".dvc" / "tmp" / "site"),
        }

    def override(self, overrides: Overrides) -> None:
        """Write the run's parameters into the copy's `params.yaml`."""
        file = self.project.folder / "params.yaml"
        rewrite(file, overrides.merged(yaml.safe_load(file.read_text())))

    def add_feedback(self, rows: Path) -> str:
        """Make the folder `rows` a data version that `prepare` depends on; return its md5.

        A second command of the stage appends it to the splits. `dvc.lock` holds its md5, so a run
        over the same feedback is up to date.
        """
        place = self.project.folder
        shutil.rmtree(place / FEEDBACK, ignore_errors=True)
        shutil.copytree(rows, place / FEEDBACK)
        dvc(place, "add", "--quiet", FEEDBACK, environment=self.environment)
        file = place / "dvc.yaml"
        stages = yaml.safe_load(file.read_text())
        prepare = stages["stages"]["prepare"]
        command = "python -m slipway.stages.extend"
        own = prepare["cmd"] if isinstance(prepare["cmd"], list) else [prepare["cmd"]]
        if command not in own:
            prepare["cmd"] = [*own, command]
            prepare["deps"] = [*prepare["deps"], FEEDBACK, "../../../slipway/stages/extend.py"]
            rewrite(file, stages)
        return str(yaml.safe_load((place / f"{FEEDBACK}.dvc").read_text())["outs"][0]["md5"])

    def commit(self, message: str) -> str:
        """Commit what the run is trained from; return the commit's id.

        The files that the run then overwrites do not count as changes: the registry's `git_commit`
        names this commit without a mark that the tree is dirty.
        """
        self._track_products(True)
        git(self.folder, "add", "--all")
        git(self.folder, *AUTHOR, *PLAIN, "commit", "--quiet", "--allow-empty", "-m", message)
        self._track_products(False)
        return head(self.folder)

    def keep(self, run: str, message: str) -> str | None:
        """Commit what the run has written, and keep both commits in the user's repository.

        Returns their ref; None if the repository does not use git.
        """
        self._track_products(True)
        place = self.project.folder.relative_to(self.folder)
        written = [str(place / each) for each in PRODUCTS if (self.folder / place / each).exists()]
        if written:
            git(self.folder, "add", "--force", *written)
        git(self.folder, *AUTHOR, *PLAIN, "commit", "--quiet", "--allow-empty", "-m", message)
        if not own_git(self.root):
            return None
        name = f"{REFS}/{run}"
        git(self.root, *PLAIN, "fetch", "--quiet", str(self.folder), f"+HEAD:{name}")
        return name

    def _track_products(self, tracked: bool) -> None:
        place = self.project.folder.relative_to(self.folder)
        names = [str(place / each) for each in PRODUCTS]
        in_git = git(self.folder, "ls-files", "-z", "--", *names).split("\0")
        if found := [each for each in in_git if each]:
            flag = "--no-skip-worktree" if tracked else "--skip-worktree"
            git(self.folder, "update-index", flag, "--", *found)

    def unlock(self) -> None:
        """Remove what a killed DVC left: locks, and a truncated `dvc.lock`.

        The caller must know that no other process works in the copy.
        """
        for name in ("lock", "rwlock", "rwlock.lock"):
            (self.folder / ".dvc" / "tmp" / name).unlink(missing_ok=True)
        lock = self.project.folder / LOCK
        if lock.exists() and not is_mapping(lock):
            lock.unlink()


def forget(root: Path, run: str) -> None:
    """Delete the ref of a run's commits."""
    if own_git(root):
        git(root, "update-ref", "-d", f"{REFS}/{run}")


def head(folder: Path) -> str:
    """Return the commit that is checked out; empty if there is no repository or no commit."""
    if not own_git(folder):
        return ""
    done = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    return done.stdout.strip()


def own_git(folder: Path) -> bool:
    """Return whether the folder is the root of a git repository, not a folder in one."""
    done = _git(folder, "rev-parse", "--show-toplevel")
    return done.returncode == 0 and Path(done.stdout.strip()) == folder.resolve()


def changed_files(root: Path) -> list[str]:
    """Return the files that differ from the commit, and new ones that training reads."""
    tracked = git(root, "diff", "--name-only", "--no-renames", "-z", "HEAD")
    new = git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *NEEDED)
    return [name for name in (tracked + new).split("\0") if name]


def all_files(root: Path) -> list[str]:
    """Return every file that training may read, for a repository without a commit."""
    if own_git(root):
        names = git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
        return [name for name in names.split("\0") if name]
    found = []
    for folder, below, files in os.walk(root):
        below[:] = [each for each in below if each not in LEFT_OUT and not each.startswith(".venv")]
        found += [str((Path(folder) / file).relative_to(root)) for file in files]
    return sorted(found)


def copy_file(source: Path, target: Path) -> None:
    """Copy the file; delete `target` if `source` was deleted."""
    if not source.exists() and not source.is_symlink():
        target.unlink(missing_ok=True)
    elif not source.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)


def git(folder: Path, *words: str) -> str:
    """Run git and return its output.

    Raises:
        WorktreeFault: git failed.
    """
    done = _git(folder, *words)
    if done.returncode:
        raise WorktreeFault(f"git {words[0]}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _git(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    # GIT_ variables would point git at another repository. It must not write to the user's.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *words],
            env={**kept, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise WorktreeFault("git is not on this machine; the trainer needs it") from error


def dvc(folder: Path, *words: str, environment: dict[str, str]) -> str:
    """Run DVC and return its output.

    Raises:
        WorktreeFault: DVC failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=folder,
        env=environment or dvc_environment(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise WorktreeFault(f"dvc {words[0]}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def rewrite(file: Path, values: Any) -> None:
    """Replace the file with the values as YAML."""
    file.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def is_mapping(file: Path) -> bool:
    """Return whether the YAML file is complete: a killed DVC leaves an empty or truncated one."""
    try:
        return isinstance(yaml.safe_load(file.read_text()), dict)
    except (yaml.YAMLError, UnicodeDecodeError):
        return False

"""A copy of the repository to train in, so that the user's own files stay as they are.

It is a git clone with the user's uncommitted changes on top, and shares DVC's cache with the
repository: what is up to date there is not trained again here, and what is trained here is there.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from slipway.project import Project
from slipway.repro import dvc_environment
from slipway.retraining.overrides import Overrides

# What training reads. New files elsewhere are the user's notes, or his data: they may be large.
NEEDED = ("pipelines", "slipway", "infra/environment")
# Without git, what is not copied.
LEFT_OUT = {".git", ".slipway", "__pycache__", "work", "cache", "tmp", "node_modules"}
# The commits of runs: seen by `git show refs/slipway/runs/ID`, on no branch.
REFS = "refs/slipway/runs"
# What a run writes over in the project's folder: no change of what it was trained from.
LOCK = "dvc.lock"
PRODUCTS = (LOCK, "metrics.json", "examples.json")
FEEDBACK = "feedback"
AUTHOR = ("-c", "user.name=Slipway", "-c", "user.email=slipway@localhost")
PLAIN = ("-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0")


class WorktreeFault(Exception):
    """The copy cannot be made; the message is git's or DVC's."""


@dataclass(frozen=True)
class Worktree:
    """The copy in `folder` of the repository in `root`, for one project."""

    root: Path
    folder: Path
    track: str
    name: str

    @property
    def project(self) -> Project:
        return Project(self.folder / "pipelines" / self.track / self.name)

    def make(self) -> None:
        """Copy, whole or not at all; one that is there stays.

        Raises:
            WorktreeFault: git or DVC refused.
            OSError: the disk is full or refuses.
        """
        if self.folder.is_dir():
            return
        new = self.folder.with_name(f"{self.folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        if head(self.root):
            git(self.root, "clone", "--quiet", "--shared", "--no-tags", str(self.root), str(new))
            copied = changed(self.root)
        else:
            git(self.root, "init", "--quiet", str(new))
            copied = listed(self.root)
        for name in copied:
            bring(self.root / name, new / name)
        self._share_cache(new)
        self._prepare_products(new)
        new.rename(self.folder)

    def _prepare_products(self, new: Path) -> None:
        # A project that was never trained has none of them in git yet. DVC refuses a lock that git
        # ignores, so that one is begun.
        ours = f"pipelines/{self.track}/{self.name}"
        with (new / ".git" / "info" / "exclude").open("a") as stream:
            stream.write("".join(f"/{ours}/{each}\n" for each in PRODUCTS if each != LOCK))
        lock = new / ours / LOCK
        if not lock.exists():
            lock.write_text("schema: '2.0'\nstages: {}\n")

    def _share_cache(self, new: Path) -> None:
        cache = dvc(self.root, "cache", "dir", environment={}).strip()
        place = new / ".dvc"
        place.mkdir(exist_ok=True)
        (place / "config.local").write_text(f"[cache]\n    dir = {cache}\n")

    @property
    def environment(self) -> dict[str, str]:
        """Of every command that runs in the copy: its own code, and none of the user's git."""
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
        """Make the folder `rows` a data version that `prepare` depends on; its md5.

        The stage's second command appends it to the splits, so `dvc.lock` names it, and a run
        over the same feedback is the same run.
        """
        place = self.project.folder
        shutil.rmtree(place / FEEDBACK, ignore_errors=True)
        shutil.copytree(rows, place / FEEDBACK)
        dvc(place, "add", "--quiet", FEEDBACK, environment=self.environment)
        file = place / "dvc.yaml"
        stages = yaml.safe_load(file.read_text())
        prepare = stages["stages"]["prepare"]
        command = "python -m slipway.retraining.extend"
        own = prepare["cmd"] if isinstance(prepare["cmd"], list) else [prepare["cmd"]]
        if command not in own:
            prepare["cmd"] = [*own, command]
            prepare["deps"] = [*prepare["deps"], FEEDBACK, "../../../slipway/retraining/extend.py"]
            rewrite(file, stages)
        return str(yaml.safe_load((place / f"{FEEDBACK}.dvc").read_text())["outs"][0]["md5"])

    def commit(self, message: str) -> str:
        """What the run is trained from, as a commit; its id.

        What the run then writes over does not count as a change of it: the registry's
        `git_commit` names this commit, without a mark that the tree differs.
        """
        self._watch(True)
        git(self.folder, "add", "--all")
        git(self.folder, *AUTHOR, *PLAIN, "commit", "--quiet", "--allow-empty", "-m", message)
        self._watch(False)
        return head(self.folder)

    def keep(self, run: str, message: str) -> str | None:
        """Commit what the run has written, and keep both commits in the user's repository.

        Returns the name that git knows them by; None where the repository is no git one.
        """
        self._watch(True)
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

    def _watch(self, wanted: bool) -> None:
        place = self.project.folder.relative_to(self.folder)
        names = [str(place / each) for each in PRODUCTS]
        known = git(self.folder, "ls-files", "-z", "--", *names).split("\0")
        if found := [each for each in known if each]:
            flag = "--no-skip-worktree" if wanted else "--skip-worktree"
            git(self.folder, "update-index", flag, "--", *found)

    def unlock(self) -> None:
        """Clear what a DVC that was killed has left: locks, and a `dvc.lock` cut short.

        Only for who knows that no other process works in the copy.
        """
        for name in ("lock", "rwlock", "rwlock.lock"):
            (self.folder / ".dvc" / "tmp" / name).unlink(missing_ok=True)
        lock = self.project.folder / LOCK
        if lock.exists() and not whole(lock):
            lock.unlink()


def forget(root: Path, run: str) -> None:
    """Let go of a run's commits."""
    if own_git(root):
        git(root, "update-ref", "-d", f"{REFS}/{run}")


def head(folder: Path) -> str:
    """The commit that is checked out; empty if the folder is no repository, or has none."""
    if not own_git(folder):
        return ""
    done = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    return done.stdout.strip()


def own_git(folder: Path) -> bool:
    """Whether the folder is itself a git repository, not only below one."""
    done = _git(folder, "rev-parse", "--show-toplevel")
    return done.returncode == 0 and Path(done.stdout.strip()) == folder.resolve()


def changed(root: Path) -> list[str]:
    """Files that differ from the commit, and new ones where training reads."""
    tracked = git(root, "diff", "--name-only", "--no-renames", "-z", "HEAD")
    new = git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *NEEDED)
    return [name for name in (tracked + new).split("\0") if name]


def listed(root: Path) -> list[str]:
    """Every file that training may read, for a repository without a commit."""
    if own_git(root):
        told = git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
        return [name for name in told.split("\0") if name]
    found = []
    for folder, below, files in os.walk(root):
        below[:] = [each for each in below if each not in LEFT_OUT and not each.startswith(".venv")]
        found += [str((Path(folder) / file).relative_to(root)) for file in files]
    return sorted(found)


def bring(source: Path, target: Path) -> None:
    """The file as it is at `source`, gone if it is gone there."""
    if not source.exists() and not source.is_symlink():
        target.unlink(missing_ok=True)
    elif not source.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)


def git(folder: Path, *words: str) -> str:
    """Raises WorktreeFault: git refused."""
    done = _git(folder, *words)
    if done.returncode:
        raise WorktreeFault(f"git {words[0]}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _git(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    # Those variables would turn git to another repository; and it shall not write to the user's.
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
    """Raises WorktreeFault: DVC refused."""
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
    file.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def whole(file: Path) -> bool:
    """Whether it is what DVC writes; killed while writing it leaves an empty or a cut one."""
    try:
        return isinstance(yaml.safe_load(file.read_text()), dict)
    except (yaml.YAMLError, UnicodeDecodeError):
        return False

"""A separate git repository with this checkout's files, to change and compare."""

import shutil
import subprocess
from pathlib import Path

from slipway.project import discover
from tests.conftest import copy_checkout


def git(folder: Path, *words: str) -> str:
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    done = subprocess.run(
        ["git", "-C", str(folder), *author, *words], check=True, capture_output=True, text=True
    )
    return done.stdout


# Projects of different kinds: tables and torch, and two with one data set. DVC reads every project
# in each command, so a copy of all of them would slow down with each new project.
KEPT = ("film_retrieval", "fashion_mnist", "movies", "spam", "titanic")


def commit_checkout(root: Path, *others: str) -> Path:
    """Copy this checkout with a few projects and the others; its branch main is one commit."""
    copy_checkout(root)
    for project in discover(root):
        if project.name not in (*KEPT, *others):
            shutil.rmtree(project.folder)
    git(root, "init", "--quiet", "-b", "main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "as it is")
    return root


def restore(root: Path) -> None:
    """Undo all changes since `commit_checkout`."""
    git(root, "checkout", "--quiet", "--force", "main")
    git(root, "clean", "--quiet", "-d", "--force")

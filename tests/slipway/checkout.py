"""A git repository of its own that holds this checkout's files, to change and compare."""

import subprocess
from pathlib import Path

from tests.conftest import copy_checkout


def git(folder: Path, *words: str) -> str:
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    done = subprocess.run(
        ["git", "-C", str(folder), *author, *words], check=True, capture_output=True, text=True
    )
    return done.stdout


def commit_checkout(root: Path) -> Path:
    """Its branch main is one commit."""
    copy_checkout(root)
    git(root, "init", "--quiet", "-b", "main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "as it is")
    return root


def restore(root: Path) -> None:
    """As `commit_checkout` left it."""
    git(root, "checkout", "--quiet", "--force", "main")
    git(root, "clean", "--quiet", "-d", "--force")

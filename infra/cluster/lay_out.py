"""`python -m infra.cluster.lay_out FOLDER [COMMAND ...]`: copy the image's repository to FOLDER.

Training writes beside what it reads, and a run is a commit; an image is read-only and holds no git
repository. Files that an older image copied to FOLDER are removed first; training results stay.
Then COMMAND replaces this process, with FOLDER as its working directory.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from slipway import home

# What belongs to one machine, or is made again.
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".slipway", "__pycache__", "work", ".*_cache", "config.local"
)
AUTHOR = ("-c", "user.name=Slipway", "-c", "user.email=slipway@localhost")


def lay_out(folder: Path) -> None:
    """Copy the image's repository, with git and a DVC cache in Slipway's home."""
    source = home.root()
    if source == folder:
        sys.exit(f"{folder} is the source itself; run this from the image's own code folder")
    folder.mkdir(parents=True, exist_ok=True)
    _git(folder, "init", "--quiet")
    for name in filter(None, _git(folder, "ls-files", "-z").split("\0")):
        (folder / name).unlink(missing_ok=True)
    shutil.copytree(source, folder, ignore=LEFT_OUT, dirs_exist_ok=True)
    own = folder / ".dvc" / "config.local"
    own.parent.mkdir(exist_ok=True)
    own.write_text(f"[cache]\n    dir = {home.home() / 'dvc'}\n")
    _git(folder, "add", "--all")
    _git(folder, *AUTHOR, "commit", "--quiet", "--allow-empty", "-m", "As in the image")


def _git(folder: Path, *words: str) -> str:
    # git refuses a folder with another owner, and a volume's root has one.
    safe = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": str(folder),
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **safe},
    )
    return done.stdout


def main(folder: Path, command: list[str]) -> None:
    lay_out(folder)
    if command:
        os.chdir(folder)
        # Imports come from the copy, not from the image.
        os.environ["PYTHONPATH"] = str(folder)
        os.execvp(command[0], command)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), sys.argv[2:])

"""`python -m slipway.cluster.lay_out FOLDER [COMMAND ...]`: the image's repository, to be written.

Training writes beside what it reads, and a run is a commit; an image can keep neither. What an
older image laid out in FOLDER is taken away first; what was trained there stays. Then COMMAND runs
in FOLDER, in this process's place.
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
    """The repository as the image has it, in git, with a DVC cache in Slipway's home."""
    source = home.root()
    if source == folder:
        sys.exit(f"{folder} would be copied onto itself; run this where the image's code lies")
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
    # git refuses a folder of another owner, and a volume's root is another's.
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
        # Its code comes from here, not from where the image holds it.
        os.environ["PYTHONPATH"] = str(folder)
        os.execvp(command[0], command)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), sys.argv[2:])

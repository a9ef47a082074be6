"""Lay out the image's repository where it can be written: `python lay_out.py FOLDER`.

Training writes beside what it reads, and a run is a commit; an image can keep neither. What lies
in FOLDER from an older image is written over, and committed as the newer one's.
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
    """The repository as the image has it, in git, with a DVC cache that outlives the pod."""
    shutil.copytree(home.root(), folder, ignore=LEFT_OUT, dirs_exist_ok=True)
    own = folder / ".dvc"
    own.mkdir(exist_ok=True)
    own.joinpath("config.local").write_text(f"[cache]\n    dir = {home.home() / 'dvc'}\n")
    for words in (
        ("init", "--quiet"),
        ("add", "--all"),
        (*AUTHOR, "commit", "--quiet", "--allow-empty", "-m", "As in the image"),
    ):
        # git refuses a folder of another owner, and a volume's root is another's.
        safe = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory"}
        subprocess.run(
            ["git", "-C", str(folder), *words],
            check=True,
            env={**os.environ, **safe, "GIT_CONFIG_VALUE_0": str(folder)},
        )


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]).absolute())

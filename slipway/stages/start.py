"""What every stage does before it runs: empty folders and seeded generators."""

import random
import shutil
from pathlib import Path

import numpy as np


def empty_folder(folder: Path) -> Path:
    """Make `folder` anew, without what an earlier run left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def seed_globally() -> None:
    """Seed the global generators: a last resort, since every project seeds what it draws itself."""
    random.seed(0)
    np.random.seed(0)

"""Set-up that every stage shares: empty output folders and seeded random generators."""

import random
import shutil
from pathlib import Path

import numpy as np


def empty_folder(folder: Path) -> Path:
    """Create `folder`, empty even if an earlier run wrote into it, and return it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def seed_globally() -> None:
    """Seed the global generators as a safety net; projects seed their own generators."""
    random.seed(0)
    np.random.seed(0)

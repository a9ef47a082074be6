"""Checkpoints: a killed training continues after its last complete epoch."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch.optim.lr_scheduler import LRScheduler

CURVES, KEY = "curves.json", "key.txt"


def key_of(*parts: object) -> str:
    """Return a digest of what a training depends on, so that no other training resumes from it.

    Arrays and bytes count by their content, everything else by its `repr`.
    """
    digest = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes | memoryview) else repr(part).encode()
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """The state of one training in a folder: weights, optimizer, generators and curves."""

    folder: Path
    key: str
    """The digest of what the training depends on; a checkpoint with another key is discarded."""

    def resume(
        self, accelerator: Accelerator, scheduler: LRScheduler | None
    ) -> dict[str, list[float]]:
        """Restore the state and return the curves so far; empty if there is no such checkpoint."""
        self._restore_previous()
        found = self.folder / KEY
        if not found.is_file() or found.read_text() != self.key:
            return {}
        _register(accelerator, scheduler)
        accelerator.load_state(str(self.folder))
        curves: dict[str, list[float]] = json.loads((self.folder / CURVES).read_text())
        return curves

    def save(
        self, accelerator: Accelerator, scheduler: LRScheduler | None, curves: dict[str, Any]
    ) -> None:
        """Write the state after a complete epoch; the one before is kept until this is complete."""
        _register(accelerator, scheduler)
        new, old = (self.folder.with_name(f"{self.folder.name}.{each}") for each in ("new", "old"))
        if accelerator.is_main_process:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(new))
        accelerator.wait_for_everyone()
        if not accelerator.is_main_process:
            return
        (new / CURVES).write_text(json.dumps(curves))
        (new / KEY).write_text(self.key)
        # A folder cannot replace another in one step: after a kill between these two, the complete
        # state is in `old`.
        shutil.rmtree(old, ignore_errors=True)
        if self.folder.exists():
            os.replace(self.folder, old)
        os.replace(new, self.folder)
        shutil.rmtree(old, ignore_errors=True)

    def _restore_previous(self) -> None:
        old = self.folder.with_name(f"{self.folder.name}.old")
        if not self.folder.exists() and old.exists():
            os.replace(old, self.folder)


def _register(accelerator: Accelerator, scheduler: LRScheduler | None) -> None:
    if scheduler is not None and scheduler not in accelerator._custom_objects:
        accelerator.register_for_checkpointing(scheduler)

"""Train a project in a scratch folder, and compare the outputs with its committed lock.

The checkout is never written to: neither `dvc.lock` nor any output changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway import arithmetic
from slipway.dependencies.lock import (
    LockDifference,
    input_differences,
    output_differences,
    stages_of,
)
from slipway.fault import Fault
from slipway.project import Project
from slipway.projects.scratch_training import StageFailed, run_stages, separate_registry


class NotComparable(Fault):
    """Raised when a comparison with the lock is impossible; the message says why and what to do."""


@dataclass(frozen=True)
class LockVerdict:
    """The result of training one project again."""

    project: str
    outputs: int
    """The number of files and folders that the lock names."""
    differing: tuple[LockDifference, ...]

    @property
    def equal(self) -> bool:
        return not self.differing


def verify_lock(
    project: Project,
    scratch: Path,
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
    environment: Mapping[str, str] | None = None,
) -> LockVerdict:
    """Run the project's four stages with outputs in the empty folder `scratch`, and compare them.

    Each stage runs in its own process with `environment` (by default this process's), and with a
    separate registry.

    Raises:
        NotComparable: there is no lock, its inputs have changed since, this processor's results are
            not comparable, or a stage fails.
    """
    check_comparable(project)
    lock = stages_of(project.folder / "dvc.lock")
    try:
        run_stages(project, scratch, separate_registry(scratch, environment), on_stage=on_stage)
    except StageFailed as error:
        raise NotComparable(str(error)) from error
    outputs = sum(len(each.get("outs", ())) for each in lock.values())
    return LockVerdict(project.name, outputs, tuple(output_differences(lock, scratch)))


def check_comparable(project: Project) -> None:
    """Raise NotComparable if the project's lock does not apply to this checkout or processor."""
    if not arithmetic.is_x86_64():
        raise NotComparable(arithmetic.unlike_committed())
    lock = stages_of(project.folder / "dvc.lock")
    if not lock:
        raise NotComparable(f"{project.name} has no dvc.lock: slipway repro {project.name}")
    if changed := [str(each) for each in input_differences(project.folder)]:
        shown = "; ".join(changed[:5]) + (" ..." if len(changed) > 5 else "")
        raise NotComparable(
            f"{project.name}: changed since the lock was written: {shown}. "
            f"Write it again: slipway repro {project.name}"
        )

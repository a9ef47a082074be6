"""Training runs as jobs of the engine: their process, their limits, and what is left of them."""

import logging
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import services
from services.jobs.kind import Changes, Command, Kind
from services.trainer import metrics
from services.trainer.journal import Journal
from services.trainer.run import Run, RunFolder, RunOutcome, RunProgress, RunState
from services.trainer.settings import Settings
from services.trainer.worktree import WorktreeFault, forget
from slipway import home

log = logging.getLogger("slipway.trainer")


class TrainingRuns(Kind[Run]):
    """Runs `services.trainer.driver`, which writes the run's outcome into its folder."""

    # A training takes hours: it continues while its trainer is replaced.
    outlives = True

    def __init__(self, settings: Settings, root: Path, journal: Journal) -> None:
        self.settings, self.root, self.journal = settings, root, journal
        self.workers, self.attempts = settings.workers, settings.attempts
        self.end_seconds = settings.end_seconds

    def folder(self, id: str) -> RunFolder:
        """Return the folder of the run with this id."""
        return RunFolder(self.settings.folder / "runs" / id)

    def progress(self, run: Run) -> RunProgress:
        """Return how far the run is.

        Stages that an earlier attempt finished count as done; the stage it was in does not.
        """
        progress = run.progress or self.folder(run.id).progress()
        if progress.attempt < run.attempt:
            return progress.model_copy(update={"stage": "begin"})
        return progress

    def command(self, job: Run) -> Command:
        folder = self.folder(job.id)
        top = str(Path(services.__path__[0]).parent)
        paths = [top, *filter(None, [os.environ.get("PYTHONPATH")])]
        return Command(
            ("services.trainer.driver", str(folder.place), str(job.attempt)),
            folder=self.root,
            errors=folder.output,
            keep_output=True,
            environment={
                "PYTHONPATH": os.pathsep.join(paths),
                "SLIPWAY_HOME": str(home.home()),
                # The default is next to the repository; the copy has another place.
                "SLIPWAY_MIRROR": str(home.mirror()),
            },
        )

    def lock(self, job: Run) -> Path:
        return self.folder(job.id).lock

    def may_start(self, job: Run, running: Sequence[Run]) -> bool:
        """Return whether no run of the same project is in progress."""
        return job.request.project not in {run.request.project for run in running}

    def must_stop(self, job: Run) -> bool:
        late = time.time() - (job.started or 0.0) > self.settings.run_seconds
        return late or job.cancelled_by is not None

    def begun(self, job: Run) -> Changes:
        return {"attempt": job.attempt + 1, "started": time.time()}

    def requeued(self, job: Run, *, interrupted: bool) -> Changes:
        return {"interruptions": job.interruptions + 1} if interrupted else {}

    def interruptions(self, job: Run) -> int:
        return job.interruptions + 1

    def outcome(self, job: Run, status: int | None, *, stopped: bool) -> Changes | None:
        outcome = self.folder(job.id).outcome()
        if outcome is not None:
            return self._changes(job, outcome)
        if job.cancelled_by is not None:
            return self.cancelled(job, job.cancelled_by)
        if stopped:
            seconds = self.settings.run_seconds
            reason = f"took longer than {seconds:g} s (SLIPWAY_TRAINER_RUN_SECONDS)"
            return self._without_outcome(job, RunState.FAILED, reason)
        return None

    def given_up(self, job: Run) -> Changes:
        times = self.interruptions(job)
        reason = f"interrupted {times} times, the last time in {self.progress(job).stage}"
        if last := self.folder(job.id).last_output():
            reason += f": {last}"
        return self._without_outcome(job, RunState.FAILED, reason)

    def cancelled(self, job: Run, actor: str) -> Changes:
        """Return the changes of a run that was cancelled before its process wrote an outcome."""
        progress = self.progress(job)
        reason = f"cancelled by {actor}"
        if job.state is RunState.RUNNING:
            reason += f" in {progress.stage}"
        if progress.stage in ("register", "settle"):
            reason += (
                f"; a version may have been registered: its git_commit would be {progress.commit}"
            )
        return self._without_outcome(job, RunState.CANCELLED, reason)

    def _without_outcome(self, job: Run, state: RunState, reason: str) -> Changes:
        self.folder(job.id).append_log(reason)
        return self._changes(job, RunOutcome(state=state, reason=reason))

    def _changes(self, job: Run, outcome: RunOutcome) -> Changes:
        return {
            "state": outcome.state,
            "ended": time.time(),
            "outcome": outcome,
            "progress": self.folder(job.id).progress(),
        }

    def before_end(self, job: Run) -> None:
        """Remove the run's copy, so that nothing is left of a run that is seen to have ended."""
        self._clear(job.id)

    def after_end(self, id: str) -> None:
        run = self.journal.runs[id]
        reason = run.outcome.reason if run.outcome else ""
        metrics.RUNS.labels(run.request.project, run.state).inc()
        log.info("run %s of %s %s: %s", id, run.request.project, run.state, reason)
        self._prune()

    def remove_leftovers(self) -> None:
        """Remove the folders of runs that were never queued, and the copies of ended runs."""
        place = self.settings.folder / "runs"
        place.mkdir(exist_ok=True)
        for folder in place.iterdir():
            run = self.journal.runs.get(folder.name)
            if run is None:
                shutil.rmtree(folder, ignore_errors=True)
            elif run.state.ended:
                self._clear(run.id)

    def _clear(self, id: str) -> None:
        """Remove the run's copy; its results are in DVC's cache and in git."""
        folder = self.folder(id)
        for place in (folder.tree, folder.feedback, folder.tree.with_name("tree.new")):
            shutil.rmtree(place, ignore_errors=True)

    def _prune(self) -> None:
        """Remove logs and commits of the oldest runs beyond `keep_runs`."""
        ended = [run for run in self.journal.runs.values() if run.state.ended]
        for run in ended[: -self.settings.keep_runs]:
            folder = self.folder(run.id).place
            if folder.is_dir():
                with suppress(WorktreeFault):
                    forget(self.root, run.id)
                shutil.rmtree(folder, ignore_errors=True)

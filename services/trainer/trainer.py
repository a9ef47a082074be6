"""Training runs: accept requests and alarms, queue runs, and cancel them."""

import os
import shutil
import sqlite3
import time
from pathlib import Path

from filelock import FileLock, Timeout

from services.jobs.engine import JobEngine
from services.jobs.kind import Ended, QueueFull, UnknownJob
from services.trainer import metrics
from services.trainer.decision import DAY, Alarm, AlertDecision, AlertOutcome, decide
from services.trainer.journal import Journal
from services.trainer.kind import TrainingRuns
from services.trainer.rollouts import Rollouts, under_way
from services.trainer.run import Request, Run, RunFolder, RunOrder, RunProgress, RunState, new_id
from services.trainer.settings import Settings
from slipway.files import replace_text
from slipway.predictions.feedback_store import labels_came
from slipway.project import Project, discover
from slipway.training.labelled import FeedbackUse


class AnotherTrainer(Exception):
    """Raised if another trainer owns the queue: two of them would start each run twice."""


class UnknownProject(LookupError):
    """Raised if the repository has no such project."""


class Trainer:
    """Owns the queue of one home. All methods may be called from any thread."""

    def __init__(self, settings: Settings, root: Path) -> None:
        """Lock the queue; raise AnotherTrainer if another process owns it."""
        self.settings, self.root = settings, root
        settings.folder.mkdir(parents=True, exist_ok=True)
        self._owner = _lock_queue(settings.folder)
        self._rollouts = Rollouts()
        self.journal = Journal(settings.folder)
        self._runs = TrainingRuns(settings, root, self.journal)
        self._engine = JobEngine(self.journal, self._runs)

    def start(self) -> None:
        """Take over the runs of an earlier trainer, and start to work through the queue."""
        self._engine.start("trainer")
        if self.settings.rollout:
            self._rollouts.start()

    def stop(self) -> None:
        """Stop the runs in progress; the next trainer resumes them where they were."""
        self._engine.stop()
        self._rollouts.stop()
        self._owner.release()

    @property
    def turning(self) -> bool:
        """True if the thread that starts and supervises runs is alive."""
        return self._engine.turning

    def folder(self, id: str) -> RunFolder:
        """Return the folder of the run with this id."""
        return self._runs.folder(id)

    def project(self, name: str) -> Project:
        """Return the project of this name; raise UnknownProject if there is none."""
        projects = {project.name: project for project in discover(self.root)}
        if name not in projects:
            raise UnknownProject(f"no project {name!r}; known: {', '.join(projects)}")
        return projects[name]

    def submit(self, request: Request, *, actor: str, trigger: str = "request") -> Run:
        """Queue a run.

        Raises:
            UnknownProject: the repository has no such project.
            BadParameters: the project has no such parameter, or one of another type.
            ValueError: the project's params.yaml is malformed.
            QueueFull: the queue holds as many runs as it may.
            OSError: the run cannot be written to disk, so it is not queued.
        """
        project = self.project(request.project)
        if request.parameters:
            request.parameters.check(project.params)
        with self._engine.lock:
            if len(self.journal.waiting()) >= self.settings.queue:
                raise QueueFull(f"{self.settings.queue} runs are already queued")
            run = Run.model_validate(
                {
                    "id": new_id(),
                    "request": request,
                    "trigger": trigger,
                    "actor": actor,
                    "requested": time.time(),
                }
            )
            self._prepare(run, project)
            try:
                return self.journal.queued(run)
            except Exception:
                shutil.rmtree(self.folder(run.id).place, ignore_errors=True)
                raise

    def _prepare(self, run: Run, project: Project) -> None:
        folder = self.folder(run.id)
        folder.place.mkdir(parents=True)
        order = RunOrder(
            id=run.id,
            request=run.request,
            track=project.track,
            root=self.root,
            records=self.settings.records,
            rollout=self.settings.rollout,
            feedback_needed=run.trigger == "request",
            log_bytes=self.settings.log_bytes,
        )
        replace_text(folder.order, order.model_dump_json())

    def get(self, id: str) -> Run:
        """Return the run with this id; raise UnknownJob if there is none."""
        if id not in self.journal.runs:
            raise UnknownJob(f"no run {id!r}; GET /v1/runs lists them")
        return self.journal.runs[id]

    def progress(self, run: Run) -> RunProgress:
        """Return how far the run is."""
        return self._runs.progress(run)

    def cancel(self, id: str, *, actor: str) -> Run:
        """Cancel a queued run immediately, a running one once its processes have ended.

        Raises:
            UnknownJob: there is no such run.
            Ended: the run is over.
        """
        with self._engine.lock:
            run = self.get(id)
            if run.state.ended:
                raise Ended(f"run {id} has already {run.state}")
            if run.state is RunState.QUEUED:
                return self._engine.finish(run, self._runs.cancelled(run, actor))
            if run.cancelled_by is None:
                run = self.journal.change(id, "cancelling", cancelled_by=actor)
            return run

    def consider(self, alarm: Alarm) -> AlertDecision:
        """Start a run for the alarm unless there is a reason not to; record the decision."""
        with self._engine.lock:
            now = time.time()
            known = any(project.name == alarm.project for project in discover(self.root))
            decision = decide(
                alarm,
                known=known,
                runs=self.journal.runs.values(),
                settings=self.settings,
                now=now,
                rolling_out=known and self.settings.rollout and under_way(alarm.project),
                labels_came=not known or self._labels_came(alarm.project, now),
            )
            if decision.outcome is AlertOutcome.STARTED:
                run = self.submit(self._request(alarm), actor=alarm.name, trigger="alert")
                decision = decision.model_copy(update={"run": run.id})
            metrics.ALERTS.inc()
            # Alerts can name any project: a label value for each would grow without bound.
            project = alarm.project if known else ""
            metrics.DECISIONS.labels(project, decision.outcome).inc()
            return self.journal.decided(decision)

    def _labels_came(self, project: str, now: float) -> bool:
        """Return whether there are labels that the project's last successful run had not seen."""
        settings = self.settings
        if not (settings.feedback and settings.wait_for_labels):
            return True
        seen = [
            run.requested
            for run in self.journal.runs.values()
            if run.request.project == project and run.state is RunState.SUCCEEDED
        ]
        try:
            return labels_came(
                settings.records,
                project,
                received_since=max(seen, default=0.0),
                predicted_since=now - settings.feedback_days * DAY,
            )
        except (OSError, sqlite3.Error):  # the run itself reports it
            return True

    def _request(self, alarm: Alarm) -> Request:
        settings = self.settings
        use = FeedbackUse(days=settings.feedback_days, test_share=settings.feedback_test_share)
        reason = f"alert {alarm.name}" + (f": {alarm.summary}" if alarm.summary else "")
        return Request(
            project=alarm.project,
            reason=" ".join(reason.split())[:500],
            feedback=use if settings.feedback else None,
        )


def _lock_queue(folder: Path) -> FileLock:
    """Lock the queue; raise AnotherTrainer, with the process that holds it, if it is locked."""
    lock, note = FileLock(folder / "trainer.lock", timeout=0), folder / "trainer.pid"
    try:
        lock.acquire()
    except Timeout:
        holder = note.read_text().strip() if note.is_file() else "unknown"
        raise AnotherTrainer(
            f"another trainer (process {holder}) has the queue in {folder}; stop it, or give this "
            "one a home of its own with SLIPWAY_HOME"
        ) from None
    note.write_text(f"{os.getpid()}\n")
    return lock

"""The queue of runs: starts a process for each run, and records how it ended."""

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

import services
from services.trainer import metrics, process_tree
from services.trainer.decision import Alarm, AlertOutcome, Decision, decide
from services.trainer.journal import Journal
from services.trainer.rollouts import Rollouts, under_way
from services.trainer.run import (
    Request,
    Run,
    RunFolder,
    RunOrder,
    RunOutcome,
    RunProgress,
    State,
    new_id,
)
from services.trainer.settings import Settings
from services.trainer.worktree import WorktreeFault, forget
from slipway import home
from slipway.files import replace_text
from slipway.project import Project, discover
from slipway.training.labelled import FeedbackUse

log = logging.getLogger("slipway.trainer")

LOOP_SECONDS = 0.2


class AnotherTrainer(Exception):
    """Raised if another trainer owns the queue: two of them would start each run twice."""


class UnknownProject(LookupError):
    """Raised if the repository has no such project."""


class UnknownRun(LookupError):
    """Raised if no run has the id."""


class QueueFull(Exception):
    """Raised if the queue holds as many runs as it may."""


class Ended(Exception):
    """Raised if a run cannot be cancelled because it has already ended."""


class Trainer:
    """Owns the queue of one home. All methods may be called from any thread."""

    def __init__(self, settings: Settings, root: Path) -> None:
        """Lock the queue; raise AnotherTrainer if another process owns it."""
        self.settings, self.root = settings, root
        settings.folder.mkdir(parents=True, exist_ok=True)
        self._owner = _lock_queue(settings.folder)
        self._lock = threading.RLock()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stop_requested: dict[str, float] = {}
        self._stopping = threading.Event()
        self._loop: threading.Thread | None = None
        self._rollouts = Rollouts()
        self.journal = Journal(settings.folder)

    def start(self) -> None:
        """Take over the runs of an earlier trainer, and start to work through the queue."""
        self._recover()
        self._loop = threading.Thread(target=self._run_loop, name="trainer", daemon=True)
        self._loop.start()
        if self.settings.rollout:
            self._rollouts.start()

    def stop(self) -> None:
        """Stop the runs in progress; the next trainer resumes them where they were."""
        self._stopping.set()
        self._rollouts.stop()
        if self._loop:
            self._loop.join()
        with self._lock:
            for run in self.journal.running():
                self._end_processes(run.id)
                if self._ended(run) is None:
                    self.journal.change(run.id, "stopped", state=State.QUEUED)
        self._owner.release()

    @property
    def turning(self) -> bool:
        """Whether the thread that starts and supervises runs is alive."""
        return self._loop is not None and self._loop.is_alive()

    def folder(self, id: str) -> RunFolder:
        """Return the folder of the run with this id."""
        return RunFolder(self.settings.folder / "runs" / id)

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
        with self._lock:
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
        """Return the run with this id; raise UnknownRun if there is none."""
        if id not in self.journal.runs:
            raise UnknownRun(f"no run {id!r}; GET /v1/runs lists them")
        return self.journal.runs[id]

    def progress(self, run: Run) -> RunProgress:
        """Return how far the run is.

        Stages that an earlier attempt finished count as done; the stage it was in does not.
        """
        progress = run.progress or self.folder(run.id).progress()
        if progress.attempt < run.attempt:
            return progress.model_copy(update={"stage": "begin"})
        return progress

    def cancel(self, id: str, *, actor: str) -> Run:
        """Cancel a queued run immediately, a running one once its processes have ended.

        Raises:
            UnknownRun: there is no such run.
            Ended: the run is over.
        """
        with self._lock:
            run = self.get(id)
            if run.state.ended:
                raise Ended(f"run {id} has already {run.state}")
            if run.state is State.QUEUED:
                return self._cancelled(run, actor)
            if run.cancelled_by is None:
                run = self.journal.change(id, "cancelling", cancelled_by=actor)
            return run

    def consider(self, alarm: Alarm) -> Decision:
        """Start a run for the alarm unless there is a reason not to; record the decision."""
        with self._lock:
            now = time.time()
            known = any(project.name == alarm.project for project in discover(self.root))
            decision = decide(
                alarm,
                known=known,
                runs=self.journal.runs.values(),
                settings=self.settings,
                now=now,
                rolling_out=known and self.settings.rollout and under_way(alarm.project),
            )
            if decision.outcome is AlertOutcome.STARTED:
                run = self.submit(self._request(alarm), actor=alarm.name, trigger="alert")
                decision = decision.model_copy(update={"run": run.id})
            metrics.ALERTS.inc()
            # Alerts can name any project: a label value for each would grow without bound.
            project = alarm.project if known else ""
            metrics.DECISIONS.labels(project, decision.outcome).inc()
            return self.journal.decided(decision)

    def _request(self, alarm: Alarm) -> Request:
        settings = self.settings
        use = FeedbackUse(days=settings.feedback_days, test_share=settings.feedback_test_share)
        reason = f"alert {alarm.name}" + (f": {alarm.summary}" if alarm.summary else "")
        return Request(
            project=alarm.project,
            reason=" ".join(reason.split())[:500],
            feedback=use if settings.feedback else None,
        )

    def _recover(self) -> None:
        """Adopt the runs that were in progress when the previous trainer ended."""
        with self._lock:
            for run in self.journal.running():
                if self._alive(run):
                    log.info("run %s is still in progress: adopted", run.id)
                    self.journal.change(run.id, "adopted")
            self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        """Remove what a killed trainer left: folders of runs never queued, copies of ended runs."""
        place = self.settings.folder / "runs"
        place.mkdir(exist_ok=True)
        for folder in place.iterdir():
            run = self.journal.runs.get(folder.name)
            if run is None:
                shutil.rmtree(folder, ignore_errors=True)
            elif run.state.ended:
                self._clear(run.id)

    def _run_loop(self) -> None:
        while not self._stopping.wait(LOOP_SECONDS):
            try:
                with self._lock:
                    self._supervise()
                    self._start_queued()
            except Exception:
                log.exception("the queue could not be processed; will retry")
                time.sleep(1)

    def _supervise(self) -> None:
        for run in self.journal.running():
            if self._alive(run):
                self._enforce_limits(run)
            elif self._ended(run) is None:
                self._interrupted(run)

    def _alive(self, run: Run) -> bool:
        """Return whether the run's first process lives; it holds the run's lock until it ends."""
        process = self._processes.get(run.id)
        if process is not None:
            if process.poll() is None:
                return True
            del self._processes[run.id]
            return False
        probe = FileLock(self.folder(run.id).lock, timeout=0)
        try:
            with probe:
                return False
        except Timeout:
            return True

    def _enforce_limits(self, run: Run) -> None:
        late = time.time() - (run.started or 0.0) > self.settings.run_seconds
        if run.cancelled_by is None and not late:
            return
        since = self._stop_requested.setdefault(run.id, time.monotonic())
        if time.monotonic() - since > self.settings.end_seconds:
            process_tree.kill(run.id)
        else:
            process_tree.terminate(run.id)

    def _ended(self, run: Run) -> Run | None:
        """Record how the run ended; return None if its process died before it was done."""
        process_tree.kill(run.id)
        outcome = self.folder(run.id).outcome()
        if outcome is None and run.cancelled_by is not None:
            return self._cancelled(run, run.cancelled_by)
        if outcome is None and run.id in self._stop_requested:
            reason = (
                f"took longer than {self.settings.run_seconds:g} s (SLIPWAY_TRAINER_RUN_SECONDS)"
            )
            return self._stopped(run, State.FAILED, reason)
        return None if outcome is None else self._finish(run, outcome)

    def _stopped(self, run: Run, state: State, reason: str) -> Run:
        """Record the end of a run whose process wrote no outcome."""
        self.folder(run.id).append_log(reason)
        return self._finish(run, RunOutcome(state=state, reason=reason))

    def _cancelled(self, run: Run, actor: str) -> Run:
        stage = self.progress(run).stage
        reason = f"cancelled by {actor}"
        if run.state is State.RUNNING:
            reason += f" in {stage}"
        if stage in ("register", "settle"):
            commit = self.progress(run).commit
            reason += f"; a version may have been registered: its git_commit would be {commit}"
        return self._stopped(run, State.CANCELLED, reason)

    def _finish(self, run: Run, outcome: RunOutcome) -> Run:
        # First, so that nothing is left of a run that is seen to have ended.
        self._clear(run.id)
        run = self.journal.change(
            run.id,
            str(outcome.state),
            state=outcome.state,
            ended=time.time(),
            outcome=outcome,
            progress=self.folder(run.id).progress(),
        )
        metrics.RUNS.labels(run.request.project, outcome.state).inc()
        log.info("run %s of %s %s: %s", run.id, run.request.project, run.state, outcome.reason)
        self._stop_requested.pop(run.id, None)
        self._prune()
        return run

    def _interrupted(self, run: Run) -> None:
        times = run.interruptions + 1
        if times >= self.settings.attempts:
            reason = f"interrupted {times} times, the last time in {self.progress(run).stage}"
            if last := self.folder(run.id).last_output():
                reason += f": {last}"
            self._stopped(run, State.FAILED, reason)
            return
        log.warning("run %s was interrupted; it will be restarted", run.id)
        self.journal.change(run.id, "interrupted", state=State.QUEUED, interruptions=times)

    def _start_queued(self) -> None:
        """Start queued runs, oldest first, and never two of a project at the same time."""
        running = {run.request.project for run in self.journal.running()}
        for run in self.journal.waiting():
            if len(running) >= self.settings.workers:
                return
            if run.request.project not in running:
                self._spawn(run)
                running.add(run.request.project)

    def _spawn(self, run: Run) -> None:
        folder = self.folder(run.id)
        attempt = run.attempt + 1
        self.journal.change(
            run.id, "started", state=State.RUNNING, attempt=attempt, started=time.time()
        )
        top = str(Path(services.__path__[0]).parent)
        paths = [top, *filter(None, [os.environ.get("PYTHONPATH")])]
        with folder.output.open("ab") as out:
            self._processes[run.id] = subprocess.Popen(
                [sys.executable, "-m", "services.trainer.driver", str(folder.place), str(attempt)],
                cwd=self.root,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(paths),
                    "SLIPWAY_HOME": str(home.home()),
                    # The default is next to the repository; the copy has another place.
                    "SLIPWAY_MIRROR": str(home.mirror()),
                    process_tree.MARK: run.id,
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _end_processes(self, id: str) -> None:
        process_tree.terminate(id)
        deadline = time.monotonic() + self.settings.end_seconds
        while process_tree.members(id) and time.monotonic() < deadline:
            time.sleep(0.05)
        process_tree.kill(id)
        if process := self._processes.pop(id, None):
            process.wait()

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

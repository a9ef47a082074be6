"""The queue and its workers: requests become processes, and what these leave, outcomes."""

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
from services.trainer import family, metrics
from services.trainer.decision import Alarm, Answer, Decision, decide
from services.trainer.journal import Journal
from services.trainer.rollouts import Rollouts, under_way
from services.trainer.run import Folder, Order, Outcome, Progress, Request, Run, State, new_id
from services.trainer.settings import Settings
from slipway import home
from slipway.files import replace_text
from slipway.project import Project, discover
from slipway.retraining.labelled import FeedbackUse
from slipway.retraining.worktree import WorktreeFault, forget

log = logging.getLogger("slipway.trainer")

TURN_SECONDS = 0.2


class AnotherTrainer(Exception):
    """Two trainers on one queue would start each run twice."""


class UnknownProject(LookupError):
    """The repository has no such project."""


class UnknownRun(LookupError):
    """No run bears the id."""


class QueueFull(Exception):
    """As many runs wait as may."""


class Ended(Exception):
    """The run has ended: it cannot be cancelled any more."""


class Trainer:
    """Owns the queue of one home. All methods may be called from any thread."""

    def __init__(self, settings: Settings, root: Path) -> None:
        """Raises AnotherTrainer: somebody owns the queue."""
        self.settings, self.root = settings, root
        settings.folder.mkdir(parents=True, exist_ok=True)
        self._owner = _own(settings.folder)
        self._lock = threading.RLock()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._asked: dict[str, float] = {}
        self._stopping = threading.Event()
        self._turning: threading.Thread | None = None
        self._rollouts = Rollouts()
        self.journal = Journal(settings.folder)

    def start(self) -> None:
        self._recover()
        self._turning = threading.Thread(target=self._turn, name="trainer", daemon=True)
        self._turning.start()
        if self.settings.rollout:
            self._rollouts.start()

    def stop(self) -> None:
        """End what runs; the next trainer starts it again, where it was."""
        self._stopping.set()
        self._rollouts.stop()
        if self._turning:
            self._turning.join()
        with self._lock:
            for run in self.journal.running():
                self._end_processes(run.id)
                if self._ended(run) is None:
                    self.journal.change(run.id, "stopped", state=State.QUEUED)
        self._owner.release()

    @property
    def turning(self) -> bool:
        """Whether runs are started and looked after."""
        return self._turning is not None and self._turning.is_alive()

    def folder(self, id: str) -> Folder:
        return Folder(self.settings.folder / "runs" / id)

    def project(self, name: str) -> Project:
        """Raises UnknownProject."""
        projects = {project.name: project for project in discover(self.root)}
        if name not in projects:
            raise UnknownProject(f"no project {name!r}; known: {', '.join(projects)}")
        return projects[name]

    def submit(self, request: Request, *, actor: str, trigger: str = "request") -> Run:
        """Queue a run.

        Raises:
            UnknownProject: there is none of that name.
            BadParameters: the project has no such parameter, or of another kind.
            ValueError: the project's params.yaml is malformed.
            QueueFull: as many wait as may.
            OSError: it cannot be kept: it is not queued.
        """
        project = self.project(request.project)
        if request.parameters:
            request.parameters.check(project.params)
        with self._lock:
            if len(self.journal.waiting()) >= self.settings.queue:
                raise QueueFull(f"{self.settings.queue} runs wait already")
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
        order = Order(
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
        """Raises UnknownRun."""
        if id not in self.journal.runs:
            raise UnknownRun(f"no run {id!r}; GET /v1/runs lists them")
        return self.journal.runs[id]

    def progress(self, run: Run) -> Progress:
        """How far it is; what an attempt before this one has done is kept, where it was is not."""
        progress = run.progress or self.folder(run.id).progress()
        if progress.attempt < run.attempt:
            return progress.model_copy(update={"stage": "begin"})
        return progress

    def cancel(self, id: str, *, actor: str) -> Run:
        """A waiting run is cancelled at once, another one when its processes have ended.

        Raises:
            UnknownRun: there is none.
            Ended: it is over.
        """
        with self._lock:
            run = self.get(id)
            if run.state.ended:
                raise Ended(f"run {id} has {run.state} already")
            if run.state is State.QUEUED:
                return self._cancelled(run, actor)
            if run.cancelled_by is None:
                run = self.journal.change(id, "cancelling", cancelled_by=actor)
            return run

    def consider(self, alarm: Alarm) -> Decision:
        """Start a run for the alarm, or say why not; the decision is kept.

        What the schedule decides again and again, for one reason, is kept once.
        """
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
            if decision.answer is Answer.STARTED:
                run = self.submit(self._wanted(alarm), actor=alarm.name, trigger=alarm.source)
                decision = decision.model_copy(update={"run": run.id})
            metrics.ALERTS.labels(alarm.source).inc()
            # Alerts can name any project: a label for each would never end.
            project = alarm.project if known else ""
            metrics.DECISIONS.labels(project, decision.answer).inc()
            return decision if self._repeated(decision) else self.journal.decided(decision)

    def _wanted(self, alarm: Alarm) -> Request:
        settings = self.settings
        use = FeedbackUse(days=settings.feedback_days, test_share=settings.feedback_test_share)
        told = f"alert {alarm.name}" + (f": {alarm.told}" if alarm.told else "")
        return Request(
            project=alarm.project,
            reason=" ".join(told.split())[:500],
            feedback=use if settings.feedback else None,
        )

    def _repeated(self, decision: Decision) -> bool:
        if decision.alarm.source != "schedule":
            return False
        return any(each.same(decision) for each in reversed(self.journal.decisions[-1000:]))

    def _recover(self) -> None:
        """Runs that were in progress when the trainer before this one ended."""
        with self._lock:
            for run in self.journal.running():
                if self._alive(run):
                    log.info("run %s goes on by itself: adopted", run.id)
                    self.journal.change(run.id, "adopted")
            self._sweep()

    def _sweep(self) -> None:
        """Folders of runs that were never queued: the trainer was killed in between."""
        place = self.settings.folder / "runs"
        place.mkdir(exist_ok=True)
        for folder in place.iterdir():
            run = self.journal.runs.get(folder.name)
            if run is None:
                shutil.rmtree(folder, ignore_errors=True)
            elif run.state.ended:
                self._clear(run.id)

    def _turn(self) -> None:
        while not self._stopping.wait(TURN_SECONDS):
            try:
                with self._lock:
                    self._look_after()
                    self._begin()
            except Exception:
                log.exception("a turn of the queue failed; it is tried again")
                time.sleep(1)

    def _look_after(self) -> None:
        for run in self.journal.running():
            if self._alive(run):
                self._hold_to_limits(run)
            elif self._ended(run) is None:
                self._interrupted(run)

    def _alive(self, run: Run) -> bool:
        """Whether the run's first process lives: it holds the lock as long as it does."""
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

    def _hold_to_limits(self, run: Run) -> None:
        late = time.time() - (run.started or 0.0) > self.settings.run_seconds
        if run.cancelled_by is None and not late:
            return
        asked = self._asked.setdefault(run.id, time.monotonic())
        if time.monotonic() - asked > self.settings.end_seconds:
            family.kill(run.id)
        else:
            family.ask_to_end(run.id)

    def _ended(self, run: Run) -> Run | None:
        """Take note of what came of it; None if its process ended before it was done."""
        family.kill(run.id)
        outcome = self.folder(run.id).outcome()
        if outcome is None and run.cancelled_by is not None:
            return self._cancelled(run, run.cancelled_by)
        if outcome is None and run.id in self._asked:
            told = f"took longer than {self.settings.run_seconds:g} s (SLIPWAY_TRAINER_RUN_SECONDS)"
            return self._cut_off(run, State.FAILED, told)
        return None if outcome is None else self._over(run, outcome)

    def _cut_off(self, run: Run, state: State, told: str) -> Run:
        """It has ended, but not by itself."""
        self.folder(run.id).say(told)
        return self._over(run, Outcome(state=state, reason=told))

    def _cancelled(self, run: Run, actor: str) -> Run:
        stage = self.progress(run).stage
        told = f"cancelled by {actor}"
        if run.state is State.RUNNING:
            told += f" in {stage}"
        if stage in ("register", "settle"):
            commit = self.progress(run).commit
            told += f"; a version may have been registered: its git_commit would be {commit}"
        return self._cut_off(run, State.CANCELLED, told)

    def _over(self, run: Run, outcome: Outcome) -> Run:
        # First: whoever sees that it has ended may rely on it that nothing is left.
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
        self._asked.pop(run.id, None)
        self._prune()
        return run

    def _interrupted(self, run: Run) -> None:
        times = run.interruptions + 1
        if times >= self.settings.attempts:
            told = f"interrupted {times} times, the last in {self.progress(run).stage}"
            if last := self.folder(run.id).last_words():
                told += f": {last}"
            self._cut_off(run, State.FAILED, told)
            return
        log.warning("run %s was interrupted; it is started again", run.id)
        self.journal.change(run.id, "interrupted", state=State.QUEUED, interruptions=times)

    def _begin(self) -> None:
        """Start what waits, the oldest first; of one project never two at once."""
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
        with folder.words.open("ab") as out:
            self._processes[run.id] = subprocess.Popen(
                [sys.executable, "-m", "services.trainer.driver", str(folder.place), str(attempt)],
                cwd=self.root,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(paths),
                    "SLIPWAY_HOME": str(home.home()),
                    # Its default lies beside the repository, and the run's copy lies elsewhere.
                    "SLIPWAY_MIRROR": str(home.mirror()),
                    family.MARK: run.id,
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _end_processes(self, id: str) -> None:
        family.ask_to_end(id)
        deadline = time.monotonic() + self.settings.end_seconds
        while family.members(id) and time.monotonic() < deadline:
            time.sleep(0.05)
        family.kill(id)
        if process := self._processes.pop(id, None):
            process.wait()

    def _clear(self, id: str) -> None:
        """The copy goes: what was made of it lies in DVC's cache and in git."""
        folder = self.folder(id)
        for place in (folder.tree, folder.feedback, folder.tree.with_name("tree.new")):
            shutil.rmtree(place, ignore_errors=True)

    def _prune(self) -> None:
        """Logs and commits of the oldest runs beyond the number that is kept."""
        ended = [run for run in self.journal.runs.values() if run.state.ended]
        for run in ended[: -self.settings.keep_runs]:
            folder = self.folder(run.id).place
            if folder.is_dir():
                with suppress(WorktreeFault):
                    forget(self.root, run.id)
                shutil.rmtree(folder, ignore_errors=True)


def _own(folder: Path) -> FileLock:
    """Raises AnotherTrainer: naming the process that has the queue."""
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

"""`python -m services.trainer.driver FOLDER ATTEMPT`: execute one run, in a process of its own.

The trainer may end or be killed meanwhile; the next one finds the outcome in the folder. If this
process is killed, it is restarted over the same copy, and DVC resumes at the interrupted stage.
"""

import json
import os
import re
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from services.jobs import process_tree
from services.trainer import collect
from services.trainer.run import (
    STAGES,
    Promotion,
    RunFolder,
    RunOrder,
    RunOutcome,
    RunState,
    stamped,
)
from services.trainer.worktree import Worktree
from slipway import home
from slipway.project import Project
from slipway.repro import dvc, python
from slipway.training.labelled import FeedbackUse
from slipway.training.workspace import Workspace

# A trainer holds the lock for a moment to test whether this process lives.
LOCK_SECONDS = 10
RUNNING = re.compile(r"Running stage '(?:.*:)?(\w+)'")
CACHED = re.compile(r"Stage '(?:.*:)?(\w+)' (?:didn't change|is cached)")


class StepFailed(Exception):
    """Raised if a step of the run fails; the message is the step's own."""


class Log:
    """The run's log: lines with their time, up to a limit in bytes."""

    def __init__(self, file: Path, limit: int) -> None:
        self._stream = file.open("ab", buffering=0)
        self._left = limit - self._stream.tell()
        self.cause = ""
        """The last line in which Slipway or DVC names the cause of a failure."""

    def write(self, text: str) -> None:
        """Append a line."""
        # Slipway names the cause; DVC only names the stage that failed, after it.
        if text.startswith("slipway: "):
            self.cause = text.removeprefix("slipway: ")
        elif text.startswith("ERROR: ") and not self.cause:
            self.cause = text.removeprefix("ERROR: ")
        line = stamped(text)
        if self._left <= 0:
            return
        if len(line) > self._left:
            line = b"(the log is full; the run goes on)\n"
            self._left = 0
        self._stream.write(line)
        self._left -= len(line)


class Driver:
    """Executes the steps of one run."""

    def __init__(self, order: RunOrder, folder: RunFolder, attempt: int) -> None:
        self.order, self.folder = order, folder
        self.request = order.request
        self.log = Log(folder.log, order.log_bytes)
        self.progress = folder.progress().model_copy(update={"attempt": attempt})
        self.worktree = Worktree(order.root, folder.tree, order.track, order.request.project)

    @property
    def project(self) -> Project:
        return self.worktree.project

    def run(self) -> RunOutcome:
        """Execute all steps, except those that an earlier attempt finished."""
        self._enter("begin")
        self.log.write(f"attempt {self.progress.attempt}: {self.request.reason}")
        try:
            if not self.progress.commit:
                self._copy()
            self.worktree.unlock()
            self._train()
            self._enter("settle")
            outcome = self._settle()
        except Exception as error:
            if not isinstance(error, StepFailed):
                for line in traceback.format_exc().splitlines():
                    self.log.write(line)
            outcome = self._failed(str(error) or type(error).__name__)
        return outcome.model_copy(update={"kept": self._keep(outcome)})

    def _enter(self, stage: str, **update: Any) -> None:
        changes = {"stage": stage, "since": time.time(), **update}
        self.progress = self.progress.model_copy(update=changes)
        self.folder.put_progress(self.progress)

    def _copy(self) -> None:
        self._enter("copy")
        # An earlier attempt may have left part of a copy, in which nothing was trained.
        shutil.rmtree(self.folder.tree, ignore_errors=True)
        self.worktree.make()
        if self.request.parameters:
            self.worktree.override(self.request.parameters)
        feedback = self._feedback(self.request.feedback) if self.request.feedback else None
        message = f"Run {self.order.id} of {self.request.project}: {self.request.reason}"
        commit = self.worktree.commit(message)
        self.log.write(f"training from commit {commit}")
        self._enter("copy", commit=commit, feedback=feedback)

    def _feedback(self, use: FeedbackUse) -> dict[str, Any]:
        """Make the feedback a data version; return its md5 and counts, or why there is none."""
        self._enter("feedback")
        shutil.rmtree(self.folder.feedback, ignore_errors=True)
        order = collect.CollectOrder(records=self.order.records, use=use, into=self.folder.feedback)
        file = self.folder.place / "collect.json"
        file.write_text(order.model_dump_json())
        words = ("-m", "services.trainer.collect", str(file))
        if code := self._python(*words, folder=self.project.folder):
            reason = self.log.cause or f"collecting the feedback failed (exit {code})"
            if self.order.feedback_needed or code != collect.UNSUITABLE:
                raise StepFailed(reason)
            self.log.write(f"trained without feedback: {reason}")
            self.log.cause = ""
            return {"md5": None, "why": reason}
        about: dict[str, Any] = json.loads((self.folder.feedback / "about.json").read_text())
        if not about["some"]:
            return {"md5": None, "why": "no labelled rows", **about}
        md5 = self.worktree.add_feedback(self.folder.feedback / "rows")
        self.log.write(f"data version {md5}: {about['counts']['used']} rows of feedback")
        return {"md5": md5, **about}

    def _python(self, *words: str, folder: Path) -> int:
        """Run a command in the copy; return its exit status."""
        return python(*words, tell=self.log.write, folder=folder, environment=self._environment())

    def _environment(self) -> dict[str, str]:
        feedback = self.progress.feedback or {}
        lineage = {"trainer_run": self.order.id, "reason": self.request.reason}
        if feedback.get("md5"):
            lineage["feedback_md5"] = feedback["md5"]
            lineage["feedback_rows"] = str(feedback["counts"]["used"])
        own = {"SLIPWAY_LINEAGE": json.dumps(lineage)}
        if self.order.rollout:
            own["SLIPWAY_PROMOTE"] = "never"
        return {**self.worktree.environment, **own}

    def _train(self) -> None:
        """Run an ordinary `dvc repro`.

        Raises:
            StepFailed: a stage failed.
        """
        self._dvc("repro", f"{self._place}/dvc.yaml")
        self._enter(self.progress.stage, done=STAGES)

    def _dvc(self, *words: str) -> None:
        code = dvc(
            *words, tell=self._read_line, folder=self.folder.tree, environment=self._environment()
        )
        if code:
            raise StepFailed(self.log.cause or f"dvc {words[0]} failed (exit {code})")

    def _read_line(self, line: str) -> None:
        """Log a line of DVC or of a stage, and follow the progress in it."""
        self.log.write(line)
        if (found := RUNNING.match(line)) and found[1] in STAGES:
            before = STAGES[: STAGES.index(found[1])]
            self._enter(found[1], done=tuple(x for x in STAGES if x in before))
        elif (found := CACHED.match(line)) and found[1] in STAGES:
            cached = tuple(dict.fromkeys((*self.progress.cached, found[1])))
            self._enter(found[1], done=self._with(found[1]), cached=cached)

    def _with(self, stage: str) -> tuple[str, ...]:
        return tuple(each for each in STAGES if each in (*self.progress.done, stage))

    def _settle(self) -> RunOutcome:
        """Find the trained version in the registry, and return the outcome."""
        from slipway.registry import tracking

        name, registry = self.request.project, tracking.client()
        version = tracking.version_with(registry, name, self._digest())
        if version is None:
            # DVC has the result from elsewhere, and it is not in this registry.
            self.log.write("not in this registry: registering it again")
            self._dvc("repro", "--force", "--single-item", f"{self._place}/dvc.yaml:register")
            version = tracking.version_with(registry, name, self._digest())
        if version is None:
            raise StepFailed("registered, but the registry has no version with its digest")
        number = str(version.version)
        new = version.tags.get("git_commit", "").startswith(self.progress.commit or "-")
        if new:
            self._tag(registry, version)
        promotion = self._promotion(number) if new else None
        return RunOutcome(
            state=RunState.SUCCEEDED,
            reason=self._summary(number, new, promotion),
            mlflow_run=version.run_id,
            version=number,
            new=new,
            promotion=promotion,
            # A version that is not new had its rollout already, which may have refused it.
            rollout=self._rollout(registry, number) if self.order.rollout and new else None,
        )

    @property
    def _place(self) -> Path:
        return self.project.folder.relative_to(self.folder.tree)

    def _digest(self) -> str:
        receipt = Workspace.for_project(self.project).receipt
        return str(json.loads(receipt.read_text())["digest"])

    def _tag(self, registry: Any, version: Any) -> None:
        """Tag the version and its MLflow run with this run's id and feedback."""
        lineage = json.loads(self._environment()["SLIPWAY_LINEAGE"])
        for name, value in lineage.items():
            registry.set_tag(version.run_id, name, value)
            registry.set_model_version_tag(version.name, str(version.version), name, value)

    def _promotion(self, version: str) -> Promotion | None:
        """Return the promotion rule's decision on the version; None if there was none."""
        from slipway.registry import promotions

        entries = [
            each
            for each in promotions.history(self.request.project)
            if each.get("version") == version and "promoted" in each
        ]
        if not entries:
            return None
        last = entries[-1]
        return Promotion(promoted=last["promoted"], reason=last["reason"], time=last["time"])

    def _summary(self, version: str, new: bool, promotion: Promotion | None) -> str:
        if not new:
            return f"v{version} holds exactly this already: nothing new was trained"
        if promotion is None:
            return f"registered v{version}"
        action = "promoted" if promotion.promoted else "kept out"
        return f"registered v{version}, {action}: {promotion.reason}"

    def _rollout(self, registry: Any, version: str) -> str:
        """Start a rollout of the version, unless it is champion; safe to repeat."""
        from slipway.registry import tracking

        champion = tracking.version_of(registry, self.request.project, tracking.CHAMPION)
        if champion is not None and str(champion.version) == version:
            return "champion already"
        from services import rollout

        actor = f"trainer, run {self.order.id} ({self.request.reason})"
        try:
            state = rollout.start(self.request.project, version, actor=actor)
        except (rollout.RolloutRefused, rollout.BadPlan) as refusal:
            return f"refused: {refusal}"
        self.log.write(f"v{version} handed to rollout {state.id}")
        return f"started: {state.id}"

    def _failed(self, reason: str) -> RunOutcome:
        self.log.write(f"failed: {reason}")
        return RunOutcome(
            state=RunState.FAILED, reason=reason[:1000], mlflow_run=self._logged_run()
        )

    def _logged_run(self) -> str | None:
        """Return the MLflow run if one was logged before the failure, as with an unmet gate."""
        if self.progress.stage not in ("register", "settle") or not self.progress.commit:
            return None
        from slipway.registry import tracking

        try:
            registry = tracking.client()
            experiment = registry.get_experiment_by_name(self.request.project)
            if experiment is None:
                return None
            found = registry.search_runs(
                [experiment.experiment_id], f"tags.git_commit LIKE '{self.progress.commit}%'"
            )
        except Exception as error:
            self.log.write(f"the MLflow run could not be found: {error}")
            return None
        return str(found[0].info.run_id) if found else None

    def _keep(self, outcome: RunOutcome) -> str | None:
        """Keep the run's commits and return their ref; None if there are none, or on an error."""
        if not self.progress.commit:
            return None
        try:
            return self.worktree.keep(self.order.id, f"{outcome.state}: {outcome.reason}")
        except Exception as error:
            self.log.write(f"the run's commits could not be kept: {error}")
            return None


def main() -> int:
    """Execute the run, unless it has an outcome or another process executes it."""
    home.silence_telemetry()
    folder = RunFolder(Path(sys.argv[1]))
    # The kernel releases it when this process ends, however it ends.
    held = FileLock(folder.lock, timeout=LOCK_SECONDS)
    try:
        held.acquire()
    except Timeout:
        print(f"another process executes run {folder.place.name}", file=sys.stderr)
        return 1
    if folder.outcome() is not None:
        return 0
    order = RunOrder.model_validate_json(folder.order.read_bytes())
    # Processes that an earlier attempt left when its first process was killed.
    process_tree.kill(order.id)
    os.chdir(order.root)
    folder.put_outcome(Driver(order, folder, int(sys.argv[2])).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
